"""The network of emotion4-vgg16 learns the eight and the seven labels, on FER2013 and LFW together: a teacher of
emotion-efficientnet that sees 48 px as they are.

Train emotion4-vgg16 and all it needs before. The run of the log started from the release 1.2.0, which is that run
without its auxiliary heads.
"""

from dataclasses import replace

from training.config import load_config

config = replace(
    load_config("emotion4-vgg16"),
    model="emotion-vgg",
    version="1.0.0",
    heads=("emotion", "emotion_fer2013"),
    auxiliary=(),
    datasets=("fer2013", "lfw_expressions"),
    start="runs/emotion4-vgg16",
    teachers=("runs/emotion-fourth",),
    distil=0.5,
    probe=True,
    schedule="cosine",
    learning_rate=6e-4,
    epochs=9,
    average={},
    mirrored=True,
    monitor=("val_loss", "min"),
    patience=1000,
)
