"""Happy, sad, surprise or neutral by FER2013's original labels: the task and the network of the project's ancestor.

Train emotion4-fifth and all it needs before.
"""

from dataclasses import replace

from training.config import load_config

fifth = load_config("emotion4-fifth")
config = replace(
    fifth,
    model="emotion4-vgg16",
    version="1.2.0",
    start="runs/emotion4-fifth",
    teachers=("runs/emotion-fourth", "runs/emotion4-fifth"),
    epochs=36,
    # Half of each is a little better than either, on validation faces that have no copy among those learned from.
    average={"runs/emotion4-fifth": 0.5},
)
