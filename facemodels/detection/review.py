"""A second opinion on weak detections: the same network on an enlarged crop, turned eight ways.

What resembles a face at one scale seldom does so again in a crop of its own, and a face that is upside down or on its
side is detected there the right way up. Clear faces, nearly all in most images, cost nothing.
`python -m benchmarks.detection` measures the gain, and that of a third opinion, which is not used: the presence output
of the landmark model takes most of what passes this review, such as drawn faces, for a face as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from facemodels.crops import Window, cut
from facemodels.types import Box, Face

CANDIDATE = 0.3  # least score that a second opinion may raise
MOST_CANDIDATES = 8  # of those below the score threshold
CLEAR = 0.92  # score of upright, uncovered faces of good size; rolled by more than 45 degrees, a face has less
WEAK = 0.8  # below, a detection may be none
SURE = 0.85  # score of the second opinion that takes a detection over the threshold
WIDEST = 0.92  # width per height of the box of an upright face; on its side it is wider
STRAIGHT = 20.0  # degrees of roll above which a face is reviewed, whatever its score
LEVEL = 12.0  # degrees; a reviewed face with more roll gets its box and landmarks from a crop turned by it
ROOM = 2.2  # side of a crop per longer side of the box
SIDE = 128  # of a crop in pixels
TURNS = tuple(range(0, 360, 45))
PREFERRED = 0.01  # by how much a turned crop must score better than the upright one
FARTHEST, LARGEST = 0.45, 1.8  # distance from the crop's centre and size, in its sides, of what is the same face
FINE_SIDES = (128, 192, 320)  # of the turned crop: the first that is as large as what it shows, or the last
FINE_TURNS = (-15, 0, 15)  # degrees, beside the roll known so far, which is underestimated where it is large

Find = Callable[[np.ndarray], np.ndarray]


class Opinion(NamedTuple):
    """The detection at the centre of one crop.

    Attributes:
        row: See `MultiPassDetector.find`, in pixels of the crop.
        window: The crop.
        size: Its side in pixels.
    """

    row: np.ndarray
    window: Window
    size: int

    @property
    def score(self) -> float:
        """0..1."""
        return float(self.row[-1])

    @property
    def roll(self) -> float:
        """Clockwise rotation of the eye line in the image, in degrees, -180..180."""
        x1, y1, x2, y2 = self.row[4:8]
        return math.remainder(self.window.angle + math.degrees(math.atan2(y2 - y1, x2 - x1)), 360)

    def to_face(self, score: float) -> Face:
        """The face in pixels of the image. Its box is not turned: it has the same centre and longer side."""
        x, y, width, height = self.row[:4]
        points = np.concatenate([[[x + width / 2, y + height / 2]], self.row[4:14].reshape(-1, 2)]) - self.size / 2
        scale, radians = self.window.width / self.size, math.radians(self.window.angle)
        turn = np.array([[math.cos(radians), math.sin(radians)], [-math.sin(radians), math.cos(radians)]])
        (cx, cy), *landmarks = (points @ turn * scale + (self.window.cx, self.window.cy)).tolist()
        lies = abs(math.sin(math.radians(self.roll))) > math.sqrt(0.5)
        half_width, half_height = (float(side * scale / 2) for side in ((height, width) if lies else (width, height)))
        box = Box(cx - half_width, cy - half_height, cx + half_width, cy + half_height)
        return Face(box, score, tuple((x, y) for x, y in landmarks))


def review(faces: Sequence[Face], image: np.ndarray, find: Find, min_score: float) -> list[Face]:
    """Review the detections that need a second opinion.

    Those are weak and rolled ones; all but clear ones if the image has no clear face, and then also some below the
    threshold, as rolled faces may be.

    Args:
        faces: Detections, those with a score of at least CANDIDATE among them.
        image: ``(H, W, 3)`` RGB uint8.
        find: The network, as `MultiPassDetector.find`.
        min_score: Score threshold.

    Returns:
        The faces that reach it: weak ones with the geometric mean of both scores, rolled ones with upright landmarks; a
        box may extend beyond the border of the image.
    """
    clear = any(face.score >= CLEAR for face in faces)
    unlikely = sorted((face for face in faces if face.score < min_score), key=lambda face: -face.score)
    likely = [face for face in faces if face.score >= min_score]
    reviewed = []
    for face in [*likely, *([] if clear else unlikely[:MOST_CANDIDATES])]:
        upright = face.box.width < WIDEST * face.box.height and abs(_roll(face)) < STRAIGHT
        sure = upright and face.score >= (WEAK if clear else CLEAR)
        reviewed.append(face if sure else _reviewed(face, image, find, min_score))
    return [face for face in reviewed if face.score >= min_score]


def _roll(face: Face) -> float:
    """Clockwise turn of the eye line in degrees."""
    if face.landmarks is None:
        return 0.0
    (x1, y1), (x2, y2) = face.landmarks[:2]
    return math.degrees(math.atan2(y2 - y1, x2 - x1))


def _reviewed(face: Face, image: np.ndarray, find: Find, min_score: float) -> Face:
    """One detection after its second opinion."""
    side = ROOM * max(face.box.width, face.box.height)
    opinions = _opinions(image, [Window(*face.box.centre, side, side, angle) for angle in TURNS], find)
    if not opinions:
        return face if face.score >= WEAK else face.replace(score=0.0)
    best = max(opinions, key=lambda opinion: opinion.score + PREFERRED * (opinion.window.angle == 0))
    score = face.score if face.score >= WEAK else math.sqrt(face.score * best.score)
    if face.score < min_score and best.score < SURE:
        score = 0.0
    if best.window.angle == 0 and max(abs(best.roll), abs(_roll(face))) < LEVEL:
        return face.replace(score=score)
    size = next((size for size in FINE_SIDES if size >= side), FINE_SIDES[-1])
    for _ in range(2):
        centre = best.to_face(score).box.centre
        windows = [Window(*centre, side, side, best.roll + turn) for turn in FINE_TURNS]
        finer = _opinions(image, windows, find, size)
        if not finer:
            break
        best = max(finer, key=lambda opinion: opinion.score)
    return best.to_face(score)


def _opinions(image: np.ndarray, windows: Sequence[Window], find: Find, size: int = SIDE) -> list[Opinion]:
    """The best detection at the centre of each crop; the crops are tiled, so that the network runs once."""
    rows = find(np.concatenate([cut(image, window, size) for window in windows], axis=1)).astype(float)
    face, opinions = size / ROOM, []
    for index, window in enumerate(windows):
        own = rows.copy()
        own[:, [0, *range(4, 14, 2)]] -= index * size
        off = np.abs(own[:, :2] + own[:, 2:4] / 2 - size / 2).max(axis=1, initial=0)
        longer = own[:, 2:4].max(axis=1, initial=0)
        own = own[(off < FARTHEST * face) & (longer > face / LARGEST) & (longer < face * LARGEST)]
        if len(own):
            opinions.append(Opinion(own[own[:, -1].argmax()], window, size))
    return opinions
