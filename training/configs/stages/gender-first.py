"""The first of two stages of gender-efficientnet, from demographics-emphasis."""

from dataclasses import replace

from training.config import load_config

balanced = load_config("gender-balanced")
config = replace(
    balanced,
    model="gender-first",
    start="runs/demographics-emphasis",
    # Of FairFace's black women one in six was taken for a man (validation).
    emphasis={"fairface female black": 1.7},
)
