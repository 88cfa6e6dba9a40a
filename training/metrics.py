"""What is measured, from probabilities and labels: NumPy only, no model in sight."""

from __future__ import annotations

import numpy as np

from facemodels.registry import ETHNICITIES, ETHNICITY_FIVE
from training.datasets import AGE_BINS, FIVE_GROUPS, YEARS, FaceData


def head_metrics(data: FaceData, predictions: dict[str, np.ndarray]) -> dict[str, float]:
    """The headline figures of every head that `data` can score: accuracies 0..1, age errors in years."""
    measured: dict[str, float] = {}
    for name, (truth, probabilities) in classifications(data, predictions).items():
        measured[f"{name}_accuracy"] = accuracy(truth, probabilities)
    if "age" in predictions and "age" in data.labels:
        value, error = age_estimate(predictions["age"])
        off = np.abs(value - data.labels["age"])
        measured["age_mae"] = float(off.mean())
        measured["age_expected_error"] = float(error.mean())
    if "age" in predictions and "age_bin" in data.labels:
        off_by = np.abs(age_bins(predictions["age"]).argmax(1) - data.labels["age_bin"])
        measured["age_bin_accuracy"] = float((off_by == 0).mean())
        measured["age_bin_within_one"] = float((off_by <= 1).mean())
    return measured


def classifications(data: FaceData, predictions: dict[str, np.ndarray]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Every classification that can be scored: name to its true indices and ``(N, labels)`` probabilities."""
    found = {}
    views = dict(predictions)
    if "ethnicity" in predictions:
        views["ethnicity_five"] = five_groups(predictions["ethnicity"])
    for name, probabilities in views.items():
        if name in data.labels and name != "age":
            scored = data.labels[name] >= 0
            found[name] = (data.labels[name][scored], probabilities[scored])
    return found


def accuracy(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Share of rows whose most probable label is the true one."""
    return float((probabilities.argmax(1) == truth).mean())


def age_estimate(probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean age of each row's distribution, and the expected absolute error of that mean, both in years."""
    years = np.arange(YEARS)
    value = probabilities @ years
    error = (probabilities * np.abs(years - value[:, None])).sum(1)
    return value, error


def age_bins(probabilities: np.ndarray) -> np.ndarray:
    """``(N, 9)``: the mass inside each of FairFace's age bins."""
    return np.stack([probabilities[:, first : last + 1].sum(1) for first, last in AGE_BINS], axis=1)


def five_groups(probabilities: np.ndarray) -> np.ndarray:
    """``(N, 5)``: seven ethnicities summed into UTKFace's five groups."""
    groups = [ETHNICITY_FIVE[label] for label in ETHNICITIES]
    return np.stack(
        [probabilities[:, [i for i, g in enumerate(groups) if g == group]].sum(1) for group in FIVE_GROUPS], axis=1
    )
