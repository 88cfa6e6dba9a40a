"""Measure a model folder on its test sets: `python -m training.evaluate emotion-efficientnet --data DIR`.

It loads the serving file as users do, through `facemodels`, and measures every head on every test set that labels it.
Nothing is chosen on test sets: this runs once, at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain, combinations, takewhile
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np

from facemodels.attributes import FIVE_GROUPS, ON_REQUEST, is_numeric
from facemodels.crops import Window, cut, cut_all, whole_window
from facemodels.evaluation.metrics import (
    accuracy,
    calibration_error,
    class_table,
    confusion,
    mean_interval,
    wilson_interval,
)
from facemodels.hub import store
from facemodels.hub.registry import Head, ModelSpec
from facemodels.kinds import expectation
from facemodels.models import AttributeModel
from facemodels.values import Points, Pose
from training import metrics
from training.data import load
from training.data.face_data import BOTH_TESTS, HEADS, YEARS, FaceData

# Which test sets measure a head; the names are those that the literature uses.
FER2013_TESTS = (("fer2013", "test", "FER2013 PrivateTest"), ("fer2013", "public_test", "FER2013 PublicTest"))
LFW_TEST = ("lfw_expressions", "test", "LFW expressions test")
TEST_SETS = {
    "emotion": (*FER2013_TESTS, LFW_TEST),
    "emotion_fer2013": FER2013_TESTS,
    "emotion4": (("fer2013", BOTH_TESTS, "FER2013 both test sets"),),
    "age": (("utkface", "test", "UTKFace test"), ("fairface", "test", "FairFace validation")),
    "gender": (("utkface", "test", "UTKFace test"), ("fairface", "test", "FairFace validation")),
    "ethnicity": (("utkface", "test", "UTKFace test"), ("fairface", "test", "FairFace validation")),
}
LABELS = {**HEADS, "ethnicity_five": FIVE_GROUPS}
SMALLEST_GROUP = 10  # smaller groups are left out of the tables
YAW = "degrees of yaw"  # the grouping by how far a head is turned sideways


def predict(model: AttributeModel, data: FaceData) -> dict[str, np.ndarray]:
    """Output name to ``(N, labels)`` probabilities, for whole crops."""
    crops = cut_all(data.images, [whole_window(image) for image in data.images], model.spec.input_size)
    return model.probabilities(crops)


def measure(
    data: FaceData, predictions: dict[str, np.ndarray], heads: Mapping[str, Head] = MappingProxyType({})
) -> list[dict[str, Any]]:
    """Measure one test set: one entry per label that it can score.

    Args:
        data: The test set.
        predictions: Output name to ``(N, labels)`` probabilities.
        heads: Output name to its head, for those with a known prior.
    """
    results: list[dict[str, Any]] = []
    for name, (truth, probabilities) in metrics.classifications(data, predictions).items():
        table = class_table(truth, probabilities, LABELS[name])
        share = accuracy(truth, probabilities)
        present = [row["f1"] for row in table.values() if row["support"]]
        correct = probabilities.argmax(1) == truth
        scored = data.labels[name] >= 0
        results.append(
            {
                "label": name,
                "count": len(truth),
                "accuracy": share,
                "accuracy_interval": wilson_interval(share, len(truth)),
                "macro_f1": float(np.mean(present)),
                "macro_recall": metrics.macro_recall_of_common(truth, probabilities),
                "calibration_error": calibration_error(truth, probabilities),
                "classes": table,
                "confusion": confusion(truth, probabilities),
                "groups": _by_group(data, correct, scored),
                "fairness": fairness(data, correct, scored),
                **_prior(truth, probabilities, heads.get(name)),
            }
        )
    if "age" in predictions and "age" in data.labels:
        off, error = metrics.years_off(data, predictions["age"])
        inside = metrics.covered(data.labels["age"], predictions["age"])
        everyone = np.ones(len(off), bool)
        results.append(
            {
                "label": "age",
                "count": len(off),
                "mae": float(off.mean()),
                "mae_interval": [float(off.mean() + s * 1.96 * off.std() / len(off) ** 0.5) for s in (-1, 1)],
                "expected_error": float(error.mean()),
                "interval_coverage": float(inside.mean()),
                "interval_coverage_by_age": _by_group(data, inside, everyone).get("age", {}),
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
                "accuracy_interval": wilson_interval(float((off_by == 0).mean()), len(off_by)),
                "within_one": float((off_by <= 1).mean()),
                "groups": _by_group(data, off_by == 0, np.ones(len(off_by), bool)),
            }
        )
    return results


def _prior(truth: np.ndarray, probabilities: np.ndarray, head: Head | None) -> dict[str, Any]:
    """The effect of a head's prior correction: its figures without it, and its calibration with it."""
    if head is None or not head.prior:
        return {}
    prior = np.array(head.prior)
    uncorrected = metrics.without_prior(probabilities, prior, -head.prior_strength)
    # Scores are probabilities where labels are as common as in the prior that is left.
    weights = metrics.served_weights(truth, prior, head.prior_strength)
    return {
        "without_prior_correction": {
            "accuracy": accuracy(truth, uncorrected),
            "macro_recall": metrics.macro_recall_of_common(truth, uncorrected),
            "calibration_error": calibration_error(truth, uncorrected),
        },
        "served_prior_calibration_error": calibration_error(truth, probabilities, weights=weights),
    }


def _by_group(data: FaceData, values: np.ndarray, scored: np.ndarray) -> dict[str, dict[str, dict[str, Any]]]:
    """The mean of `values` (one per scored image) in every group large enough, with its count and 95 % interval.

    Each grouping alone and all of them crossed, from pairs on; the grouping by yaw is not crossed.
    """
    tables: dict[str, dict[str, dict[str, Any]]] = {}
    people = [name for name in data.groups if name != YAW]
    crossed = chain.from_iterable(combinations(people, size) for size in range(1, len(people) + 1))
    for names in (*crossed, *((YAW,) for _ in data.groups.keys() & {YAW})):
        members = np.array([", ".join(row) for row in zip(*(data.groups[n][scored] for n in names), strict=True)])
        tables[", ".join(names)] = {
            group: _group_row(values[members == group])
            for group in sorted(set(members.tolist()), key=_natural)
            if (members == group).sum() >= SMALLEST_GROUP
        }
    return tables


def fairness(data: FaceData, values: np.ndarray, scored: np.ndarray) -> dict[str, Any]:
    """Children under ten separately; of the others every gender and ethnicity, and the gap of the worst group."""
    if not {"gender", "ethnicity", "age"} <= set(data.groups):
        return {}
    gender, ethnicity, age = (data.groups[name][scored] for name in ("gender", "ethnicity", "age"))
    child = np.array([_natural(group)[1] < 10 for group in age])
    members = np.array([", ".join(row) for row in zip(gender, ethnicity, strict=True)])
    groups = {
        group: _group_row(values[(members == group) & ~child])
        for group in sorted(set(members.tolist()))
        if ((members == group) & ~child).sum() >= SMALLEST_GROUP
    }
    if not groups or not child.any():
        return {}
    others = _group_row(values[~child])
    worst = min(groups, key=lambda group: groups[group]["value"])
    return {
        "children": _group_row(values[child]),
        "others": others,
        "groups": groups,
        "worst": worst,
        "gap": others["value"] - groups[worst]["value"],
    }


def _group_row(values: np.ndarray) -> dict[str, Any]:
    share = float(values.mean())
    interval = wilson_interval(share, len(values)) if values.dtype == bool else mean_interval(values)
    return {"value": share, "count": len(values), "interval": interval}


def _natural(group: str) -> tuple[str, int, str]:
    """Sorts "3-9" before "10-19", after another group's name too."""
    text, _, last = group.rpartition(", ")
    first = "".join(takewhile(str.isdigit, last))
    return text, int(first or 0), last


def disturbed(images: list[np.ndarray], disturbance: str, rng: np.random.Generator) -> list[np.ndarray]:
    """Face crops as a worse camera would record them; `disturbance` is a key of `DISTURBANCES`."""
    return [DISTURBANCES[disturbance](image if image.ndim == 3 else np.dstack([image] * 3), rng) for image in images]


def _turned(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return cut(image, replace(whole_window(image), angle=float(rng.choice((-20, 20)))), image.shape[0])


def landmarks(data: FaceData) -> dict[str, list[Any]]:
    """Predictions of the bundled landmarks model for face crops.

    Returns:
        ``points`` to a `Points` per crop, in fractions of the crop's sides, and ``pose`` to a `Pose` per crop.
    """
    model = AttributeModel(store.resolve(ON_REQUEST["points"].default_model))
    answers = predict(model, data)
    return {
        head.attribute: ON_REQUEST[head.attribute].kind.decode(head.labels, answers[head.output])
        for head in model.spec.heads
    }


def yaw_groups(poses: Sequence[Pose]) -> np.ndarray:
    """How far each head is turned sideways, ``(N,)``, as groups of a `FaceData`."""
    return np.array(["0-14", "15-29", "30-90"])[np.digitize([abs(pose.yaw) for pose in poses], (15, 30))]


def with_sunglasses(image: np.ndarray, points: Points) -> np.ndarray:
    """A face crop with its eyes covered by dark glasses; `points` are in fractions of its sides."""
    covered = image.copy()
    xy = np.array(points.points) * image.shape[1::-1]
    eyes = [xy[36:42].mean(0), xy[42:48].mean(0)]
    distance = float(np.linalg.norm(eyes[1] - eyes[0]))
    angle = float(np.degrees(np.arctan2(*(eyes[1] - eyes[0])[::-1])))
    black = (12,) * 3
    for eye in eyes:
        cv2.ellipse(covered, (tuple(eye.tolist()), (0.8 * distance, 0.6 * distance), angle), black, cv2.FILLED)
    bridge = [tuple(round(value) for value in eye) for eye in eyes]
    cv2.line(covered, bridge[0], bridge[1], black, max(1, int(0.1 * distance)))
    return covered


def _small(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return cv2.resize(cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA), image.shape[1::-1])


DISTURBANCES: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "turned by 20 degrees": _turned,
    "blurred (sigma 3 % of the side)": lambda image, rng: cv2.GaussianBlur(image, (0, 0), 0.03 * image.shape[0]),
    "dark (a quarter of the light)": lambda image, rng: (image // 4).astype(np.uint8),
    "grey": lambda image, rng: np.dstack([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)] * 3),
    "32 pixels": _small,
}


# The same face framed 10 % looser, 10 % tighter, and moved by 10 % of the crop's side each way.
REFRAMED: tuple[Callable[[Window], Window], ...] = (
    lambda window: replace(window, width=window.width * 1.1, height=window.height * 1.1),
    lambda window: replace(window, width=window.width * 0.9, height=window.height * 0.9),
    lambda window: replace(window, cx=window.cx + 0.1 * window.width),
    lambda window: replace(window, cx=window.cx - 0.1 * window.width),
    lambda window: replace(window, cy=window.cy + 0.1 * window.height),
    lambda window: replace(window, cy=window.cy - 0.1 * window.height),
)
MOVED = 8  # years; an age that moves further with the framing counts as another answer


def robustness(
    model: AttributeModel, data: FaceData, predictions: dict[str, np.ndarray], points: Sequence[Points]
) -> dict[str, dict[str, float]]:
    """The headline figures of one test set unchanged, under each of `DISTURBANCES`, and with the eyes covered.

    Args:
        model: The model.
        data: The faces.
        predictions: Its predictions for the unchanged faces.
        points: The landmarks of each face, as from `landmarks`.
    """
    answers = {"as it is": predictions}
    for name in DISTURBANCES:
        worse = replace(data, images=disturbed(data.images, name, np.random.default_rng(0)))
        answers[name] = predict(model, worse)
    covered = [with_sunglasses(image, face) for image, face in zip(data.images, points, strict=True)]
    answers["sunglasses"] = predict(model, replace(data, images=covered))
    table = {}
    for name, rows in answers.items():
        table[name] = metrics.head_metrics(data, rows)
        if "age" in rows and "age" in data.labels:
            table[name]["interval_coverage"] = float(metrics.covered(data.labels["age"], rows["age"]).mean())
    return table


def reframing(model: AttributeModel, data: FaceData, predictions: Mapping[str, np.ndarray]) -> dict[str, float]:
    """How often the answer changes when the same face is framed slightly differently (`REFRAMED`).

    Args:
        model: The model.
        data: The faces.
        predictions: Its predictions for the unchanged faces.

    Returns:
        Output name to the fraction, over all faces and framings, of answers whose first label is another, or whose age
        has moved by more than `MOVED` years.
    """

    def read(rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {
            name: expectation(row, np.arange(YEARS))[0] if is_numeric(name) else row.argmax(1)
            for name, row in rows.items()
        }

    usual, others = read(predictions), []
    for changed in REFRAMED:
        windows = [changed(whole_window(image)) for image in data.images]
        others.append(read(model.probabilities(cut_all(data.images, windows, model.spec.input_size))))
    least = {name: MOVED if is_numeric(name) else 0 for name in usual}
    return {
        name: float(np.mean([np.abs(other[name] - usual[name]) > least[name] for other in others])) for name in usual
    }


def latency(model: AttributeModel, calls: int = 20, rounds: int = 5) -> float:
    """Median milliseconds of one crop in one call, warm: the best of several rounds, as other load only adds to it."""
    model.warmup()
    crop = np.zeros((1, model.spec.input_size, model.spec.input_size, 3), np.uint8)
    medians = []
    for _ in range(rounds):
        times = []
        for _ in range(calls):
            start = time.perf_counter()
            model.probabilities(crop)
            times.append((time.perf_counter() - start) * 1e3)
        medians.append(statistics.median(times))
    return min(medians)


def evaluate(
    spec: ModelSpec,
    data_folder: str | Path,
    *,
    backend: str = "litert",
    limit: int | None = None,
    disturb: bool = False,
) -> dict[str, Any]:
    """Measure a model on every test set of its attributes.

    Args:
        spec: The model; its file is verified and loaded as for users.
        data_folder: Where the data sets are.
        backend: See `FaceAnalyzer`.
        limit: Use only this many images of each test set, for a quick try; the result records it.
        disturb: Also measure under `DISTURBANCES`, with sunglasses, and by yaw.

    Returns:
        The content of `metrics.json`.
    """
    model = AttributeModel(spec, backend=backend)
    sets = list(dict.fromkeys(entry for head in spec.heads for entry in TEST_SETS[head.output]))
    tests: list[dict[str, Any]] = []
    for dataset, split, title in sets:
        data = load(dataset, split, data_folder, limit)
        if disturb:
            seen = landmarks(data)
            data = replace(data, groups={**data.groups, YAW: yaw_groups(seen["pose"])})
        heads = {head.output: head for head in spec.heads}
        predictions = predict(model, data)
        tests.append({"dataset": title, "results": measure(data, predictions, heads)})
        if disturb:
            tests[-1]["robustness"] = robustness(model, data, predictions, seen["points"])
            tests[-1]["reframing"] = reframing(model, data, predictions)
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
    names = {
        "accuracy": "accuracy",
        "macro_recall": "recall",
        "macro_f1": "f1",
        "mae": "mae",
        "within_one": "within_one_bin",
    }
    return [
        {
            "dataset": test["dataset"],
            "label": result["label"],
            "metric": metric,
            "value": round(result[key], 6),  # the tables round it once more: that must not show
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
    parser.add_argument("model", help="a model's name, name@version, or a release folder")
    parser.add_argument("--data", default=os.environ.get("FACEMODELS_DATA"), help="folder of the data sets")
    parser.add_argument("--backend", default="litert", choices=("litert", "keras"))
    parser.add_argument("--limit", type=int, help="use only this many images of each test set")
    parser.add_argument("--robustness", action="store_true", help="also turned, blurred, dark, grey and small faces")
    parser.add_argument("--json", action="store_true", help="print all measurements as JSON")
    options = parser.parse_args(arguments)
    if not options.data:
        parser.error("give the folder of the data sets with --data or FACEMODELS_DATA")
    measured = evaluate(
        store.resolve(options.model),
        options.data,
        backend=options.backend,
        limit=options.limit,
        disturb=options.robustness,
    )
    if options.json:
        json.dump(measured, sys.stdout, indent=2)
        sys.stdout.write("\n")
        return
    for row in headline(measured):
        print(f"{row['dataset']:22} {row['label']:16} {row['metric']:14} {row['value']:8.4f}  ({row['count']})")
    for test in measured["tests"]:
        for name, row in test.get("robustness", {}).items():
            print(f"{test['dataset']:22} {name:32} " + "  ".join(f"{key} {value:.4f}" for key, value in row.items()))
    print(f"{measured['latency_ms']:.2f} ms a face on {measured['machine']}")


if __name__ == "__main__":
    main()
