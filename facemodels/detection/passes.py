"""Multi-pass detection with a network that sees faces of 10 to 300 px: pyramid levels, tiles, non-maximum suppression.

Both networks take time in proportion to the pixels. Attributes need a face of some 16 px, so every image is passed once
shrunk by SHRINK, to a size within FIRST_PASS; then small, with its edge repeated around it, for faces that fill the
frame or are cut by its border; and a large image once more, in overlapping tiles, for small faces.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

from facemodels.detection.base import faces_from_rows
from facemodels.types import Face

SHRINK = 1.5
FIRST_PASS = (320, 640)  # least and most pixels of the longer side
SMALL_PASS = 160
BORDER = 0.1  # of the longer side
FINE_PASS = 2048
FINE_FROM = 1280  # longest side above which the first pass alone misses too much
TILE = 704
TILE_OVERLAP = 96  # in pixels of the fine pass; faces larger than this were found by the first pass
SAME_FACE = 0.4  # intersection over union above which two boxes are one face


class Pass(NamedTuple):
    """One image that the network sees.

    Attributes:
        image: ``(H, W, 3)`` RGB uint8.
        scale: Pixels of the original per pixel of `image`.
        left: Where `image` begins in the original, pixels.
        top: The same, from above.
    """

    image: np.ndarray
    scale: float
    left: float
    top: float

    def to_original(self, rows: np.ndarray) -> np.ndarray:
        """Rows (see `MultiPassDetector.find`) in pixels of the original."""
        rows = rows.astype(float)
        rows[:, :-1] *= self.scale
        rows[:, [0, *range(4, 14, 2)]] += self.left
        rows[:, [1, *range(5, 14, 2)]] += self.top
        return rows


class MultiPassDetector(ABC):
    """A detector that runs a network in several passes; a subclass gives the network."""

    name = ""

    @abstractmethod
    def find(self, image: np.ndarray) -> np.ndarray:
        """Run the network once; thread-safe.

        Args:
            image: ``(H, W, 3)`` RGB uint8 of moderate size.

        Returns:
            ``(N, 15)``: x, y, width, height, five landmarks, score 0..1.
        """

    def detect(self, image: np.ndarray, min_score: float = 0.6) -> list[Face]:
        """See `FaceDetector.detect`."""
        height, width = image.shape[:2]
        rows = [row for level in passes(image) for row in level.to_original(self.find(level.image))]
        return faces_from_rows(merge([row for row in rows if row[-1] >= min_score]), width, height)


def passes(image: np.ndarray) -> Iterator[Pass]:
    """The passes of an image, coarse to fine."""
    longest = max(image.shape[:2])
    fine_scale = max(1.0, longest / FINE_PASS)
    # Each is made from the one before, since shrinking takes time in proportion to what it starts from.
    fine = resized(image, image, fine_scale) if longest > FINE_FROM else image

    least, most = FIRST_PASS
    # A tiny image is enlarged, or the network has too few cells.
    scale = longest / min(max(longest / SHRINK, least), most, max(longest, 64))
    first = resized(fine, image, scale)
    yield Pass(first, scale, 0.0, 0.0)

    scale = longest / min(SMALL_PASS, max(longest, 64))
    edge = round(BORDER * longest / scale)
    small = resized(first, image, scale)
    padded = cv2.copyMakeBorder(small, edge, edge, edge, edge, cv2.BORDER_REPLICATE)
    yield Pass(padded, scale, -edge * scale, -edge * scale)

    if longest > FINE_FROM:
        for rows in tiles(fine.shape[0]):
            for columns in tiles(fine.shape[1]):
                yield Pass(fine[rows, columns], fine_scale, columns.start * fine_scale, rows.start * fine_scale)


def resized(source: np.ndarray, image: np.ndarray, scale: float) -> np.ndarray:
    """The image made `scale` times smaller, from a `source` that shows the same in at least as many pixels."""
    size = max(1, round(image.shape[1] / scale)), max(1, round(image.shape[0] / scale))
    if size == source.shape[1::-1]:
        return source
    shrinks = size[0] < source.shape[1] or size[1] < source.shape[0]
    return cv2.resize(source, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def tiles(length: int) -> list[slice]:
    """The fewest equal tiles of at most TILE pixels that cover a length and overlap by about TILE_OVERLAP."""
    count = max(1, math.ceil((length - TILE_OVERLAP) / (TILE - TILE_OVERLAP)))
    size = min(length, math.ceil((length + (count - 1) * TILE_OVERLAP) / count))
    starts = np.linspace(0, length - size, count).astype(int).tolist()
    return [slice(start, start + size) for start in starts]


def merge(rows: list[np.ndarray]) -> list[np.ndarray]:
    """One row per face: of overlapping ones the one with the best score (greedy non-maximum suppression).

    Scores count by tenths: between near-equals the earlier pass wins, whose box is more exact.
    """
    kept: list[np.ndarray] = []
    for row in sorted(rows, key=lambda row: -round(row[-1], 1)):
        if all(_overlap(row, other) < SAME_FACE for other in kept):
            kept.append(row)
    return kept


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes, or 1 where one is mostly part of the other (a face seen whole and cut)."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared, area_a, area_b = width * height, a[2] * a[3], b[2] * b[3]
    if shared > 0.8 * min(area_a, area_b):
        return 1.0
    return shared / (area_a + area_b - shared)
