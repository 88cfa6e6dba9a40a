"""Ethnicity alone, specialised from demographics-first: seven groups from FairFace, five from UTKFace."""

from dataclasses import replace

from training.config import load_config

first = load_config("ethnicity-first")
# Its loss was still falling.
config = replace(first, model="ethnicity-efficientnet", start="runs/ethnicity-first", distil=0.6, learning_rate=5e-4)
