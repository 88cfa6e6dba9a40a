"""Happy, sad, surprise or neutral by FER2013's original labels: the task and the network of the project's ancestor.

Train emotion-third and all it needs, and emotion4-third, before.
"""

from dataclasses import replace

from training.config import load_config

third = load_config("emotion4-third")
config = replace(
    third,
    model="emotion4-vgg16",
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
