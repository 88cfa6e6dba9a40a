"""Who was seen in a video, when, and with which emotions, in bounded memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from facemodels.attributes import ALL_ATTRIBUTES, HEADLINE
from facemodels.crops import cut, face_window
from facemodels.errors import ArgumentError
from facemodels.types import Analysis, Classification, Face
from facemodels.video.person import Person
from facemodels.video.plot import ENGLISH, PlotWords, timeline_svg

_STEPS = 240  # of the plot; when they are used up, two become one
_THUMBNAIL = 144  # side of the image of a person, in pixels


class Timeline:
    """Collects the faces of a video's frames, one person per `track_id`.

    Args:
        most_people: Keep at most this many people, those seen longest; the others are only counted.

    Raises:
        ArgumentError: If `most_people` is not a whole number of at least 1.

    Example:
        >>> from facemodels.types import Box, Classification
        >>> timeline = Timeline()
        >>> for time in (0.0, 0.5, 1.0):
        ...     face = Face(Box(0, 0, 9, 9), emotion=Classification.of({"happy": 0.75, "sad": 0.25}), track_id=1)
        ...     timeline.add(time, Analysis((face,), 20, 20))
        >>> [(person.track_id, person.last, person.emotion.label) for person in timeline.people]
        [(1, 1.0, 'happy')]
    """

    def __init__(self, *, most_people: int = 24) -> None:
        if isinstance(most_people, bool) or not isinstance(most_people, int) or most_people < 1:
            raise ArgumentError(f"most_people must be a whole number from 1 up, not {most_people!r}")
        self._most = most_people
        self._people: dict[int, _Gathered] = {}
        self._forgotten = 0
        self._starts: list[float] = []  # when each step begins
        self._width = 1  # analyzed frames in a step
        self._filled = 0  # of the last step
        self._added = 0.0  # when the last frame was
        self._interval = 0.0  # between the last two
        self._in_view: dict[int, str] = {}  # who is in the last frame, with which emotion
        self.seconds = 0.0
        """When the last frame was added, or after `finish`, when the video ends."""

    def add(self, time: float, analysis: Analysis, pixels: np.ndarray | None = None) -> None:
        """Add the next analyzed frame.

        Args:
            time: Seconds of a player's clock, not less than before.
            analysis: Its faces; those without a `track_id` are skipped.
            pixels: The frame, ``(H, W, 3)`` RGB uint8, for a small image of each person.
        """
        if not self._starts or self._filled == self._width:
            if len(self._starts) == _STEPS:
                self._halve()
            self._starts.append(time)
            self._filled = 0
        self._filled += 1
        if time > self._added:
            self._interval = time - self._added
            self._count_time(self._interval)
        self._in_view = {}
        self._added = self.seconds = max(self.seconds, time)
        for face in analysis:
            if face.track_id is None:
                continue
            if face.track_id not in self._people:
                self._people[face.track_id] = _Gathered(time)
            self._people[face.track_id].add(time, face, len(self._starts) - 1, pixels)
            emotion = face.values.get(HEADLINE)
            self._in_view[face.track_id] = emotion.label if isinstance(emotion, Classification) else ""
        if len(self._people) > 4 * self._most:
            # Those who were seen least, of those who are not in view.
            away = sorted((one.count, id_) for id_, one in self._people.items() if one.last < time)
            for _, id_ in away[: len(self._people) - 2 * self._most]:
                del self._people[id_]
                self._forgotten += 1

    def finish(self, time: float) -> None:
        """End the video.

        Args:
            time: When its last frame ends, in seconds.
        """
        self._count_time(max(0.0, time - self._added))
        self._in_view = {}
        self.seconds = max(self.seconds, time)

    def _count_time(self, seconds: float) -> None:
        """Count the time until now for those in the last frame."""
        for id_, emotion in self._in_view.items():
            self._people[id_].count_time(emotion, seconds)

    def _halve(self) -> None:
        """Two steps become one."""
        self._starts = self._starts[::2]
        self._width *= 2
        for person in self._people.values():
            steps: dict[int, _Sum] = {}
            for index, scores in person.steps.items():
                steps.setdefault(index // 2, _Sum()).merge(scores)
            person.steps = steps

    @property
    def people(self) -> list[Person]:
        """The people seen longest, by `track_id`."""
        kept = sorted(self._people, key=lambda id_: (-self._people[id_].count, id_))[: self._most]
        # Until the next frame comes, the last one is taken to stand as long as the one before.
        pending = {id_: (emotion, self._interval or 1e-9) for id_, emotion in self._in_view.items()}
        return [self._people[id_].person(id_, self._starts, pending.get(id_)) for id_ in sorted(kept)]

    @property
    def others(self) -> int:
        """How many people were seen besides `people`."""
        return self._forgotten + max(0, len(self._people) - self._most)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: the length in seconds, the people, and how many others there were."""
        people = [person.to_dict() for person in self.people]
        return {"seconds": round(self.seconds, 4), "people": people, "others": self.others}

    def to_svg(self, title: str = "", words: PlotWords = ENGLISH) -> str:
        """An SVG document with a plot per person; `words` are its language."""
        return timeline_svg(self.people, self.others, self.seconds, title, words)


@dataclass(slots=True)
class _Sum:
    """Scores added up."""

    count: int = 0
    sums: dict[str, float] = field(default_factory=dict)

    def add(self, scores: Mapping[str, float]) -> None:
        self.count += 1
        for label, score in scores.items():
            self.sums[label] = self.sums.get(label, 0.0) + score

    def merge(self, other: _Sum) -> None:
        self.count += other.count
        for label, score in other.sums.items():
            self.sums[label] = self.sums.get(label, 0.0) + score

    def mean(self) -> dict[str, float]:
        return {label: score / self.count for label, score in self.sums.items()}


class _Gathered:
    """A person who may be seen again."""

    def __init__(self, first: float) -> None:
        self.first = self.last = first
        self.count = 0
        self.steps: dict[int, _Sum] = {}
        self._seconds: dict[str, float] = {}
        self._sums: dict[str, _Sum] = {}
        self._picture: np.ndarray | None = None
        self._largest = 0.0

    def add(self, time: float, face: Face, step: int, pixels: np.ndarray | None) -> None:
        self.last = time
        self.count += 1
        for name, value in face.values.items():
            kind = ALL_ATTRIBUTES[name].kind
            if kind.averaged:
                self._sums.setdefault(name, _Sum()).add(kind.parts(value))
            if name == HEADLINE:
                self.steps.setdefault(step, _Sum()).add(kind.parts(value))
        # Not for every pixel more.
        if pixels is not None and face.box.area > 1.2 * self._largest:
            self._largest = face.box.area
            self._picture = cut(pixels, face_window(face.box, margin=0.3), _THUMBNAIL)

    def count_time(self, emotion: str, seconds: float) -> None:
        self._seconds[emotion] = self._seconds.get(emotion, 0.0) + seconds

    def person(self, track_id: int, starts: list[float], pending: tuple[str, float] | None) -> Person:
        seconds = dict(self._seconds)
        if pending is not None:
            seconds[pending[0]] = seconds.get(pending[0], 0.0) + pending[1]
        total = sum(seconds.values())
        fractions = {
            emotion: part / total
            for emotion, part in sorted(seconds.items(), key=lambda item: -item[1])
            if emotion and part
        }
        values = {name: ALL_ATTRIBUTES[name].kind.assemble(parts.mean()) for name, parts in self._sums.items()}
        steps = ((time, self.steps[index].mean() if index in self.steps else None) for index, time in enumerate(starts))
        return Person(
            track_id, self.first, self.last, self.count, total, values, fractions, tuple(steps), self._picture
        )
