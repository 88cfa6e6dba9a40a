"""Write the table of all training runs from their logs into this folder's README: `python -m training.tried RUN ...`.

`logs/` has the logs of the runs behind the published models, and of those that led to them, one CSV per config; the
runs given as arguments are added.
"""

from __future__ import annotations

import argparse
import ast
import csv
import json
import shutil
from pathlib import Path

from training.config import load_config

FOLDER = Path(__file__).parent
README = FOLDER / "README.md"
TRIED = FOLDER / "logs" / "tried.json"  # recipes that no published model descends from
BEGIN, END = "<!-- tried: made by python -m training.tried -->", "<!-- /tried -->"
FIGURES = {
    "val_emotion_accuracy": "eight emotions {:.1%}",
    "val_fer2013_emotion_macro_recall": "macro recall {:.1%}",
    "val_lfw_expressions_emotion_accuracy": "on LFW {:.1%}",
    "val_lfw_expressions_emotion_macro_recall": "macro recall {:.1%}",
    "val_emotion_fer2013_accuracy": "seven original {:.1%}",
    "val_emotion4_accuracy": "four original {:.1%}",
    "val_utkface_age_mae": "age off by {:.2f} years",
    "val_utkface_gender_accuracy": "gender {:.1%} (UTKFace)",
    "val_fairface_gender_accuracy": "{:.1%} (FairFace)",
    "val_utkface_ethnicity_five_accuracy": "five groups {:.1%}",
    "val_fairface_ethnicity_accuracy": "seven {:.1%}",
}


def table() -> str:
    """One row per log: a description of the run, the selected epoch, and its validation figures."""
    rows = ["| config | what | epochs | taken | minutes | loss | on validation |", "|---|---|---|---|---|---|---|"]
    for path in sorted((FOLDER / "logs").glob("*.csv")):
        first, (monitor, mode) = _recipe(path.stem)
        with path.open(newline="") as file:
            epochs = list(csv.DictReader(file))
        best = (max if mode == "max" else min)(epochs, key=lambda row: float(row[monitor]))
        figures = [text.format(float(best[name])) for name, text in FIGURES.items() if name in best]
        minutes = [float(row["minutes"]) for row in epochs if row.get("minutes")]
        took = f"{sum(minutes):.0f}" if len(minutes) == len(epochs) else ""
        loss = f"{float(best['val_loss']):.3f}"
        rows.append(
            f"| `{path.stem}` | {first} | {len(epochs)} | {int(best['epoch']) + 1} | {took} | {loss} "
            f"| {', '.join(figures)} |"
        )
    return "\n".join(rows)


def _recipe(name: str) -> tuple[str, tuple[str, str]]:
    """Description and monitor of a run: from its config, or from `TRIED` if no published model descends from it."""
    tried = json.loads(TRIED.read_text(encoding="utf-8"))
    if name in tried:
        return tried[name]["summary"], tuple(tried[name]["monitor"])
    (file,) = (FOLDER / "configs").rglob(f"{name}.py")
    summary = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    return " ".join((summary or "").split("\n\n")[0].split()), load_config(name).monitor


def with_table(readme: str) -> str:
    """The README with its table made anew, between the markers."""
    before, found, rest = readme.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not found or not closed:
        raise ValueError(f"{README} lacks the markers {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m training.tried", description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*", type=Path, help="run folders whose logs to add")
    for run in parser.parse_args(arguments).runs:
        shutil.copyfile(run / "log.csv", FOLDER / "logs" / f"{run.name}.csv")
    README.write_text(with_table(README.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
