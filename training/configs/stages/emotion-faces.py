"""Emotion-efficientnet on the MobileNet that knows faces: FER2013 and LFW together, the prior taken out of the loss."""

from training.augment import Augment
from training.config import Config

config = Config(
    model="emotion-faces",
    version="2.0.0",
    heads=("emotion", "emotion_fer2013"),
    datasets=("fer2013", "lfw_expressions"),
    network="mobilenet",
    # FER2013 has 48 px, LFW and what serving cuts have more; the filters were made for larger faces.
    network_options={"upsample": 2},
    input_size=64,
    grey=True,
    start="runs/demographics-efficientnet",
    imagenet=False,
    probe=True,
    freeze_blocks=4,
    class_balance=0.5,
    logit_adjustment=1.0,
    learning_rate=1.5e-4,
    dropout=0.2,
    epochs=6,
    augment=Augment(
        rotation=15,
        zoom=(0.78, 1.25),
        shift=0.08,
        colour=0,
        grey=0,
        brightness=0.3,
        contrast=0.35,
        blur=0.2,
        noise=0.1,
        jpeg=0.3,
        erase=0.3,
    ),
    monitor=("val_balanced", "max"),
)
