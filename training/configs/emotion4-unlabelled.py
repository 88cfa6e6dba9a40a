"""Emotion4-fourth once more, with faces that nobody labelled beside: tried, and not published, it is no better."""

from dataclasses import replace

from training.config import load_config

fourth = load_config("emotion4-fourth")
config = replace(
    fourth,
    model="emotion4-unlabelled",
    start="runs/emotion4-fourth",
    teachers=("runs/emotion-efficientnet", "runs/emotion-imagenet", "runs/emotion4-fourth"),
    # They made the other emotion network better. This one has not the room, or not the epochs, to gain by them.
    unlabelled={"utkface": 10000, "fairface": 10000},
    learning_rate=1e-3,
    epochs=8,
    average={},
)
