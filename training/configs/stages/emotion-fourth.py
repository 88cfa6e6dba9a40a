"""Emotion-third taught further by three networks; was published as emotion-efficientnet 1.2.0, and as 1.3.0 with a
correction for the prior.

Train emotion-third and all it needs, and emotion4-fourth, before.
"""

from dataclasses import replace

from training.config import load_config

third = load_config("emotion-third")
config = replace(
    third,
    model="emotion-fourth",
    version="1.3.0",
    start="runs/emotion-third",
    teachers=("runs/emotion-third", "runs/emotion-imagenet", "runs/emotion4-fourth"),
    unlabelled={"utkface": 10000, "fairface": 10000},
    # The stem and the first three blocks had learned from no emotion yet.
    freeze_blocks=-1,
    epochs=6,
    # This stage alone is no better than the one before. Averages of stages are all much alike, and the best by
    # validation loss is this one: 1.447 where that one has 1.452.
    average={"runs/emotion-third": 0.4, "runs/emotion-student": 0.2, "runs/emotion-first": 0.1},
    # And with the mirror image 1.436.
    mirrored=True,
)
