"""Eight emotions and FER2013's seven original labels, from FER2013 with the FER+ votes and LFW, at 48 px in one pass.

Train emotion-pair and all it needs before.
"""

from dataclasses import replace

from training.config import load_config

pair = load_config("emotion-pair")
config = replace(
    pair,
    model="emotion-efficientnet",
    start="runs/emotion-pair",
    # Asked for every crop anew, its teachers give away more: one epoch of this is as good as nine of emotion-pair
    # (validation loss 2.029 and 2.031).
    consistent=True,
    distil=0.8,
    unlabelled={"utkface": 16000, "fairface": 16000},
    freeze_blocks=5,
    epochs=5,
    augment=replace(pair.augment, jpeg=0.1),
)
