"""Multi-pass detection with a network that sees faces of 10 to 300 px: pyramid levels, tiles, non-maximum suppression.

Both networks take time in proportion to the pixels. Attributes need a face of some 16 px, so the first pass of every
image is shrunk by SHRINK, to a size within FIRST_PASS; the second is small, with replicated borders, for faces that
fill the frame or are cut by its border; large images get a third, in overlapping tiles, for small faces. Sizes are
those of an image of up to LONGEST_ASPECT; a longer one, such as a panorama, gets as many pixels as that.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import cv2
import numpy as np

from facemodels.detection.base import faces_from_rows, largest_first
from facemodels.detection.review import CANDIDATE, WEAK, review
from facemodels.types import Face

SHRINK = 1.5
FIRST_PASS = (320, 640)  # least and most pixels of the longer side
SMALL_PASS = 160
WHOLE_PASSES = 2  # these two
BORDER = 0.1  # of the longer side
FINE_PASS = 2048
MOST_SHRUNK = 3  # of the fine pass: whatever the size of the image, a face of 60 px keeps 20
FINE_FROM = 1280  # longest side above which the first pass alone misses too much
TILE = 704
TILE_OVERLAP = 96
# Longer side of the largest face that a tile answers for. Whatever is larger was found by the first pass, whole, where
# a tile finds parts of it, such as each half of a face as one; 160 px of the fine pass are 50 of the first.
LARGEST_IN_TILE = 160
TILE_EDGE = 3  # a box that comes as close to the edge of its tile may be part of a face
LONGEST_ASPECT = 2
SMALLEST_SIDE = 8  # an image without as many pixels each way holds no face
SAME_FACE = 0.4  # intersection over union above which two boxes are one face


class Pass(NamedTuple):
    """One input image of the network.

    Attributes:
        image: ``(H, W, 3)`` RGB uint8.
        scale: Pixels of the original per pixel of `image`.
        left: Where `image` begins in the original, pixels.
        top: The same, from above.
        whole: Box within `image` that must contain a face for it to count as complete: x1, y1, x2, y2.
        largest: Longer side of the largest box that counts.
    """

    image: np.ndarray
    scale: float
    left: float
    top: float
    whole: tuple[float, float, float, float] = (-math.inf, -math.inf, math.inf, math.inf)
    largest: float = math.inf

    def to_original(self, rows: np.ndarray) -> np.ndarray:
        """The rows (see `MultiPassDetector.find`) that count, in pixels of the original."""
        x1, y1, x2, y2 = self.whole
        right, bottom = rows[:, 0] + rows[:, 2], rows[:, 1] + rows[:, 3]
        counts = (rows[:, 0] >= x1) & (rows[:, 1] >= y1) & (right <= x2) & (bottom <= y2)
        rows = rows[counts & (rows[:, 2:4].max(axis=1, initial=0) <= self.largest)].astype(float)
        rows[:, :-1] *= self.scale
        rows[:, [0, *range(4, 14, 2)]] += self.left
        rows[:, [1, *range(5, 14, 2)]] += self.top
        return rows


class MultiPassDetector(ABC):
    """A detector that runs a network in several passes; a subclass provides the network.

    Attributes:
        second_opinion: Whether weak and rolled detections are reviewed (see `facemodels.detection.review`).
    """

    name = ""
    second_opinion = True

    @abstractmethod
    def find(self, image: np.ndarray) -> np.ndarray:
        """Run the network once; thread-safe.

        Args:
            image: ``(H, W, 3)`` RGB uint8 of moderate size.

        Returns:
            ``(N, 15)``: x, y, width, height, five landmarks, score 0..1.
        """

    def detect(self, image: np.ndarray, min_score: float = 0.6, *, shrunk: float = 1.0) -> list[Face]:
        """See `FaceDetector.detect`; `shrunk` is how many times smaller `image` is than its original."""
        if min(image.shape[:2]) < SMALLEST_SIDE:
            return []
        levels = list(passes(image, shrunk))
        faces = self._kept((level.to_original(self.find(level.image)) for level in levels), image, min_score)
        if not faces and self.second_opinion:
            # The network finds few faces that are on their side or upside down. Turned, it finds as many phantoms
            # again, so the threshold is higher.
            turned = (level.to_original(self._find_turned(level.image)) for level in levels[:WHOLE_PASSES])
            faces = self._kept(turned, image, max(min_score, WEAK))
        return largest_first(faces)

    def _kept(self, found: Iterable[np.ndarray], image: np.ndarray, min_score: float) -> list[Face]:
        """The faces out of the rows of several passes."""
        height, width = image.shape[:2]
        rows = np.concatenate(list(found))
        least = min(min_score, CANDIDATE) if self.second_opinion else min_score
        faces = merge(faces_from_rows(rows[rows[:, -1] >= least], width, height))
        if not self.second_opinion:
            return faces
        reviewed = (
            face.replace(box=face.box.clip(width, height)) for face in review(faces, image, self.find, min_score)
        )
        # Two detections of a rolled face may coincide only after it was turned.
        return merge(face for face in reviewed if face.box.width >= 1 and face.box.height >= 1)

    def _find_turned(self, image: np.ndarray) -> np.ndarray:
        """As `find`, for an image turned by 90, 180 and 270 degrees."""
        turns = (1, 2, 3)
        return np.concatenate(
            [turn_back(self.find(np.rot90(image, turn)), turn, *image.shape[1::-1]) for turn in turns]
        )


def turn_back(rows: np.ndarray, turns: int, width: int, height: int) -> np.ndarray:
    """Rows found in ``np.rot90(image, turns)``, in pixels of the image, which has this width and height."""
    points = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4], rows[:, 4:14]], axis=1).reshape(-1, 7, 2)
    x, y = points[..., 0], points[..., 1]
    x, y = {1: (width - y, x), 2: (width - x, height - y), 3: (y, height - x)}[turns]
    corner, size = np.minimum(*(np.stack([x[:, i], y[:, i]], axis=1) for i in (0, 1))), rows[:, 2:4]
    size = size[:, ::-1] if turns % 2 else size
    landmarks = np.stack([x[:, 2:], y[:, 2:]], axis=2).reshape(-1, 10)
    return np.concatenate([corner, size, landmarks, rows[:, 14:]], axis=1)


def passes(image: np.ndarray, shrunk: float = 1.0) -> Iterator[Pass]:
    """The passes of an image: WHOLE_PASSES of all of it, then the tiles.

    Args:
        image: ``(H, W, 3)`` RGB uint8.
        shrunk: How many times smaller it is than its original; the same faces are detected.
    """
    height, width = image.shape[:2]
    longest = max(height, width)
    # By how much longer each pass is than one of an image of LONGEST_ASPECT with as many pixels.
    stretch = max(1.0, math.sqrt(longest / min(height, width) / LONGEST_ASPECT))
    fine_scale = max(1.0, min(longest / (FINE_PASS * stretch), MOST_SHRUNK / shrunk))
    # Each is made from the one before, since shrinking takes time in proportion to what it starts from.
    fine = resized(image, image, fine_scale) if longest > FINE_FROM else image

    least, most = FIRST_PASS
    # A tiny image is enlarged, or the network has too few cells.
    scale = longest / min(max(longest / SHRINK, least), most * stretch, max(longest, 64))
    first = resized(fine, image, scale)
    yield Pass(first, scale, 0.0, 0.0)

    scale = longest / min(SMALL_PASS * stretch, max(longest, 64))
    edge = round(BORDER * min(longest, LONGEST_ASPECT * min(height, width)) / scale)
    small = resized(first, image, scale)
    padded = cv2.copyMakeBorder(small, edge, edge, edge, edge, cv2.BORDER_REPLICATE)
    yield Pass(padded, scale, -edge * scale, -edge * scale)

    if longest > FINE_FROM:
        for rows, y1, y2 in tiles(fine.shape[0]):
            for columns, x1, x2 in tiles(fine.shape[1]):
                corner = columns.start * fine_scale, rows.start * fine_scale
                yield Pass(fine[rows, columns], fine_scale, *corner, (x1, y1, x2, y2), LARGEST_IN_TILE)


def resized(source: np.ndarray, image: np.ndarray, scale: float) -> np.ndarray:
    """The image shrunk by `scale`, made from a `source` of the same content in at least as many pixels."""
    size = max(1, round(image.shape[1] / scale)), max(1, round(image.shape[0] / scale))
    if size == source.shape[1::-1]:
        return source
    shrinks = size[0] < source.shape[1] or size[1] < source.shape[0]
    return cv2.resize(source, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def tiles(length: int) -> list[tuple[slice, float, float]]:
    """The fewest equal tiles of at most TILE pixels that cover a length and overlap by about TILE_OVERLAP.

    Returns:
        For each its pixels, and the two limits, counted from its first pixel, between which a box is complete.
    """
    count = max(1, math.ceil((length - TILE_OVERLAP) / (TILE - TILE_OVERLAP)))
    size = min(length, math.ceil((length + (count - 1) * TILE_OVERLAP) / count))
    starts = np.linspace(0, length - size, count).astype(int).tolist()
    return [
        (
            slice(start, start + size),
            -math.inf if start == 0 else TILE_EDGE,
            math.inf if start + size == length else size - TILE_EDGE,
        )
        for start in starts
    ]


def merge(faces: Iterable[Face]) -> list[Face]:
    """Greedy non-maximum suppression: of overlapping boxes, the one with the best score is kept.

    All faces must be complete, so overlap is intersection over union: a box inside a much larger one is another face.
    Scores are compared in tenths: between near-equals the first wins.
    """
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -round(face.score, 1)):
        if all(face.box.iou(other.box) < SAME_FACE for other in kept):
            kept.append(face)
    return kept
