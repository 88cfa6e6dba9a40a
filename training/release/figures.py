"""The figures of a model card: confusion matrices, and accuracy by group. They need the extra ``evaluate``."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from facemodels.attributes import is_numeric
from facemodels.evaluation.report import confusion_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GROUPS = "gender, ethnicity, age"  # the grouping of the fairness figure
COLOURS = 64
FAIRNESS = ("age", "gender", "ethnicity")  # for these labels; coarser views of them would only say it again


def write_figures(measured: Mapping[str, Any], folder: Path) -> None:
    """Draw the figures of all measurements.

    Args:
        measured: The content of `metrics.json`.
        folder: Where the PNG files go: ``confusion-<label>.png`` from the first test set that measures the label, and
            ``fairness-<label>.png`` from the one with the finest groups.
    """
    figures: dict[str, Figure] = {}
    for test in measured["tests"]:
        for result in test["results"]:
            name = f"confusion-{result['label']}.png"
            if "confusion" in result and name not in figures:
                title = {"model": f"{test['dataset']}: {result['label'].replace('_', ' ')}"}
                figures[name] = confusion_figure({**result, **title}, tuple(result["classes"]))
            if result["label"] in FAIRNESS and result["groups"].get(GROUPS):
                figures[f"fairness-{result['label']}.png"] = fairness_figure(result, test["dataset"])
    for name, figure in figures.items():
        save_small(figure, folder / name)


def save_small(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG of `COLOURS` colours, a quarter of the size; it travels with the weights."""
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=80)
    with Image.open(drawn) as image:
        image.convert("RGB").quantize(COLOURS).save(path, optimize=True)


def fairness_figure(result: Mapping[str, Any], dataset: str) -> Figure:
    """A cell per gender, ethnicity and age: the fraction correct (ages: the mean error), and the number of faces.

    Args:
        result: One result of `evaluate.measure`.
        dataset: Its test set, for the title.
    """
    from matplotlib.figure import Figure

    cells = {tuple(group.split(", ")): row for group, row in result["groups"][GROUPS].items()}
    rows = sorted({group[:2] for group in cells})
    columns = sorted({group[2] for group in cells}, key=lambda age: int(age.rstrip("+").split("-")[0]))
    values = np.full((len(rows), len(columns)), np.nan)
    figure = Figure((2.6 + 0.72 * len(columns), 1.4 + 0.42 * len(rows)), layout="constrained")
    axes = figure.subplots()
    years = is_numeric(result["label"])
    for (gender, ethnicity, age), cell in cells.items():
        y, x = rows.index((gender, ethnicity)), columns.index(age)
        values[y, x] = cell["value"]
        text = f"{cell['value']:.1f}" if years else f"{cell['value']:.0%}"
        axes.text(x, y, f"{text}\n{cell['count']}", ha="center", va="center", fontsize=7)
    colours, lowest, highest = ("YlOrRd", 0, 20) if years else ("RdYlGn", 0.3, 1.2)
    axes.imshow(values, cmap=colours, vmin=lowest, vmax=highest, aspect="auto")
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), [f"{gender}, {ethnicity.replace('_', ' ')}" for gender, ethnicity in rows])
    axes.set(xlabel="age, years")
    unit = "mean error in years" if years else "share read rightly"
    axes.set_title(f"{dataset}: {result['label'].replace('_', ' ')}, {unit} (below: faces)", fontsize=10)
    return figure
