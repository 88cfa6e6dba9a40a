"""The first stage of emotion4-vgg16: from random weights, the rate halved by ReduceLROnPlateau as the ancestor did."""

from training.augment import Augment
from training.config import Config

config = Config(
    model="emotion4-first",
    version="1.0.0",
    heads=("emotion4",),
    # Ten people's votes and all seven labels say more of a face than one of four words; the network learns faster so.
    auxiliary=("emotion", "emotion_fer2013"),
    datasets=("fer2013",),
    network="vgg16",
    network_options={"width": 0.5},
    imagenet=False,
    input_size=48,
    grey=True,
    epochs=18,
    teachers=("runs/emotion-first",),
    # Plain convolutions in half precision are 2.5 times faster on a CPU that knows bfloat16.
    dtype="mixed_bfloat16",
    schedule="plateau",
    plateau=1,
    patience=8,
    augment=Augment(rotation=15, zoom=(0.8, 1.15), shift=0.08, shear=0.1, colour=0, grey=0, blur=0.05, noise=0.05),
    monitor=("val_emotion4_accuracy", "max"),
)
