"""The second stage of emotion4-vgg16, and a teacher of emotion-efficientnet; was published as 1.0.0."""

from dataclasses import replace

from training.config import load_config

first = load_config("emotion4-first")
# After eighteen epochs the network knew its training faces hardly better than others: it had more to learn, and a
# rate that had been halved three times was too small to learn it.
config = replace(
    first,
    model="emotion4-second",
    start="runs/emotion4-first",
    teachers=("runs/emotion-first", "runs/emotion-second"),
    schedule="cosine",
    learning_rate=8e-4,
    epochs=20,
)
