"""The first stage of emotion-efficientnet, and a teacher of those that follow and of emotion4-vgg16."""

from training.augment import Augment
from training.config import Config

config = Config(
    model="emotion-first",
    version="1.0.0",
    heads=("emotion", "emotion_fer2013"),
    datasets=("fer2013",),
    # The picture is doubled inside the network, so that its filters, made for larger pictures, find their scale.
    network_options={"upsample": 2},
    input_size=48,
    # FER2013's crops are the detector's boxes: margin 0.00, offset 0.00 by measure_framing.py (the defaults).
    grey=True,
    # Frozen early blocks make a step 1.6 times faster on a CPU; their edges and blobs serve faces as they are.
    freeze_blocks=3,
    # A trunk that knows faces' ages, genders and origins starts nearer to their expressions than one of things.
    start="runs/demographics-first",
    epochs=16,
    augment=Augment(rotation=15, zoom=(0.8, 1.15), shift=0.08, colour=0, grey=0, blur=0.05, noise=0.05),
    monitor=("val_accuracy", "max"),
)
