"""Ethnicity alone, specialised from demographics-efficientnet: seven groups from FairFace, five from UTKFace."""

import runpy
from dataclasses import replace
from pathlib import Path

first = runpy.run_path(str(Path(__file__).with_name("ethnicity-first.py")))["config"]
# Its loss was still falling.
config = replace(first, model="ethnicity-efficientnet", start="runs/ethnicity-first", distil=0.6, learning_rate=5e-4)
