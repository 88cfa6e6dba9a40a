"""Emotion4-vgg16 once more, with somewhat more augmentation and more of what others say: tried, and not published.

Its first epoch was the best by validation. The run of the log started from emotion4-vgg16 before the average.
"""

from dataclasses import replace

from training.config import load_config

published = load_config("emotion4-vgg16")
config = replace(
    published,
    model="emotion4-seventh",
    start="runs/emotion4-vgg16",
    teachers=("runs/emotion-efficientnet", "runs/emotion4-fifth", "runs/emotion4-vgg16"),
    distil=0.6,
    augment=replace(
        published.augment,
        rotation=10,
        zoom=(0.88, 1.12),
        shear=0.05,
        aspect=0.05,
        brightness=0.15,
        contrast=0.15,
        erase=0.3,
    ),
    learning_rate=8e-4,
    epochs=28,
    average={},
)
