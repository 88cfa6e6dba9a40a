"""Measure a model folder on its test sets: `python -m training.evaluate emotion-efficientnet --data DIR`.

It opens the serving file as users do, through `facemodels`, and measures every head on every test set that labels it.
Test sets choose nothing: this runs once, at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from facemodels import hub
from facemodels.crops import cut_all, whole_window
from facemodels.models import AttributeModel
from facemodels.registry import ETHNICITIES, GENDERS, ModelSpec
from training import metrics
from training.datasets import FIVE_GROUPS, HEADS, FaceData, load

# Which test sets measure an attribute's heads; the names are those that the literature uses.
TEST_SETS = {
    "emotion": (("fer2013", "test", "FER2013 PrivateTest"), ("fer2013", "public_test", "FER2013 PublicTest")),
    "age": (("utkface", "test", "UTKFace test"), ("fairface", "test", "FairFace validation")),
    "gender": (("utkface", "test", "UTKFace test"), ("fairface", "test", "FairFace validation")),
    "ethnicity": (("utkface", "test", "UTKFace test"), ("fairface", "test", "FairFace validation")),
}
LABELS = {**HEADS, "gender": GENDERS, "ethnicity": ETHNICITIES, "ethnicity_five": FIVE_GROUPS}
SMALLEST_GROUP = 20  # groups with fewer faces say nothing and are left out of the tables


def predict(model: AttributeModel, data: FaceData) -> dict[str, np.ndarray]:
    """Output name to ``(N, labels)`` probabilities, for whole crops."""
    crops = cut_all(data.images, [whole_window(image) for image in data.images], model.spec.input_size)
    return model.probabilities(crops)


def measure(data: FaceData, predictions: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """Everything measured on one test set: one entry per label that it can score."""
    results: list[dict[str, Any]] = []
    for name, (truth, probabilities) in metrics.classifications(data, predictions).items():
        table = metrics.class_table(truth, probabilities, LABELS[name])
        share = metrics.accuracy(truth, probabilities)
        present = [row["f1"] for row in table.values() if row["support"]]
        correct = probabilities.argmax(1) == truth
        scored = data.labels[name] >= 0
        results.append(
            {
                "label": name,
                "count": len(truth),
                "accuracy": share,
                "accuracy_interval": metrics.wilson_interval(share, len(truth)),
                "macro_f1": float(np.mean(present)),
                "calibration_error": metrics.calibration_error(truth, probabilities),
                "classes": table,
                "confusion": metrics.confusion(truth, probabilities),
                "groups": _by_group(data, correct, scored),
            }
        )
    if "age" in predictions and "age" in data.labels:
        off, error = metrics.years_off(data, predictions["age"])
        everyone = np.ones(len(off), bool)
        results.append(
            {
                "label": "age",
                "count": len(off),
                "mae": float(off.mean()),
                "mae_interval": [float(off.mean() + s * 1.96 * off.std() / len(off) ** 0.5) for s in (-1, 1)],
                "expected_error": float(error.mean()),
                "groups": _by_group(data, off, everyone),
            }
        )
    if "age" in predictions and "age_bin" in data.labels:
        off_by = metrics.bins_off(data, predictions["age"])
        results.append(
            {
                "label": "age_bin",
                "count": len(off_by),
                "accuracy": float((off_by == 0).mean()),
                "accuracy_interval": metrics.wilson_interval(float((off_by == 0).mean()), len(off_by)),
                "within_one": float((off_by <= 1).mean()),
                "groups": _by_group(data, off_by == 0, np.ones(len(off_by), bool)),
            }
        )
    return results


def _by_group(data: FaceData, values: np.ndarray, scored: np.ndarray) -> dict[str, dict[str, dict[str, float]]]:
    """The mean of `values` (one per scored image) in every group large enough, with its count."""
    tables: dict[str, dict[str, dict[str, float]]] = {}
    for name, groups in data.groups.items():
        members = groups[scored]
        tables[name] = {
            str(group): {"value": float(values[members == group].mean()), "count": int((members == group).sum())}
            for group in sorted(set(members), key=_natural)
            if (members == group).sum() >= SMALLEST_GROUP
        }
    return tables


def _natural(group: str) -> tuple[int, str]:
    """Sorts "3-9" before "10-19"."""
    first = "".join(takewhile(str.isdigit, group))
    return int(first or 0), group


def latency(model: AttributeModel, calls: int = 60) -> float:
    """Median milliseconds of one crop in one call, warm."""
    crop = np.zeros((1, model.spec.input_size, model.spec.input_size, 3), np.uint8)
    times = []
    for _ in range(calls):
        start = time.perf_counter()
        model.probabilities(crop)
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times[calls // 6 :])


def evaluate(
    spec: ModelSpec, data_folder: str | Path, *, backend: str = "litert", limit: int | None = None
) -> dict[str, Any]:
    """Measure a model on every test set that its attributes have.

    Args:
        spec: The model; its file is verified and opened as users do.
        data_folder: Where the data sets are.
        backend: As of `FaceAnalyzer`.
        limit: Use only this many images of each test set (for trying; the result says so).

    Returns:
        What stands in `metrics.json`.
    """
    model = AttributeModel(spec, backend=backend)
    sets = list(dict.fromkeys(entry for attribute in spec.attributes for entry in TEST_SETS[attribute]))
    tests = []
    for dataset, split, title in sets:
        data = load(dataset, split, data_folder, limit)
        tests.append({"dataset": title, "results": measure(data, predict(model, data))})
    return {
        "model": spec.id,
        "backend": backend,
        "limit": limit,
        "tests": tests,
        "latency_ms": latency(model),
        "machine": f"{os.cpu_count()} processors, {platform.machine()}, {platform.system()}",
    }


def headline(measured: dict[str, Any]) -> list[dict[str, Any]]:
    """The figures that a spec and a card's `model-index` carry: data set, label, metric, value, count."""
    names = {"accuracy": "accuracy", "macro_f1": "f1", "mae": "mae", "within_one": "within_one_bin"}
    return [
        {
            "dataset": test["dataset"],
            "label": result["label"],
            "metric": metric,
            "value": round(result[key], 4),
            "count": result["count"],
        }
        for test in measured["tests"]
        for result in test["results"]
        for key, metric in names.items()
        if key in result
    ]


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a model's name, name@version, or a folder that export made")
    parser.add_argument("--data", default=os.environ.get("FACEMODELS_DATA"), help="folder of the data sets")
    parser.add_argument("--backend", default="litert", choices=("litert", "keras"))
    parser.add_argument("--limit", type=int, help="use only this many images of each test set")
    parser.add_argument("--json", action="store_true", help="print everything that was measured, as JSON")
    options = parser.parse_args(arguments)
    if not options.data:
        parser.error("give the folder of the data sets with --data or FACEMODELS_DATA")
    measured = evaluate(hub.resolve(options.model), options.data, backend=options.backend, limit=options.limit)
    if options.json:
        json.dump(measured, sys.stdout, indent=2)
        sys.stdout.write("\n")
        return
    for row in headline(measured):
        print(f"{row['dataset']:22} {row['label']:16} {row['metric']:14} {row['value']:8.4f}  ({row['count']})")
    print(f"{measured['latency_ms']:.2f} ms a face on {measured['machine']}")


if __name__ == "__main__":
    main()
