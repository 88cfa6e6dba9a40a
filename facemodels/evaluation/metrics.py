"""Metrics from true labels and probabilities, with confidence intervals. NumPy only."""

from __future__ import annotations

import numpy as np

CALIBRATION_BINS = 15
FEWEST = 5  # values; the interval of a mean of fewer is unreliable


def accuracy(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Fraction of rows whose most probable label is the true one."""
    return float((probabilities.argmax(1) == truth).mean())


def macro_recall(truth: np.ndarray, probabilities: np.ndarray, fewest: int = 1) -> float:
    """Mean of the recalls of all classes that have at least `fewest` rows; NaN if none has."""
    correct = probabilities.argmax(1) == truth
    counts = np.bincount(truth, minlength=probabilities.shape[1])
    recalls = [correct[truth == label].mean() for label in np.flatnonzero(counts >= max(fewest, 1))]
    return float(np.mean(recalls)) if recalls else float("nan")


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


def calibration(
    truth: np.ndarray, probabilities: np.ndarray, bins: int = CALIBRATION_BINS
) -> list[dict[str, float | int]]:
    """Accuracy by confidence, over equal bins; empty bins are left out.

    Returns:
        For each bin its mean ``confidence``, its ``accuracy`` and the ``count`` of its rows.
    """
    confidence = probabilities.max(1)
    correct = probabilities.argmax(1) == truth
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    return [
        {
            "confidence": float(confidence[index == b].mean()),
            "accuracy": float(correct[index == b].mean()),
            "count": int((index == b).sum()),
        }
        for b in sorted(set(index.tolist()))
    ]


def calibration_error(
    truth: np.ndarray, probabilities: np.ndarray, bins: int = CALIBRATION_BINS, weights: np.ndarray | None = None
) -> float:
    """Expected calibration error: the gap between confidence and accuracy, averaged over equal bins of confidence.

    Args:
        truth: ``(N,)`` indices.
        probabilities: ``(N, labels)``.
        bins: Number of bins.
        weights: ``(N,)``, the weight of each row; equal by default.
    """
    weights = np.ones(len(truth)) if weights is None else weights
    confidence = probabilities.max(1)
    excess = (probabilities.argmax(1) == truth) - confidence
    bin_index = np.minimum((confidence * bins).astype(int), bins - 1)
    return float(np.abs(np.bincount(bin_index, weights * excess)).sum() / weights.sum())


def wilson_interval(fraction: float, count: int) -> tuple[float, float]:
    """The 95 % confidence interval of a fraction measured on `count` examples (Wilson 1927)."""
    z = 1.96
    middle = (fraction + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * np.sqrt(fraction * (1 - fraction) / count + z * z / (4 * count * count))
    return float(middle - half), float(middle + half)


def mean_interval(values: np.ndarray) -> tuple[float, float] | None:
    """The 95 % confidence interval of a mean, by the normal approximation; None for fewer than `FEWEST` values."""
    if len(values) < FEWEST:
        return None
    middle, half = float(values.mean()), 1.96 * float(values.std(ddof=1)) / len(values) ** 0.5
    return middle - half, middle + half
