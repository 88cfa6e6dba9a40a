"""Metrics from probabilities and labels; ages by the same formula as in serving."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from facemodels.attributes import ETHNICITIES, ETHNICITY_FIVE, FIVE_GROUPS
from facemodels.evaluation.metrics import accuracy, macro_recall
from facemodels.kinds import expectation
from facemodels.values import INTERVAL
from training.data.face_data import AGE_BINS, YEARS, FaceData

SMALLEST_CLASS = 10  # faces; the recall of a rarer class is mostly chance, and enters no macro recall


def macro_recall_of_common(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """The macro recall over classes of at least `SMALLEST_CLASS` faces."""
    return macro_recall(truth, probabilities, SMALLEST_CLASS)


def head_metrics(data: FaceData, predictions: dict[str, np.ndarray]) -> dict[str, float]:
    """The headline figures of every head that `data` can score: accuracies 0..1, age errors in years."""
    measured: dict[str, float] = {}
    for name, (truth, probabilities) in classifications(data, predictions).items():
        measured[f"{name}_accuracy"] = accuracy(truth, probabilities)
        measured[f"{name}_macro_recall"] = macro_recall_of_common(truth, probabilities)
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


def years_off(data: FaceData, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The absolute error of each served age in years, and the error that it predicts for itself."""
    value, error = expectation(probabilities, np.arange(YEARS))
    return np.abs(value - data.labels["age"]), error


def bins_off(data: FaceData, probabilities: np.ndarray) -> np.ndarray:
    """The error of the most probable age bin, in bins of FairFace."""
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


TEMPERATURES = np.geomspace(0.25, 4, 161)


def best_temperature(
    truth: np.ndarray,
    probabilities: np.ndarray,
    weights: np.ndarray | None = None,
    correct: Callable[[np.ndarray], np.ndarray] = lambda probabilities: probabilities,
) -> float:
    """The temperature that makes the true labels most probable; ``p ** (1 / temperature)``, renormalized.

    Args:
        truth: ``(N,)`` indices, or ``(N, outputs)`` sets of ones that contain the truth.
        probabilities: ``(N, outputs)``.
        weights: ``(N,)``, the weight of each row; equal by default.
        correct: Applied to the probabilities that the temperature gives.
    """
    sets = np.eye(probabilities.shape[1])[truth] if truth.ndim == 1 else truth

    def loss(temperature: float) -> float:
        held = (correct(tempered(probabilities, temperature)) * sets).sum(1)
        return float(np.average(-np.log(np.clip(held, 1e-9, 1)), weights=weights))

    return float(min(TEMPERATURES, key=loss))


PRIOR_STRENGTHS = np.arange(21) / 20


def best_prior_correction(
    prior: np.ndarray,
    measured: Sequence[tuple[np.ndarray, np.ndarray]],
    disturbed: Sequence[tuple[np.ndarray, np.ndarray]] = (),
) -> tuple[float, float]:
    """The strength of a prior correction that maximizes accuracy plus macro recall, averaged over data sets.

    Ties go to the smallest strength.

    Args:
        prior: ``(labels,)``.
        measured: For each data set its true indices and ``(N, labels)`` probabilities under the prior.
        disturbed: The same of worse copies of the images, which count for the strength alone: the less an image shows,
            the more an answer follows the prior.

    Returns:
        The strength, and the temperature that comes before it: the best where labels are as common as in the prior
        that is then served, every data set counting the same.
    """

    def temperature(strength: float) -> float:
        weights = [served_weights(truth, prior, strength) for truth, _ in measured]
        truths, probabilities = (np.concatenate(rows) for rows in zip(*measured, strict=True))
        correct = partial(without_prior, prior=prior, strength=strength)
        return best_temperature(truths, probabilities, np.concatenate([row / row.sum() for row in weights]), correct)

    def gain(correction: tuple[float, float]) -> float:
        gains = []
        for truth, probabilities in (*measured, *disturbed):
            corrected = without_prior(tempered(probabilities, correction[1]), prior, correction[0])
            gains.append(accuracy(truth, corrected) + macro_recall_of_common(truth, corrected))
        return round(float(np.mean(gains)), 6)

    return max(((float(strength), temperature(strength)) for strength in PRIOR_STRENGTHS), key=gain)


def without_prior(probabilities: np.ndarray, prior: np.ndarray, strength: float) -> np.ndarray:
    """``p / prior ** strength``, normalized; a negative strength undoes a positive one. ``(N, labels)``."""
    scaled = probabilities.astype(float) / np.asarray(prior, float) ** strength
    return scaled / scaled.sum(1, keepdims=True)


def served_prior(prior: np.ndarray, strength: float) -> np.ndarray:
    """The class frequencies under which scores corrected by `without_prior` are probabilities, ``(labels,)``."""
    left = np.asarray(prior, float) ** (1 - strength)
    return left / left.sum()


def served_weights(truth: np.ndarray, prior: np.ndarray, strength: float) -> np.ndarray:
    """Weights of rows, ``(N,)``, by which labels are as common as in `served_prior`.

    Labels with fewer than `SMALLEST_CLASS` rows weigh nothing: a handful of faces cannot stand for the part of a class.
    """
    counts = np.bincount(truth, minlength=len(prior))
    enough = counts >= min(SMALLEST_CLASS, counts.max())
    return (enough * served_prior(prior, strength) / np.maximum(counts, 1))[truth]


def interval_temperature(ages: np.ndarray, probabilities: np.ndarray) -> float:
    """The temperature at which the 80 % interval of `Estimate` covers closest to 80 % of the ages, ``(N,)`` years."""

    def miss(temperature: float) -> float:
        return abs(float(covered(ages, tempered(probabilities, temperature)).mean()) - 0.8)

    return float(min(TEMPERATURES, key=miss))


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """``p ** (1 / temperature)``, renormalized; ``(N, outputs)``."""
    scaled = np.exp(np.log(np.clip(probabilities.astype(float), 1e-30, 1)) / temperature)
    return scaled / scaled.sum(1, keepdims=True)


def covered(ages: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """``(N,)`` booleans: whether the 80 % interval of each served estimate covers the age."""
    value, error = expectation(probabilities, np.arange(YEARS))
    return np.abs(value - ages) <= INTERVAL * error
