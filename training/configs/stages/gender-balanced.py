"""Gender alone, specialised from demographics-first; gender-efficientnet is averaged with it."""

from dataclasses import replace

from training.config import load_config

age = load_config("age-efficientnet")  # the same network from the same start, for another question
config = replace(
    age,
    model="gender-balanced",
    heads=("gender",),
    # UTKFace is mostly white: drawn as it comes, black women were read eight points worse than average (validation).
    balance=0.5,
)
