"""The stage after 1.3.0: FER2013 and LFW together, the labels' prior taken out of the loss, rare ones drawn oftener."""

from dataclasses import replace

from training.config import load_config

third = load_config("emotion-third")
config = replace(
    third,
    model="emotion-everyday",
    version="2.0.0",
    datasets=("fer2013", "lfw_expressions"),
    start="runs/emotion-efficientnet-1.2.0",
    average={},
    teachers=("runs/emotion-efficientnet-1.2.0",),
    unlabelled={"utkface": 3000, "fairface": 3000},
    distil=0.5,
    freeze_blocks=11,
    class_balance=0.5,
    logit_adjustment=1.0,
    learning_rate=6e-4,
    epochs=5,
    epoch_size=12800,
    augment=replace(
        third.augment, zoom=(0.78, 1.25), brightness=0.3, contrast=0.35, blur=0.15, noise=0.1, jpeg=0.3, erase=0.25
    ),
    monitor=("val_balanced", "max"),
    mirrored=True,
)
