"""Emotion-first taught further by two networks; was published as emotion-efficientnet 1.0.0.

It learns partly from the labels, partly from what emotion-first and emotion-imagenet make of each face: train them
before.
"""

from dataclasses import replace

from training.config import load_config

first = load_config("emotion-first")
config = replace(
    first,
    model="emotion-second",
    start="runs/emotion-first",
    # An average between the two stages is better than either, by a hair (validation).
    average={"runs/emotion-first": 0.7},
    teachers=("runs/emotion-first", "runs/emotion-imagenet"),
    distil=0.6,
    epochs=5,
    learning_rate=4e-4,
    warmup=0.1,
)
