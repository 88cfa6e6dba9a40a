"""Age, gender and ethnicity from ImageNet weights, what others start from; was published as demographics-efficientnet
1.0.0 and 1.1.0."""

from training.augment import Augment
from training.config import Config

config = Config(
    model="demographics-first",
    version="1.1.0",
    heads=("age", "gender", "ethnicity"),
    datasets=("utkface", "fairface"),
    input_size=96,
    # Medians over both training splits, by measure_framing.py: UTKFace -0.05 and 0.08, FairFace -0.03 and 0.07.
    margin=-0.04,
    offset=0.077,
    # Validation: all three questions are read better so, and gender best where it was read worst (black women).
    mirrored=True,
    # Frozen early blocks make a step 1.6 times faster on a CPU; their edges and blobs serve faces as they are.
    freeze_blocks=3,
    # An age is a harder question (101 answers) and its loss larger; this brings the three gradients near each other.
    loss_weights={"age": 0.5},
    epochs=7,
    augment=Augment(rotation=15, zoom=(0.85, 1.2), blur=0.2),
    monitor=("val_loss", "min"),
)
