"""Occlusion maps: cover a patch of a face, predict again, and see how much the score changes.

A perturbation method (Zeiler and Fergus 2014): it needs only predictions, so it works for every model. It shows where
one prediction came from, not why, and misses what only several patches together would change.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Protocol

import numpy as np

from facemodels.crops import cut, face_window
from facemodels.errors import ArgumentError
from facemodels.hub.registry import ModelSpec
from facemodels.types import Face
from facemodels.values import Estimate


class CropAnalyzer(Protocol):
    """A `FaceAnalyzer`, or anything with its `analyze_crops`."""

    def analyze_crops(self, crops: Iterable[np.ndarray]) -> list[Face]:
        """See `FaceAnalyzer.analyze_crops`."""
        ...


def view(image: np.ndarray, face: Face, spec: ModelSpec, size: int = 192) -> np.ndarray:
    """The crop of a face that a model sees, at a higher resolution.

    Args:
        image: ``(H, W, 3)`` RGB uint8.
        face: One of its faces.
        spec: The model.
        size: Side of the result, in pixels.

    Returns:
        A new ``(size, size, 3)`` RGB uint8 array, as `occlusion_map` takes it.
    """
    window = face_window(face.box, margin=spec.margin, offset=spec.offset, align=spec.align, landmarks=face.landmarks)
    return cut(image, window, size)


def occlusion_map(
    analyzer: CropAnalyzer, crop: np.ndarray, label: str | None, *, attribute: str = "emotion", patches: int = 7
) -> np.ndarray:
    """How much each part of a face contributes to a label, or to a number.

    A grey patch (the crop's mean colour) moves over the crop in overlapping steps. The value of a pixel is how much the
    label's log-odds, ``log(score / (1 - score))``, fall while it is covered, as the mean of the patches that cover it.
    (The score itself hardly moves when a model is sure: from 0.999999 to 0.9999 is a long way.) For a number it is how
    much the number falls, in units of its expected error.

    Args:
        analyzer: Answers `attribute` for crops; called once, with ``patches ** 2 + 1`` of them.
        crop: ``(H, W, 3)`` RGB uint8, a face as the model sees it (`view`); not modified.
        label: The label to explain, out of the model's; None for a numeric attribute.
        attribute: The attribute to explain.
        patches: Patches per row and per column, at least 1; each is ``2 / (patches + 1)`` of the crop wide.

    Returns:
        ``(H, W)`` float64: above 0 where covering makes the label less likely (the number smaller), below 0 where more
        likely (larger). 1 is a large change: from 73 to 50 %, or by the error that the model expects.

    Raises:
        ArgumentError: If the crop is too small, or the analyzer does not answer the attribute or know the label.
    """
    height, width = crop.shape[:2]
    if patches < 1 or min(height, width) <= patches:
        raise ArgumentError(f"{patches} patches a side do not fit a crop of {width} x {height} pixels")
    rows, columns = (np.linspace(0, side, patches + 2).round().astype(int) for side in (height, width))
    windows = [
        (slice(rows[row], rows[row + 2]), slice(columns[column], columns[column + 2]))
        for row in range(patches)
        for column in range(patches)
    ]
    grey = crop.mean(axis=(0, 1)).round().astype(np.uint8)
    copies = [crop]
    for window in windows:
        copy = crop.copy()
        copy[window] = grey
        copies.append(copy)
    strength = _value if label is None else partial(_log_odds, label=label)
    whole, *covered = strength([getattr(face, attribute, None) for face in analyzer.analyze_crops(copies)], attribute)
    fall, count = np.zeros((height, width)), np.zeros((height, width))
    for window, left in zip(windows, covered, strict=True):
        fall[window] += whole - left
        count[window] += 1
    return fall / count


def _log_odds(answers: Sequence[object], attribute: str, label: str) -> np.ndarray:
    """The log-odds of a label in each answer."""
    scores = []
    for answer in answers:
        found = getattr(answer, "scores", {})
        if label not in found:
            known = ", ".join(found) or f"none: the analyzer gives no scores for {attribute!r}"
            raise ArgumentError(f"no score of {label!r} to explain; known labels: {known}")
        scores.append(found[label])
    clipped = np.clip(scores, 1e-9, 1 - 1e-9)
    return np.log(clipped / (1 - clipped))


def _value(answers: Sequence[object], attribute: str) -> np.ndarray:
    """The number in each answer, in units of the error that is expected of the first."""
    numbers = [answer for answer in answers if isinstance(answer, Estimate)]
    if len(numbers) < len(answers):
        raise ArgumentError(f"no number to explain: the analyzer gives none for {attribute!r}; name a label")
    return np.array([number.value for number in numbers]) / max(numbers[0].error, 1e-6)
