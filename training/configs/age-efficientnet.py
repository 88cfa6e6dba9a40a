"""Age alone, specialised from demographics-first: years from UTKFace, bins from FairFace."""

from training.augment import Augment
from training.config import Config

config = Config(
    model="age-efficientnet",
    version="1.1.0",
    heads=("age",),
    datasets=("utkface", "fairface"),
    # The last two blocks and the wide last layer hold 40 % of the parameters; one question does without.
    network_options={"blocks": 14, "head_width": 512},
    input_size=96,
    # Medians over both training splits, by measure_framing.py: UTKFace -0.05 and 0.08, FairFace -0.03 and 0.07.
    margin=-0.04,
    offset=0.077,
    mirrored=True,
    # What all three questions taught, then only this one: the early blocks stay, which makes an epoch cheap.
    start="runs/demographics-first",
    freeze_blocks=10,
    epochs=2,
    augment=Augment(rotation=15, zoom=(0.85, 1.2), blur=0.2),
    monitor=("val_loss", "min"),
)
