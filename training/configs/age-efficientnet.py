"""Age alone, specialised from demographics-efficientnet: years from UTKFace, bins from FairFace.

Train demographics-efficientnet and all it needs before.
"""

from dataclasses import replace

from training.config import load_config

shared = load_config("demographics-efficientnet")
config = replace(
    shared,
    model="age-efficientnet",
    heads=("age",),
    start="runs/demographics-efficientnet",
    # What all three attributes taught stays; the last block and the head are left to this one.
    freeze_blocks=12,
    loss_weights={},
    emphasis={},
    epochs=2,
)
