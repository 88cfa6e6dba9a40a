"""The first stage of landmarks-efficientnet; was published as its version 1.0.0.

The trunk is that of demographics-efficientnet up to a map of 6 x 6, as it stands: what it sees of a crop is computed
once, and only the layers behind it learn.
"""

from training.augment import Augment
from training.config import Config

config = Config(
    model="landmarks-first",
    version="1.0.0",
    heads=("points", "pose"),
    datasets=("utkface", "fairface", "lfw_expressions"),
    network_options={"blocks": 11, "grid": 24, "head_width": 192},
    # As it was before 2.0.0, which is another network; `python -m facemodels download` gets it from the hub.
    start="demographics-efficientnet@1.3.0",
    freeze_blocks=11,
    input_size=96,
    dropout=0.0,
    epochs=7,
    epoch_size=70_000,
    batch_size=64,
    learning_rate=2e-3,
    weight_decay=0.02,
    ema=0.995,
    augment=Augment(
        rotation=12.0,
        shift=0.07,
        zoom=(0.85, 1.25),
        aspect=0.03,
        shear=0.0,
        noise=0.05,
        grey=0.1,
        blur=0.25,
        erase=0.15,
    ),
    monitor=("val_error", "min"),
)
