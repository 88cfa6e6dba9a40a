"""Emotion-fourth on FER2013 and LFW together, taught by itself and emotion-vgg: the stage before emotion-efficientnet.

Train emotion-fourth, emotion-vgg and all they need before.
"""

from dataclasses import replace

from training.config import load_config

config = replace(
    load_config("emotion-fourth"),
    model="emotion-pair",
    version="2.0.0",
    datasets=("fer2013", "lfw_expressions"),
    start="runs/emotion-fourth",
    # Networks that differ: the mean of their answers is better than either by one to three points (validation).
    teachers=("runs/emotion-fourth", "runs/emotion-vgg"),
    distil=0.6,
    unlabelled={"utkface": 8000, "fairface": 8000},
    freeze_blocks=10,
    learning_rate=5e-4,
    epochs=9,
    average={},
    mirrored=False,
    prior_correction=True,
    monitor=("val_loss", "min"),
)
