"""The second stage of demographics-efficientnet, taught by four networks; was published as 1.2.0.

Train demographics-first, and the age, gender and ethnicity models that come from it, before.
"""

from dataclasses import replace

from training.augment import Augment
from training.config import load_config

first = load_config("demographics-first")
config = replace(
    first,
    model="demographics-second",
    version="1.2.0",
    start="runs/demographics-first",
    # The first stage knew its training faces far better than others. What it and the three that specialised in one
    # question say of a face and its mirror image is a softer lesson, and leaves less to learn by heart.
    teachers=(
        "runs/demographics-first",
        "runs/age-efficientnet",
        "runs/gender-efficientnet",
        "runs/ethnicity-efficientnet",
    ),
    distil=0.6,
    # Small grey faces of other people.
    unlabelled={"fer2013": 8000},
    epochs=10,
    augment=Augment(rotation=20, shift=0.08, zoom=(0.8, 1.25), grey=0.1, blur=0.2, erase=0.4),
)
