"""Who was seen in a clip, when, and with which emotions: kept in little space however long the clip, and drawn."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from facemodels.crops import cut, face_window
from facemodels.errors import ArgumentError
from facemodels.types import ATTRIBUTES, Analysis, Classification, Estimate, Face

# As in annotated pictures, with enough contrast on light and dark.
LINE_COLOURS: Mapping[str, str] = {
    "angry": "#d55e00",
    "disgust": "#009e73",
    "fear": "#c2629a",
    "happy": "#b59b00",
    "sad": "#2a86c8",
    "surprise": "#d98e00",
    "neutral": "#7f8b98",
    "contempt": "#6a5acd",
}
OTHER_LINE = "#8a8a8a"
SEEN = 0.1  # an emotion that never had this score is not drawn

_STEPS = 240  # of the plot; when they are used up, two become one
_PICTURE = 144  # side of a person's picture, in pixels


@dataclass(frozen=True, slots=True)
class Person:
    """One face over a clip.

    Attributes:
        track_id: The id that the tracker gave.
        first: When it was seen first, in seconds.
        last: When it was seen last.
        count: In how many analyzed frames it was seen.
        emotion: Mean of its emotion scores; None where it was not asked for. So with the next three.
        age: Mean of the estimates.
        gender: Mean of the scores.
        ethnicity: Mean of the scores.
        steps: Seconds and mean emotion scores of each step of time, None in place of the scores where it was away.
        picture: The face at its largest, ``(144, 144, 3)`` RGB uint8; None where pictures were not given.
    """

    track_id: int
    first: float
    last: float
    count: int
    emotion: Classification | None
    age: Estimate | None
    gender: Classification | None
    ethnicity: Classification | None
    steps: tuple[tuple[float, Mapping[str, float] | None], ...]
    picture: np.ndarray | None = field(default=None, compare=False, repr=False)

    def lines(self) -> dict[str, str]:
        """Each emotion seen, to its line as an SVG path: seconds to the right, ``1 - score`` downwards."""
        labels = [] if self.emotion is None else list(self.emotion.scores)
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


class Timeline:
    """Gathers what is seen in the frames of a clip, one person per `track_id`.

    Args:
        most_people: Keep at most this many people, those seen longest; the others are only counted.

    Raises:
        ArgumentError: If `most_people` is no whole number from 1 up.

    Example:
        >>> from facemodels.types import Box
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
        self.seconds = 0.0
        """When the last frame was added."""

    def add(self, time: float, analysis: Analysis, pixels: np.ndarray | None = None) -> None:
        """Take the next analyzed frame.

        Args:
            time: Seconds since the first frame, not less than before.
            analysis: Its faces; those without a `track_id` are passed over.
            pixels: The frame, ``(H, W, 3)`` RGB uint8, to cut a small picture of each person from.
        """
        if not self._starts or self._filled == self._width:
            if len(self._starts) == _STEPS:
                self._halve()
            self._starts.append(time)
            self._filled = 0
        self._filled += 1
        self.seconds = max(self.seconds, time)
        for face in analysis:
            if face.track_id is None:
                continue
            if face.track_id not in self._people:
                self._people[face.track_id] = _Gathered(time)
            self._people[face.track_id].add(time, face, len(self._starts) - 1, pixels)
        if len(self._people) > 4 * self._most:
            # Those who were seen least, of those who are not in view.
            away = sorted((one.count, id_) for id_, one in self._people.items() if one.last < time)
            for _, id_ in away[: len(self._people) - 2 * self._most]:
                del self._people[id_]
                self._forgotten += 1

    def _halve(self) -> None:
        """Two steps become one."""
        self._starts = self._starts[::2]
        self._width *= 2
        for person in self._people.values():
            steps: dict[int, _Sum] = {}
            for place, scores in person.steps.items():
                steps.setdefault(place // 2, _Sum()).merge(scores)
            person.steps = steps

    @property
    def people(self) -> list[Person]:
        """The people seen longest, by `track_id`."""
        kept = sorted(self._people, key=lambda id_: (-self._people[id_].count, id_))[: self._most]
        return [self._people[id_].person(id_, self._starts) for id_ in sorted(kept)]

    @property
    def others(self) -> int:
        """How many more were seen than `people` holds."""
        return self._forgotten + max(0, len(self._people) - self._most)

    def to_svg(self, title: str = "") -> str:
        """A drawing of its own, a plot per person, readable in any browser or editor."""
        people = self.people
        height = 50 + 150 * max(len(people), 1) + 24 * bool(self.others)
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="800" height="{height}" viewBox="0 0 800 {height}" '
            'font-family="system-ui, sans-serif" font-size="13" fill="#1e293b">',
            f"<title>{html.escape(title or 'Emotions over time')}</title>",
            '<rect width="100%" height="100%" fill="#fff"/>',
            f'<text x="20" y="30" font-size="17" font-weight="700">{html.escape(title)}</text>',
        ]
        parts += [self._plot(person, 50 + 150 * place) for place, person in enumerate(people)]
        if not people:
            parts.append('<text x="20" y="90">No face was seen.</text>')
        if self.others:
            parts.append(f'<text x="20" y="{height - 14}">and {self.others} more who were seen for less long</text>')
        return "\n".join([*parts, "</svg>\n"])

    def _plot(self, person: Person, top: int) -> str:
        lines = person.lines()
        width = 700 / max(self.seconds, 1e-3)
        mostly = f", mostly {person.emotion.label.replace('_', ' ')}" if person.emotion else ""
        parts = [
            f'<g transform="translate(60 {top})" role="img" aria-label="Person {person.track_id}">',
            f'<text y="8"><tspan font-weight="700">#{person.track_id}</tspan>'
            f"{html.escape(mostly)}, {clock(person.first)} to {clock(person.last)}</text>",
        ]
        for share in (0, 50, 100):
            y = 105 - 0.85 * share
            parts.append(
                f'<path d="M0 {y}h700" stroke="#cbd5e1"/><text x="-8" y="{y + 4}" text-anchor="end">{share} %</text>'
            )
        parts.append(f'<text y="124">0:00</text><text x="700" y="124" text-anchor="end">{clock(self.seconds)}</text>')
        for place, (label, path) in enumerate(lines.items()):
            colour, name = LINE_COLOURS.get(label, OTHER_LINE), html.escape(label.replace("_", " "))
            parts.append(
                f'<path d="{path}" transform="translate(0 20) scale({width:.6g} 85)" fill="none" stroke="{colour}" '
                'stroke-width="2" stroke-linecap="round" stroke-linejoin="round" vector-effect="non-scaling-stroke"/>'
                f'<circle cx="{78 + place * 76}" cy="120" r="4" fill="{colour}"/>'
                f'<text x="{86 + place * 76}" y="124">{name}</text>'
            )
        return "\n".join([*parts, "</g>"])


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
    """A person who may still be seen again."""

    def __init__(self, first: float) -> None:
        self.first = self.last = first
        self.count = 0
        self.steps: dict[int, _Sum] = {}
        self._sums: dict[str, _Sum] = {}
        self._picture: np.ndarray | None = None
        self._largest = 0.0

    def add(self, time: float, face: Face, step: int, pixels: np.ndarray | None) -> None:
        self.last = time
        self.count += 1
        for name in ATTRIBUTES:
            value = getattr(face, name)
            if value is not None:
                scores = value.to_dict() if isinstance(value, Estimate) else value.scores
                self._sums.setdefault(name, _Sum()).add(scores)
        if face.emotion is not None:
            self.steps.setdefault(step, _Sum()).add(face.emotion.scores)
        # Not for every pixel more.
        if pixels is not None and face.box.area > 1.2 * self._largest:
            self._largest = face.box.area
            self._picture = cut(pixels, face_window(face.box, margin=0.3), _PICTURE)

    def person(self, track_id: int, starts: list[float]) -> Person:
        means = {name: scores.mean() for name, scores in self._sums.items()}
        found = {name: Estimate(**mean) if name == "age" else Classification.of(mean) for name, mean in means.items()}
        steps = ((time, self.steps[place].mean() if place in self.steps else None) for place, time in enumerate(starts))
        values = {name: found.get(name) for name in ATTRIBUTES}
        return Person(track_id, self.first, self.last, self.count, **values, steps=tuple(steps), picture=self._picture)  # type: ignore[arg-type]


def clock(seconds: float) -> str:
    """``1:05`` for 65 seconds.

    Example:
        >>> clock(65.4), clock(3600)
        ('1:05', '1:00:00')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
