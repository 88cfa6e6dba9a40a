"""The third stage of emotion4-vgg16: at a high rate, among its teachers it is one itself."""

from dataclasses import replace

from training.config import load_config

second = load_config("emotion4-second")
config = replace(
    second,
    model="emotion4-third",
    start="runs/emotion4-second",
    # What three networks that learned differently agree on is more than each knows (validation).
    teachers=("runs/emotion-first", "runs/emotion-third", "runs/emotion4-second"),
    distil=0.7,
    learning_rate=1e-3,
    # EarlyStopping ended it after fifteen, long before the rate fell.
    epochs=45,
)
