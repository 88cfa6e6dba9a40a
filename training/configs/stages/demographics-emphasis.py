"""Two epochs more of demographics-first that look more at whom it failed; not published, it gave too little."""

from dataclasses import replace

from training.config import load_config

first = load_config("demographics-first")
config = replace(
    first,
    model="demographics-emphasis",
    start="runs/demographics-first",
    freeze_blocks=10,
    # Of FairFace's black women one in six was taken for a man, of its black men one in thirteen for a woman
    # (validation).
    emphasis={"fairface female black": 1.7},
    epochs=2,
    learning_rate=3e-4,
)
