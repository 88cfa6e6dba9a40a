"""Emotion-first taught further by two networks; was published as emotion-efficientnet 1.0.0.

It learns partly from the labels, partly from what emotion-first and emotion-imagenet make of each face: train them
before.
"""

from training.augment import Augment
from training.config import Config

config = Config(
    model="emotion-second",
    version="1.0.0",
    heads=("emotion", "emotion_fer2013"),
    datasets=("fer2013",),
    # The picture is doubled inside the network, so that its filters, made for larger pictures, find their scale.
    network_options={"upsample": 2},
    input_size=48,
    # FER2013's crops are the detector's boxes: margin 0.00, offset 0.00 by measure_framing.py (the defaults).
    grey=True,
    start="runs/emotion-first",
    # An average between the two stages is better than either, by a hair (validation).
    average={"runs/emotion-first": 0.7},
    teachers=("runs/emotion-first", "runs/emotion-imagenet"),
    distil=0.6,
    # Frozen early blocks make a step 1.6 times faster on a CPU; their edges and blobs serve faces as they are.
    freeze_blocks=3,
    epochs=5,
    learning_rate=4e-4,
    warmup=0.1,
    augment=Augment(rotation=15, zoom=(0.8, 1.15), shift=0.08, colour=0, grey=0, blur=0.05, noise=0.05),
    monitor=("val_accuracy", "max"),
)
