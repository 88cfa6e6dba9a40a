"""One person over a video."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from facemodels.attributes import ALL_ATTRIBUTES, ATTRIBUTES, HEADLINE, ON_REQUEST
from facemodels.values import Value

SEEN = 0.1  # an emotion that never had this score is not drawn


@dataclass(frozen=True, slots=True)
class Person:
    """One face over a video.

    Attributes:
        track_id: The id from the tracker.
        first: When it was seen first, in seconds.
        last: When it was seen last.
        count: In how many analyzed frames it was seen.
        values: Attribute to the mean of what was perceived; each is also an attribute of the same name
            (``person.emotion``), None if it was not requested.
        seconds: For how long it was in view: each analyzed frame counts until the next one.
        fractions: Emotion to the fraction of those seconds for which it was the most probable one, the largest first;
            they sum to 1, and emotions that never were are left out. Empty if emotion was not requested.
        steps: Seconds and mean emotion scores of each step of time, None for the scores while it was absent.
        picture: The face at its largest, ``(144, 144, 3)`` RGB uint8; None where frames were not given.
    """

    track_id: int
    first: float
    last: float
    count: int
    seconds: float
    values: Mapping[str, Value]
    fractions: Mapping[str, float]
    steps: tuple[tuple[float, Mapping[str, float] | None], ...]
    picture: np.ndarray | None = field(default=None, compare=False, repr=False)

    def __getattr__(self, name: str) -> Any:
        if name in ALL_ATTRIBUTES:
            return self.values.get(name)
        raise AttributeError(f"'Person' object has no attribute {name!r}")

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; an attribute that was not requested is null."""
        attributes = {name: self.values[name].to_dict() if name in self.values else None for name in ATTRIBUTES}
        attributes |= {name: self.values[name].to_dict() for name in ON_REQUEST if name in self.values}
        steps = [
            {"time": round(time, 4), "scores": None if scores is None else dict(scores)} for time, scores in self.steps
        ]
        return {
            "track_id": self.track_id,
            "first": round(self.first, 4),
            "last": round(self.last, 4),
            "seconds": round(self.seconds, 4),
            "count": self.count,
            **attributes,
            "fractions": dict(self.fractions),
            "steps": steps,
        }

    def lines(self) -> dict[str, str]:
        """Each emotion seen, to its line as an SVG path: seconds to the right, ``1 - score`` downwards."""
        headline = self.values.get(HEADLINE)
        labels = [] if headline is None else list(ATTRIBUTES[HEADLINE].kind.parts(headline))
        seen = [label for label in labels if any(scores and scores[label] >= SEEN for _, scores in self.steps)]
        return {
            label: _path((time, None if scores is None else scores[label]) for time, scores in self.steps)
            for label in seen
        }


def _path(points: Iterable[tuple[float, float | None]]) -> str:
    """A line per stretch without a gap; a lone point becomes a line to itself, which round ends make a dot."""
    parts: list[str] = []
    alone = False
    before: float | None = None
    for time, score in points:
        if score is None:
            if alone:
                parts.append("h0")
            before, alone = None, False
            continue
        parts.append(f"{'M' if before is None else 'L'}{time:.6g} {1 - score:.4f}")
        alone, before = before is None, score
    return "".join(parts) + ("h0" if alone else "")
