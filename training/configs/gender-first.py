"""The first of two stages of gender-efficientnet, from demographics-emphasis."""

import runpy
from dataclasses import replace
from pathlib import Path

balanced = runpy.run_path(str(Path(__file__).with_name("gender-balanced.py")))["config"]
config = replace(
    balanced,
    model="gender-first",
    start="runs/demographics-emphasis",
    # Of FairFace's black women one in six was taken for a man (validation).
    emphasis={"fairface female black": 1.7},
)
