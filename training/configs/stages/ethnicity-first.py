"""The first of two stages of ethnicity-efficientnet: seven groups from FairFace, five from UTKFace."""

from dataclasses import replace

from training.config import load_config

age = load_config("age-efficientnet")  # the same network from the same start, for another question
config = replace(
    age,
    model="ethnicity-first",
    heads=("ethnicity",),
    # It stands for what the labels leave open: which of the seven groups a face of UTKFace's five may be.
    teachers=("runs/demographics-first",),
    distil=0.5,
    epochs=3,
    monitor=("val_accuracy", "max"),
)
