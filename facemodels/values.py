"""What models perceive, as values: a label with its scores, a number with its error, points, a pose.

Standard library only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

POSE_LABELS = ("yaw", "pitch", "roll")  # degrees
# Half an 80 % interval over the expected absolute error: 1.61 both for the normal and for the Laplace distribution.
INTERVAL = 1.6


@dataclass(frozen=True, slots=True)
class Classification:
    """One label out of several, as a model perceives it.

    Attributes:
        label: The most probable label.
        score: Its probability, 0..1.
        scores: Probability of every label, in the spec's order; they sum to 1.

    Example:
        >>> Classification.of({"female": 0.25, "male": 0.75}).label
        'male'
    """

    label: str
    score: float
    scores: Mapping[str, float]

    @classmethod
    def of(cls, scores: Mapping[str, float]) -> Classification:
        """The classification whose label has the highest score (the first of equals)."""
        label = max(scores, key=scores.__getitem__)
        return cls(label, scores[label], dict(scores))

    def regroup(self, view: Mapping[str, str]) -> Classification:
        """The same prediction in a coarser view: the scores of the labels that share a group are added.

        Args:
            view: Label to group, for every label (a spec's `views` holds those that exist).

        Raises:
            KeyError: If a label is missing from `view`.

        Example:
            >>> Classification.of({"a": 0.4, "b": 0.3, "c": 0.3}).regroup({"a": "x", "b": "y", "c": "y"}).label
            'y'
        """
        grouped: dict[str, float] = {}
        for label, score in self.scores.items():
            grouped[view[label]] = grouped.get(view[label], 0.0) + score
        return Classification.of(grouped)

    def to_dict(self) -> dict[str, Any]:
        """``{"label": …, "score": …, "scores": {…}}``."""
        return {"label": self.label, "score": self.score, "scores": dict(self.scores)}


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and how far off it is expected to be.

    Attributes:
        value: The estimate (age: years).
        error: The expected absolute error of this estimate, in the same unit.

    Example:
        >>> Estimate(30.0, 5.0).interval
        (22.0, 38.0)
    """

    value: float
    error: float

    @property
    def interval(self) -> tuple[float, float]:
        """The lower (at least 0) and upper end of the range that contains the truth in 80 of 100 cases."""
        return max(0.0, self.value - INTERVAL * self.error), self.value + INTERVAL * self.error

    def to_dict(self) -> dict[str, float]:
        """``{"value": …, "error": …}``."""
        return {"value": self.value, "error": self.error}


@dataclass(frozen=True, slots=True)
class Points:
    """The 68 points of a face in the order of iBUG 300-W.

    Attributes:
        points: x and y in pixels of the image: jaw (0 to 16), brows (17 to 26), nose (27 to 35), eyes (36 to 47), outer
            lips (48 to 59) and inner lips (60 to 67). Right and left are the person's: 36 to 41 are the right eye.
        score: The model's confidence that there is a face at all, 0..1.
    """

    points: tuple[tuple[float, float], ...]
    score: float

    @property
    def right_eye_open(self) -> float:
        """How far the right eye is open, 0 (closed) to 1 (wide)."""
        return self._open((37, 41), (38, 40), across=(36, 39), between=EYE_CLOSED_OPEN)

    @property
    def left_eye_open(self) -> float:
        """How far the left eye is open, 0 (closed) to 1 (wide)."""
        return self._open((43, 47), (44, 46), across=(42, 45), between=EYE_CLOSED_OPEN)

    @property
    def mouth_open(self) -> float:
        """How far the mouth is open, 0 (lips together) to 1 (wide)."""
        return self._open((61, 67), (62, 66), (63, 65), across=(60, 64), between=MOUTH_CLOSED_OPEN)

    def _open(self, *gaps: tuple[int, int], across: tuple[int, int], between: tuple[float, float]) -> float:
        """The mean gap between pairs of points over the distance across, from `between` to 0..1."""
        distances = [math.dist(self.points[a], self.points[b]) for a, b in (*gaps, across)]
        ratio = sum(distances[:-1]) / len(gaps) / max(distances[-1], 1e-6)
        return min(1.0, max(0.0, (ratio - between[0]) / (between[1] - between[0])))

    def moved(self, move: Callable[[float, float], tuple[float, float]]) -> Points:
        """These points, each moved by `move`."""
        return Points(tuple(move(x, y) for x, y in self.points), self.score)

    def to_dict(self) -> dict[str, Any]:
        """``{"points": [[x, y], …], "score": …, "right_eye_open": …, "left_eye_open": …, "mouth_open": …}``."""
        return {
            "points": [[round(x, 2), round(y, 2)] for x, y in self.points],
            "score": round(self.score, 4),
            **{name: round(getattr(self, name), 4) for name in OPENNESS},
        }


OPENNESS = ("right_eye_open", "left_eye_open", "mouth_open")
# Height over width of the opening between the lids or lips: of one that is closed, and of one that is wide open.
EYE_CLOSED_OPEN = (0.08, 0.32)
MOUTH_CLOSED_OPEN = (0.03, 0.6)


@dataclass(frozen=True, slots=True)
class Pose:
    """How a head is turned, in degrees.

    A head that looks at the camera is first pitched about the axis through its ears, then turned about the vertical of
    the image, then tilted in the image's plane. So turning the image changes the roll alone, and mirroring it the signs
    of yaw and roll.

    Attributes:
        yaw: Above 0 where the face is turned towards the right of the image.
        pitch: Above 0 where it looks up; 0 is the pitch of most photographed faces.
        roll: Above 0 where the head is tilted clockwise, as seen on the image.

    Example:
        >>> Pose(20.0, -5.0, 0.0).angle
        20.615528128088304
    """

    yaw: float
    pitch: float
    roll: float

    @property
    def angle(self) -> float:
        """The approximate angle in degrees between the direction of the face and the camera; roll does not count."""
        return math.hypot(self.yaw, self.pitch)

    def to_dict(self) -> dict[str, float]:
        """``{"yaw": …, "pitch": …, "roll": …}``."""
        return {name: round(getattr(self, name), 2) for name in POSE_LABELS}


Value = Classification | Estimate | Points | Pose
V = TypeVar("V", Classification, Estimate, Points, Pose)


def percent(score: float) -> str:
    """Format a probability: never certain, never impossible.

    Example:
        >>> percent(0.934), percent(0.9999), percent(0.001)
        ('93%', '>99%', '<1%')
    """
    return ">99%" if score > 0.995 else "<1%" if score < 0.005 else f"{score:.0%}"


def readable(label: str) -> str:
    """A label as text: ``middle_eastern`` becomes ``middle eastern``."""
    return label.replace("_", " ")


def normalize_label(text: str) -> str:
    """A label in the form used in code: ``East Asian`` and ``east-asian`` become ``east_asian``."""
    return re.sub(r"[\s-]+", "_", text.strip().lower())
