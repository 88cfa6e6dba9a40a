"""Happy, sad, surprise or neutral by FER2013's original labels: the task and the network of the project's ancestor."""

import runpy
from dataclasses import replace
from pathlib import Path

first = runpy.run_path(str(Path(__file__).with_name("emotion4-first.py")))["config"]
# After eighteen epochs the network knew its training faces hardly better than others: it had more to learn, and a
# rate that had been halved three times was too small to learn it.
config = replace(
    first,
    model="emotion4-vgg16",
    start="runs/emotion4-first",
    teachers=("runs/emotion-first", "runs/emotion-second"),
    schedule="cosine",
    learning_rate=8e-4,
    epochs=20,
)
