"""The first stage of demographics-efficientnet: a MobileNet that knows faces learns age, gender and ethnicity."""

from training.augment import Augment
from training.config import Config

config = Config(
    model="demographics-faces",
    version="2.0.0",
    heads=("age", "gender", "ethnicity"),
    datasets=("utkface", "fairface"),
    network="mobilenet",
    start="faceres",
    imagenet=False,
    probe=True,
    # It learned at 224 px; a linear model on its features tells groups and ages better the larger the input is.
    input_size=144,
    # Medians over both training splits, by measure_framing.py: UTKFace -0.05 and 0.08, FairFace -0.03 and 0.07.
    margin=-0.04,
    offset=0.077,
    # A step takes a quarter less; edges and blobs serve as they are.
    freeze_blocks=4,
    balance=0.5,
    loss_weights={"age": 0.5, "gender": 1.5},
    learning_rate=1.5e-4,
    dropout=0.2,
    epochs=5,
    augment=Augment(rotation=20, shift=0.08, zoom=(0.8, 1.25), grey=0.1, blur=0.2, jpeg=0.2, erase=0.4),
)
