"""What was measured of a model, for the models tab: the figures of its spec, and what its ``metrics.json`` adds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from facemodels.hub.registry import WEIGHTS, ModelSpec

METRICS_FILE = "metrics.json"  # beside a bundled model, written by `training.evaluate`


@dataclass(frozen=True)
class Measured:
    """One answer of a model on one data set; a figure that was not measured is None.

    Attributes:
        label: What was measured: the name of a head or a view.
        dataset: On which data.
        accuracy: Fraction of right answers.
        error: Mean absolute error, in years.
        recall: Mean recall of the classes (macro recall).
        worst: The gender and ethnicity with the worst figure, joined by ``", "``.
        worst_accuracy: Fraction of right answers in that group.
        worst_error: Mean absolute error in that group, in years.
    """

    label: str
    dataset: str
    accuracy: float | None = None
    error: float | None = None
    recall: float | None = None
    worst: str | None = None
    worst_accuracy: float | None = None
    worst_error: float | None = None


def measured(spec: ModelSpec) -> list[Measured]:
    """The figures of a model, a row per data set and answer, in the spec's order."""
    figures: dict[tuple[str, str], dict[str, float]] = {}
    for row in spec.metrics:
        figures.setdefault((row["dataset"], row["label"]), {})[row["metric"]] = row["value"]
    details = _details(spec)
    rows = []
    for (dataset, label), values in figures.items():
        if not values.keys() & {"accuracy", "mae"}:
            continue  # points and poses have other figures: their card holds them
        detail = details.get((dataset, label), {})
        classes = detail.get("classes", {}).values()
        recall = sum(one["recall"] for one in classes) / len(classes) if classes else None
        # As on the cards: where children were counted apart, of the others.
        by_group = (detail.get("fairness") or {}).get("groups") or detail.get("groups", {}).get("gender, ethnicity", {})
        pick = max if "mae" in values else min
        value, worst = pick(((one["value"], group) for group, one in by_group.items()), default=(None, None))
        rows.append(
            Measured(
                label,
                dataset,
                accuracy=values.get("accuracy"),
                error=values.get("mae"),
                recall=values.get("recall", recall),
                worst=worst,
                worst_accuracy=value if "accuracy" in values else None,
                worst_error=value if "mae" in values else None,
            )
        )
    return rows


def _details(spec: ModelSpec) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Data set and label to what ``metrics.json`` says of them, if that file is about this very model."""
    path = WEIGHTS / spec.name / METRICS_FILE
    if not path.is_file():
        return {}
    metrics = json.loads(path.read_text(encoding="utf-8"))
    if metrics.get("model") != spec.id:
        return {}
    return {
        (test["dataset"], result["label"]): result
        for test in metrics.get("tests", ())
        for result in test.get("results", ())
    }
