"""The third stage of demographics-efficientnet: all groups drawn more evenly, and gender weighing more.

Train demographics-second and all it needs before.
"""

from dataclasses import replace

from training.config import load_config

second = load_config("demographics-second")
config = replace(
    second,
    model="demographics-balanced",
    start="runs/demographics-second",
    # Better together than either, than with one that specialised, and than all five (validation loss).
    teachers=("runs/demographics-second", "runs/demographics-first"),
    distil=0.5,
    unlabelled={},
    # FairFace's black women were read three points worse than all adults, its black men five (validation).
    balance=0.5,
    emphasis={"fairface female black": 1.4, "fairface male black": 1.4},
    loss_weights={"age": 0.5, "gender": 1.5},
    epochs=14,
    # With shares of 0.3 and 0.5 it was better than either (validation loss 3.79; 3.82 and 3.83).
    average={"runs/demographics-second": 0.4},
)
