"""The 68 points and the pose of a head, learned from MediaPipe's face mesh on the faces of three data sets.

Train landmarks-first before. Here the blocks behind the fine map learn, too, and no crop is seen twice.
"""

from dataclasses import replace

from training.config import load_config

first = load_config("landmarks-first")
config = replace(
    first,
    model="landmarks-efficientnet",
    version="1.1.0",
    start="runs/landmarks-first",
    freeze_blocks=5,
    epochs=3,
    epoch_size=24_000,
    learning_rate=4e-4,
)
