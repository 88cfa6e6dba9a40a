"""How often each face is sampled, and the label prior that follows from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from training.data.face_data import FaceData


def balanced(parts: list[FaceData], balance: float, emphasis: Mapping[str, float]) -> np.ndarray | None:
    """The probability that each image is drawn, ``(N,)``, for `Config.balance` and `Config.emphasis`.

    Returns:
        None if every image is drawn once.

    Raises:
        ValueError: If a group of `emphasis` has no faces.
    """
    if not balance and not emphasis:
        return None
    names, traits = [], []
    for part in parts:
        dataset = part.name.split()[0]
        # Of some data sets neither is known: their faces are one group.
        known = {name: part.groups[name] for name in ("gender", "ethnicity", "age") if name in part.groups}
        people = [values for name, values in known.items() if name != "age"]
        rows = zip(*people, strict=True) if people else [()] * len(part)
        names += [" ".join((dataset, *row)) for row in rows]
        rows = zip(*known.values(), strict=True) if known else [()] * len(part)
        traits += [{dataset, *row} for row in rows]
    _, group, counts = np.unique(names, return_inverse=True, return_counts=True)
    often = (counts.astype(float) ** -balance)[group]
    for name, times in emphasis.items():
        emphasized = np.array([set(name.split()) <= row for row in traits])
        if not emphasized.any():
            known_traits = ", ".join(sorted(set().union(*traits)))
            raise ValueError(f"emphasis: no faces of {name}; known groups: {known_traits}")
        often[emphasized] *= times
    return often / often.sum()


def label_frequencies(targets: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """How common each label is, ``(outputs,)``, with one row of each added so that none is impossible.

    Args:
        targets: ``(N, outputs)``; rows that are not distributions are ignored.
        weights: ``(N,)``, how often each row is drawn; once by default.
    """
    known = targets.sum(1) < 1.5
    often = np.ones(len(targets)) if weights is None else weights
    return ((targets * often[:, None])[known].sum(0) + 1) / (often[known].sum() + targets.shape[1])


def class_weights(targets: np.ndarray, sizes: Sequence[int], balance: float) -> np.ndarray:
    """How often each row is drawn relative to the others of its data set, ``(N,)``, for `Config.class_balance`.

    Args:
        targets: ``(N, outputs)``; rows that are not distributions count as average.
        sizes: Rows of each data set, in order.
        balance: 0 (all alike) to 1 (every label equally often).

    Returns:
        Positive weights whose mean is one in each data set. No label is drawn more than ten times as often.
    """
    weights = []
    for rows in np.split(targets, np.cumsum(sizes)[:-1]):
        known = rows.sum(1) < 1.5
        often = np.minimum((label_frequencies(rows) * rows.shape[1]) ** -balance, 10.0)
        weight = np.where(known, rows @ often, 1.0)
        if known.any():
            weight[~known] = weight[known].mean()
        weights.append(weight / weight.mean())
    return np.concatenate(weights)


def log_priors(targets: np.ndarray, sizes: Sequence[int], weights: np.ndarray | None, strength: float) -> np.ndarray:
    """The log prior of the labels for each row, ``(N, outputs)``, as sampled from its data set.

    Args:
        targets: ``(N, outputs)``; rows that are not distributions are ignored.
        sizes: Rows of each data set, in order.
        weights: ``(N,)``, how often each row is drawn; all alike by default.
        strength: See `Config.logit_adjustment`.
    """
    ends = np.cumsum(sizes)[:-1]
    drawn = np.ones(len(targets)) if weights is None else weights / weights.mean()
    priors = []
    for rows, often in zip(np.split(targets, ends), np.split(drawn, ends), strict=True):
        prior = label_frequencies(rows, often)
        priors.append(np.repeat(strength * np.log(prior)[None], len(rows), axis=0))
    return np.concatenate(priors).astype(np.float32)


def adjusted(head: str) -> bool:
    """Whether `Config.logit_adjustment` applies to this head.

    Emotion heads only: their label frequencies are artefacts of how a data set was collected.
    """
    return head.startswith("emotion")
