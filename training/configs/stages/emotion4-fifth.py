"""The fifth stage of emotion4-vgg16: less augmentation, as it read its training faces hardly better than others.

Train emotion4-fourth, emotion-fourth and all they need before. The run of the log started from the release 1.1.0,
which is emotion4-fourth without its auxiliary heads: it learned those anew.
"""

from dataclasses import replace

from training.augment import Augment
from training.config import load_config

fourth = load_config("emotion4-fourth")
config = replace(
    fourth,
    model="emotion4-fifth",
    start="runs/emotion4-fourth",
    teachers=("runs/emotion-fourth",),
    # And more of the labels themselves, for the same reason.
    distil=0.4,
    learning_rate=1e-3,
    epochs=14,
    average={},
    augment=Augment(
        rotation=8,
        zoom=(0.9, 1.1),
        shear=0.03,
        aspect=0.03,
        brightness=0.1,
        contrast=0.1,
        colour=0,
        grey=0,
        blur=0,
        noise=0,
    ),
)
