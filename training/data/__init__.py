"""Data sets by name: `load` reads each into the common form of `face_data`.

To add one: a reader in a module of its own and its line in `DATASETS`, or a `prepare.py` that writes a manifest.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from facemodels.errors import DataError
from training.data import manifest, packed
from training.data.face_data import BOTH_TESTS, SPLITS, FaceData
from training.data.synthetic import synthetic

DATASETS: dict[str, Callable[[Path, str], FaceData]] = {
    "fer2013": packed.fer2013,
    "utkface": packed.utkface,
    "fairface": packed.fairface,
    "lfw_expressions": packed.lfw_expressions,
    "manifest": manifest.face_data,
    "synthetic": synthetic,
}


def load(name: str, split: str, folder: str | Path, limit: int | None = None) -> FaceData:
    """Read one split of one data set.

    Args:
        name: A key of `DATASETS`.
        split: ``train``, ``validation``, ``test`` or (FER2013 only) ``public_test`` and ``both_tests``.
        folder: Where its files are.
        limit: Use only this many images, spread evenly over the split.

    Raises:
        DataError: If files are missing or malformed; the message names them.
        ValueError: If the data set or the split is unknown.
    """
    if name not in DATASETS:
        raise ValueError(f"unknown data set {name!r}; known: {', '.join(DATASETS)}")
    if split not in (*SPLITS, BOTH_TESTS):
        raise ValueError(f"unknown split {split!r}; known: {', '.join(SPLITS)}")
    data = DATASETS[name](Path(folder), split)
    if limit is not None and limit < len(data):
        data = data.take(np.linspace(0, len(data) - 1, limit).astype(int))
    if not len(data):
        raise DataError(f"{name}: no images in the split {split!r} under {folder}")
    return data
