"""Age, gender and ethnicity from FairFace (CC BY 4.0) and ImageNet weights alone, for uses that other data forbids."""

from training.config import Config, load_config

config = Config(
    model="demographics-fairface",
    version="1.0.0",
    heads=("age", "gender", "ethnicity"),
    datasets=("fairface",),
    # A fifth of the parameters of all sixteen blocks and their head: this one is beside the others, and to be small.
    network_options={"blocks": 10, "head_width": 640},
    input_size=112,
    # Medians over the training split, by measure_framing.py.
    margin=-0.03,
    offset=0.07,
    mirrored=True,
    # A step takes a third less; edges and blobs serve as they are.
    freeze_blocks=3,
    smooth_bins=True,
    balance=0.5,
    loss_weights={"age": 0.5, "gender": 1.5},
    epochs=14,
    augment=load_config("demographics-faces").augment,
)
