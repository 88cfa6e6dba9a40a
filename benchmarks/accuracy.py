"""How right the bundled models are: `python -m benchmarks.accuracy --data DIR` (`--write` keeps the result).

Measures the serving files anew on the test sets, and puts beside each what its release says; where a release chose
between an int8 and a float16 file, also what that choice was made by.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.speed import RESULTS, machine, write_result
from facemodels import list_models
from facemodels.attributes import ATTRIBUTES
from facemodels.hub.registry import WEIGHTS

FIGURES = {"accuracy": ("correct", 100), "within_one": ("within one bin", 100), "mae": ("years mean error", 1)}


def accuracy_table(measured: list[dict[str, Any]], released: list[dict[str, Any]]) -> str:
    """Markdown: a row per figure, now and at release.

    Args:
        measured: What `training.evaluate.evaluate` gives, one per model.
        released: The `metrics.json` of the same models.
    """
    rows = ["| model | answers | test set | now | at release | faces |", "|---|---|---|---|---|---|"]
    for now, then in zip(measured, released, strict=True):
        old = {(key, test["dataset"]): value for test in then["tests"] for key, value in _figures(test).items()}
        for test in now["tests"]:
            for (label, metric), (value, count) in _figures(test).items():
                unit, scale = FIGURES[metric]
                before = old.get(((label, metric), test["dataset"]))
                shown = "-" if before is None else f"{before[0] * scale:.2f}"
                name = label.replace("_", " ")
                figure = f"{value * scale:.2f} {unit}"
                rows.append(f"| {now['model']} | {name} | {test['dataset']} | {figure} | {shown} | {count:,} |")
    return "\n".join(rows)


def _figures(test: dict[str, Any]) -> dict[tuple[str, str], tuple[float, int]]:
    """(label, metric) to the value and the number of faces."""
    return {
        (result["label"], metric): (result[metric], result["count"])
        for result in test["results"]
        for metric in FIGURES
        if metric in result
    }


def serving_table(released: list[dict[str, Any]]) -> str:
    """Markdown: float16 against int8 on validation, for releases that chose between them; empty where none did."""
    rows = []
    for release in released:
        validation = release.get("serving", {}).get("validation", {})
        if {"float16", "int8"} <= set(validation):
            for name, value in validation["float16"].items():
                other = validation["int8"][name]
                chosen = release["serving"]["file"]
                rows.append(
                    f"| {release['model']} | {name} | {value:.4f} | {other:.4f} | {other - value:+.4f} | {chosen} |"
                )
    header = ["| model | validation figure | float16 | int8 | difference | served |", "|---|---|---|---|---|---|"]
    return "\n".join([*header, *rows]) if rows else ""


def main() -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, type=Path, help="the folder of the data sets")
    parser.add_argument("--limit", type=int, help="only this many images of each test set, for trying")
    parser.add_argument("--write", action="store_true", help=f"also write into {RESULTS}")
    options = parser.parse_args()
    from training.evaluate import evaluate

    specs = [spec for spec in list_models() if set(spec.attributes) & set(ATTRIBUTES)]
    measured = [evaluate(spec, options.data, limit=options.limit) for spec in specs]
    released = [json.loads((WEIGHTS / spec.name / "metrics.json").read_text(encoding="utf-8")) for spec in specs]
    limit = f"; only the first {options.limit} images of each set" if options.limit else ""
    parts = [f"{machine()}{limit}", accuracy_table(measured, released), serving_table(released)]
    text = "\n\n".join(part for part in parts if part) + "\n"
    print(text)
    if options.write:
        write_result("Accuracy", text)


if __name__ == "__main__":
    main()
