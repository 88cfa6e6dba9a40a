"""The fourth stage of emotion4-vgg16, averaged with the third; was published as 1.1.0.

Train emotion-third and all it needs, and emotion4-third, before.
"""

from dataclasses import replace

from training.config import load_config

third = load_config("emotion4-third")
config = replace(
    third,
    model="emotion4-fourth",
    version="1.1.0",
    start="runs/emotion4-third",
    learning_rate=8e-4,
    epochs=18,
    # A network improves most when the rate falls: nothing must end the run before.
    patience=1000,
    # With a fifth of the stage before it is better than either (validation).
    average={"runs/emotion4-third": 0.2},
    mirrored=True,
)
