"""The published emotion model, taught further on your own faces, as `training.data.own.prepare` made them ready."""

from training.augment import Augment
from training.config import Config

config = Config(
    model="emotion-finetune",
    version="1.0.0",
    heads=("emotion",),
    datasets=("manifest",),
    # The network of the release that it starts from.
    network_options={"upsample": 2},
    input_size=48,
    grey=True,
    start="emotion-efficientnet",
    # A few hundred faces change the last blocks and what follows them; the others know faces from many more.
    freeze_blocks=11,
    epochs=15,
    batch_size=16,
    learning_rate=3e-4,
    # Small data sets make short epochs: a longer memory would still hold the start.
    ema=0.9,
    augment=Augment(rotation=15, zoom=(0.8, 1.15), shift=0.08, colour=0, grey=0, blur=0.05, noise=0.05),
    monitor=("val_loss", "min"),
    patience=5,
)
