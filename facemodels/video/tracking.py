"""Track faces over the frames of a video: the same id for the same face, and smoothed values.

A `FaceTracker` uses no pixels and no model: analyses in, analyses out. Standard library only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from facemodels.attributes import ALL_ATTRIBUTES
from facemodels.errors import ArgumentError
from facemodels.types import Analysis, Box, Face


class FaceTracker:
    """Gives faces a stable id, and smooths their boxes and attributes.

    A face is matched with the one of an earlier update whose predicted position it overlaps most; for fast motion, one
    of about its size less than a face away is accepted. The less a box moves, the more it is smoothed, so that it
    neither jitters nor lags.

    One tracker is for one video and is not thread-safe: use one per video or visitor. It can be
    copied and pickled, and the same analyses in the same order give the same results.

    Args:
        max_age: For how many updates a face may be missing (turned, hidden) and still get its id back.
        min_overlap: Overlap (intersection over union), above 0 up to 1, that makes two boxes the same face.
        smoothing: Weight of the past, 0 (none) to below 1.
        switch_margin: By how much, 0..1, the score of another label must lead before the label changes.

    Raises:
        ArgumentError: If a value is out of its range.

    Example:
        >>> tracker = FaceTracker()
        >>> [face.track_id for face in tracker.update(Analysis((Face(Box(10, 10, 50, 60)),), 640, 480))]
        [1]
        >>> [face.track_id for face in tracker.update(Analysis((Face(Box(12, 10, 52, 60)),), 640, 480))]
        [1]
    """

    def __init__(
        self, *, max_age: int = 10, min_overlap: float = 0.3, smoothing: float = 0.7, switch_margin: float = 0.1
    ) -> None:
        if isinstance(max_age, bool) or not isinstance(max_age, int) or max_age < 0:
            raise ArgumentError(f"max_age must be a whole number from 0 up, not {max_age!r}")
        self._max_age = max_age
        self._min_overlap = _fraction("min_overlap", min_overlap, above_zero=True)
        self._smoothing = _fraction("smoothing", smoothing, below_one=True)
        self._switch_margin = _fraction("switch_margin", switch_margin)
        self.reset()

    def reset(self) -> None:
        """Forget all faces; ids start at 1 again."""
        self._tracks: list[_Track] = []
        self._models: dict[str, str] = {}
        self._size: tuple[int, int] | None = None
        self._last_id = 0

    def cut(self) -> None:
        """Begin a new scene: all following faces are new ones; ids continue."""
        self._tracks = []

    def update(self, analysis: Analysis) -> Analysis:
        """Track the faces of the next frame.

        Args:
            analysis: The analysis of the frame. An attribute that is None for a face keeps the last value of its track,
                so attributes need not be requested in every frame. An analysis with an `error` changes nothing. With
                another frame size all faces are new ones.

        Returns:
            The same faces in the same order with `track_id`, and with smoothed boxes, landmarks and attributes. Scores
            sum to 1; a label is kept until another leads by `switch_margin`, so it may temporarily not be the most
            probable one; `score` is that of the label.

        Raises:
            ArgumentError: If `analysis` is not an `Analysis`.
        """
        if not isinstance(analysis, Analysis):
            raise ArgumentError(f"analysis must be an Analysis, not {type(analysis).__name__}")
        if analysis.error is not None:
            return analysis
        if self._size != (analysis.width, analysis.height):
            self._size = (analysis.width, analysis.height)
            self._tracks = []
        self._models.update(analysis.models)
        for track in self._tracks:
            track.advance()
        matches = self._match(analysis.faces)
        faces = []
        for index, seen in enumerate(analysis.faces):
            if index in matches:
                track = matches[index]
                track.face = self._smoothed(track, seen)
                track.see(seen.box)
            else:
                self._last_id += 1
                track = _Track(seen.box, seen.replace(track_id=self._last_id))
                self._tracks.append(track)
            faces.append(track.face)
        self._tracks = [track for track in self._tracks if track.missed <= self._max_age]
        return replace(analysis, faces=tuple(faces), models=dict(self._models))

    def _match(self, faces: Sequence[Face]) -> dict[int, _Track]:
        """Index of a face to its track, by greedy matching: the best pair first."""
        pairs = []
        for number, track in enumerate(self._tracks):
            for index, face in enumerate(faces):
                likeness = _likeness(track.expected, face.box, self._min_overlap)
                if likeness is not None:
                    pairs.append((-likeness, number, index))
        matches: dict[int, _Track] = {}
        used: set[int] = set()
        for _, number, index in sorted(pairs):
            if number not in used and index not in matches:
                used.add(number)
                matches[index] = self._tracks[number]
        return matches

    def _smoothed(self, track: _Track, seen: Face) -> Face:
        """The face, smoothed by the values of its track."""
        past, keep = track.face, self._smoothing
        moved = seen.interpolate(past, keep * past.box.iou(seen.box) ** 2)
        values: dict[str, Any] = dict(seen.values)
        for name, value in past.values.items():
            kind = ALL_ATTRIBUTES[name].kind
            if name in values:
                values[name] = kind.blend(value, values[name], keep, self._switch_margin)
            else:
                values[name] = kind.carried(value, past.box, moved.box)
        return moved.replace(track_id=past.track_id, **values)


@dataclass(slots=True)
class _Track:
    """One face over time.

    Attributes:
        seen: Its box as last seen, not smoothed.
        face: Its last result.
        missed: Updates since it was seen.
        dx: Its motion, pixels per update to the right.
        dy: Pixels per update downwards.
        ahead: How often `dx`, `dy` are added to `seen` for its predicted position.
    """

    seen: Box
    face: Face
    missed: int = 0
    dx: float = 0.0
    dy: float = 0.0
    ahead: float = 0.0

    @property
    def expected(self) -> Box:
        """Its predicted box."""
        return self.seen.moved(self.dx * self.ahead, self.dy * self.ahead)

    def advance(self) -> None:
        """Begin an update; a missing face is predicted to slow down."""
        self.ahead += 0.7**self.missed
        self.missed += 1

    def see(self, box: Box) -> None:
        """Update it with a detected box."""
        (x, y), (old_x, old_y) = box.centre, self.seen.centre
        self.dx = _mix(self.dx, (x - old_x) / self.missed, 0.5)
        self.dy = _mix(self.dy, (y - old_y) / self.missed, 0.5)
        self.seen, self.missed, self.ahead = box, 0, 0.0


def _likeness(expected: Box, box: Box, min_overlap: float) -> float | None:
    """How well a box fits where a face is expected: overlap, 0..1; below 0 by distance alone; None if it does not."""
    overlap = expected.iou(box)
    if overlap >= min_overlap:
        return overlap
    side, other = math.sqrt(max(expected.area, 1.0)), math.sqrt(max(box.area, 1.0))
    distance = 2 * math.dist(expected.centre, box.centre) / (side + other)
    return -distance if distance < 1 and 0.5 < side / other < 2 else None


def _mix(past: float, seen: float, keep: float) -> float:
    return keep * past + (1 - keep) * seen


def _fraction(name: str, value: float, *, above_zero: bool = False, below_one: bool = False) -> float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value <= 1 or (above_zero and value == 0) or (below_one and value == 1):
        low, high = "above 0" if above_zero else "0", "below 1" if below_one else "1"
        raise ArgumentError(f"{name} must be a number from {low} to {high}, not {value!r}")
    return float(value)
