"""What is measured, from probabilities and labels; ages by the very formula that serving uses."""

from __future__ import annotations

import numpy as np

from facemodels.models import age_estimate
from facemodels.registry import ETHNICITIES, ETHNICITY_FIVE
from training.datasets import AGE_BINS, FIVE_GROUPS, YEARS, FaceData


def head_metrics(data: FaceData, predictions: dict[str, np.ndarray]) -> dict[str, float]:
    """The headline figures of every head that `data` can score: accuracies 0..1, age errors in years."""
    measured: dict[str, float] = {}
    for name, (truth, probabilities) in classifications(data, predictions).items():
        measured[f"{name}_accuracy"] = accuracy(truth, probabilities)
    if "age" in predictions and "age" in data.labels:
        off, error = years_off(data, predictions["age"])
        measured["age_mae"] = float(off.mean())
        measured["age_expected_error"] = float(error.mean())
    if "age" in predictions and "age_bin" in data.labels:
        off_by = bins_off(data, predictions["age"])
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


def years_off(data: FaceData, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many years each served age is off, and how many it says itself that it is off."""
    value, error = age_estimate(probabilities, np.arange(YEARS))
    return np.abs(value - data.labels["age"]), error


def bins_off(data: FaceData, probabilities: np.ndarray) -> np.ndarray:
    """How many of FairFace's age bins each most probable bin is off."""
    return np.abs(age_bins(probabilities).argmax(1) - data.labels["age_bin"])


def age_bins(probabilities: np.ndarray) -> np.ndarray:
    """``(N, 9)``: the mass inside each of FairFace's age bins."""
    return np.stack([probabilities[:, first : last + 1].sum(1) for first, last in AGE_BINS], axis=1)


def five_groups(probabilities: np.ndarray) -> np.ndarray:
    """``(N, 5)``: seven ethnicities summed into UTKFace's five groups."""
    groups = [ETHNICITY_FIVE[label] for label in ETHNICITIES]
    return np.stack(
        [probabilities[:, [i for i, g in enumerate(groups) if g == group]].sum(1) for group in FIVE_GROUPS], axis=1
    )


def class_table(truth: np.ndarray, probabilities: np.ndarray, labels: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Precision, recall, F1 and support of every label, 0..1; without examples or predictions, 0."""
    predicted = probabilities.argmax(1)
    table = {}
    for index, label in enumerate(labels):
        hit = int(((predicted == index) & (truth == index)).sum())
        said, support = int((predicted == index).sum()), int((truth == index).sum())
        precision, recall = hit / max(said, 1), hit / max(support, 1)
        f1 = 2 * precision * recall / max(precision + recall, 1e-12)
        table[label] = {"precision": precision, "recall": recall, "f1": f1, "support": support}
    return table


def confusion(truth: np.ndarray, probabilities: np.ndarray) -> list[list[int]]:
    """Counts: a row per true label, a column per predicted one."""
    count = probabilities.shape[1]
    flat = np.bincount(truth * count + probabilities.argmax(1), minlength=count * count)
    return flat.reshape(count, count).tolist()


def calibration_error(truth: np.ndarray, probabilities: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error: how far confidence and accuracy lie apart, averaged over equal bins of confidence."""
    confidence = probabilities.max(1)
    correct = probabilities.argmax(1) == truth
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [abs(correct[place == b].mean() - confidence[place == b].mean()) * (place == b).mean() for b in set(place)]
    return float(sum(gaps))


def wilson_interval(share: float, count: int) -> tuple[float, float]:
    """The 95 % confidence interval of a share measured on `count` examples (Wilson 1927)."""
    z = 1.96
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return float(middle - half), float(middle + half)


def best_temperature(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """The temperature that makes the true labels most probable; ``p ** (1 / temperature)``, renormalized.

    Args:
        truth: ``(N,)`` indices, or ``(N, outputs)`` sets of ones that hold the truth.
        probabilities: ``(N, outputs)``.
    """
    sets = np.eye(probabilities.shape[1])[truth] if truth.ndim == 1 else truth
    logits = np.log(np.clip(probabilities, 1e-9, 1))
    candidates = np.geomspace(0.25, 4, 161)

    def loss(temperature: float) -> float:
        scaled = np.exp(logits / temperature)
        scaled /= scaled.sum(1, keepdims=True)
        return float(-np.log(np.clip((scaled * sets).sum(1), 1e-9, 1)).mean())

    return float(min(candidates, key=loss))
