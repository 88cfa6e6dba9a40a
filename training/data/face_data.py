"""The common form of all data sets: face crops, a target per head, and the labels that are scored.

A head's target is a row of weights over its outputs. It either sums to one (a distribution to match: votes, a smoothed
age) or is a set of ones (a partial label: "one of these", for example an age bin, or "Others"). All ones means "not
known". The loss in `training/losses.py` reads both.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np

from facemodels.attributes import ATTRIBUTES, EMOTIONS
from facemodels.kinds import POINT_LABELS
from facemodels.values import POSE_LABELS

YEARS = 101  # the age head answers for 0..100 years; the last year stands for everything above
AGE_SIGMA = 2.0  # years; how sharply a known age is taken
SPLITS = ("train", "validation", "test", "public_test")
BOTH_TESTS = "both_tests"  # FER2013's two test sets together, on which four-class figures are published

# Head -> its labels. "emotion_fer2013" and "emotion4" answer the attribute "emotion" with FER2013's original labels:
# all seven, or the last four.
HEADS: dict[str, tuple[str, ...]] = {
    **{name: attribute.labels for name, attribute in ATTRIBUTES.items() if attribute.labels},
    "emotion_fer2013": EMOTIONS[:7],
    "emotion4": EMOTIONS[3:7],
    "age": tuple(str(year) for year in range(YEARS)),
    "points": POINT_LABELS,
    "pose": POSE_LABELS,
}

AGE_BINS = ((0, 2), (3, 9), (10, 19), (20, 29), (30, 39), (40, 49), (50, 59), (60, 69), (70, YEARS - 1))


@dataclass
class FaceData:
    """Face crops of one split with their labels.

    Attributes:
        name: Data set and split, for messages.
        images: Crops, ``(H, W, 3)`` or ``(H, W)`` uint8 RGB, of any size.
        targets: Head to ``(N, outputs)`` float32, as the module's docstring says.
        labels: Scored labels: name to ``(N,)``; -1 (or NaN for ages) where an image is not scored.
        groups: Name to ``(N,)`` labels for tables by group.
    """

    name: str
    images: list[np.ndarray]
    targets: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]
    groups: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.images)

    def take(self, keep: np.ndarray) -> FaceData:
        """The images at these indices (or where this mask is true)."""
        index = np.flatnonzero(keep) if keep.dtype == bool else keep
        return FaceData(
            self.name,
            [self.images[i] for i in index],
            {name: values[index] for name, values in self.targets.items()},
            {name: values[index] for name, values in self.labels.items()},
            {name: values[index] for name, values in self.groups.items()},
        )


def target_for(head: str, data: FaceData) -> np.ndarray:
    """The targets of a head; "not known" for every image if the data set does not label it."""
    unknown = np.ones((1, len(HEADS[head])), np.float32)
    return data.targets.get(head, np.repeat(unknown, len(data), axis=0))


def digest(image: np.ndarray) -> str:
    """A hash of the pixels: equal for exact copies, whatever the file format."""
    return hashlib.sha256(str(image.shape).encode() + image.tobytes()).hexdigest()


def age_distribution(age: np.ndarray) -> np.ndarray:
    """``(N, 101)`` rows: a normal distribution of `AGE_SIGMA` years around each age, cut to 0..100, summing to one."""
    years = np.arange(YEARS, dtype=np.float32)
    centre = np.minimum(age, YEARS - 1)[:, None]
    density = np.exp(-(((years - centre) / AGE_SIGMA) ** 2) / 2)
    return (density / density.sum(1, keepdims=True)).astype(np.float32)


def smooth_bins(target: np.ndarray) -> np.ndarray:
    """Age bins as distributions over their years, following a smooth curve through the counts of all bins.

    A set constrains only the mass of the whole bin. Without a data set that has ages in years, the distribution within
    a bin is unconstrained, and a network puts it anywhere.

    Args:
        target: ``(N, 101)``; rows that are not bins are unchanged.

    Returns:
        A new array of the same shape.
    """
    binned = (target.sum(1) > 1.5) & (target.sum(1) < YEARS - 0.5)
    if not binned.any():
        return target
    bins, counts = np.unique(target[binned], axis=0, return_counts=True)
    members = bins.astype(bool)
    density = (bins * (counts / bins.sum(1))[:, None]).sum(0)
    for _ in range(200):
        # Nobody is older than the last year, but as many are younger than one as are one.
        density = np.convolve(np.concatenate([density[:1], density, [0.0]]), (0.25, 0.5, 0.25), "valid")
        for member, count in zip(members, counts, strict=True):
            density[member] *= count / density[member].sum()
    smooth = target.copy()
    smooth[binned] *= density
    smooth[binned] /= smooth[binned].sum(1, keepdims=True)
    return smooth
