"""The table of attributes: what a model can perceive in a face, each described once.

A `Kind` owns everything that follows from what sort of answer an attribute has: how a model's output is decoded, what
it reads like, its table columns, its JSON Schema, how answers are averaged over time, and which labels are valid.

To add an attribute: a row in `ATTRIBUTES`, a field of `Face`, and its words in the app's languages. To add a kind: a
subclass of `Kind`. Standard library only.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Generic, Protocol, TypeVar

# The outputs of a head of points: x and y of each as fractions of the crop, and the logit of there being a face.
POINT_LABELS = (*(f"{axis}{point}" for point in range(68) for axis in "xy"), "presence")
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
        error: The expected absolute error of this very estimate, in the same unit.

    Example:
        >>> Estimate(30.0, 5.0).interval
        (22.0, 38.0)
    """

    value: float
    error: float

    @property
    def interval(self) -> tuple[float, float]:
        """The lower and upper end, 0 at least, of the range that holds the truth in 80 of 100 cases."""
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
        score: How sure the model is that there is a face at all, 0..1.
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
        """These points, each where `move` takes it."""
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
        """Degrees between where the face is turned and the camera, about; roll counts nothing."""
        return math.hypot(self.yaw, self.pitch)

    def to_dict(self) -> dict[str, float]:
        """``{"yaw": …, "pitch": …, "roll": …}``."""
        return {name: round(getattr(self, name), 2) for name in POSE_LABELS}


Value = Classification | Estimate | Points | Pose
V = TypeVar("V", Classification, Estimate, Points, Pose)


def percent(score: float) -> str:
    """A probability for people: never certain, never impossible.

    Example:
        >>> percent(0.934), percent(0.9999), percent(0.001)
        ('93%', '>99%', '<1%')
    """
    return ">99%" if score > 0.995 else "<1%" if score < 0.005 else f"{score:.0%}"


def readable(label: str) -> str:
    """A label as text: ``middle_eastern`` reads ``middle eastern``."""
    return label.replace("_", " ")


def normalize_label(text: str) -> str:
    """A label as code writes it: ``East Asian`` and ``east-asian`` become ``east_asian``."""
    return re.sub(r"[\s-]+", "_", text.strip().lower())


class Frame(Protocol):
    """Where a crop lies in its image: a `facemodels.crops.Window`."""

    @property
    def angle(self) -> float: ...

    def to_image(self, points: Any) -> Any: ...


class Rectangle(Protocol):
    """A `facemodels.Box`."""

    @property
    def x1(self) -> float: ...

    @property
    def y1(self) -> float: ...

    @property
    def width(self) -> float: ...

    @property
    def height(self) -> float: ...


@dataclass(frozen=True)
class Kind(ABC, Generic[V]):
    """What sort of answer an attribute has.

    Attributes:
        name: As a spec's heads write it.
        unit: Of numbers, plural.
    """

    name: str
    unit: str = ""
    named: ClassVar[bool] = False  # whether its text says nothing without the attribute's name
    probabilities: ClassVar[bool] = True  # whether a head's outputs are those of a distribution
    placed: ClassVar[bool] = False  # whether its values depend on where the crop lies in the image
    averaged: ClassVar[bool] = True  # whether the mean over a video says something
    pipeline_tag: ClassVar[str] = "image-classification"  # the hub's name for such a task

    @abstractmethod
    def decode(self, labels: Sequence[str], rows: Any) -> list[V]:
        """Read a head's output.

        Args:
            labels: The head's labels.
            rows: ``(N, labels)`` array of probabilities, each row summing to one.

        Returns:
            One value per row.
        """

    def place(self, value: V, frame: Frame) -> V:
        """A value as decoded from a crop, in pixels and directions of the image."""
        return value

    def scaled(self, value: V, x: float, y: float) -> V:
        """The value in the same image at `x` times the width and `y` times the height."""
        return value

    def carried(self, value: V, before: Rectangle, now: Rectangle) -> V:
        """The value of a face that has moved from one box to another and was not looked at again."""
        return value

    @abstractmethod
    def text(self, value: V, label: Callable[[str], str] = readable) -> str:
        """The value for people, ``happy 93%``; `label` translates labels."""

    @abstractmethod
    def short_text(self, value: V, label: Callable[[str], str] = readable) -> str:
        """The same without how sure it is, ``happy``."""

    @abstractmethod
    def columns(self, attribute: str) -> tuple[str, ...]:
        """The names of its columns in a table of faces."""

    @abstractmethod
    def cells(self, attribute: str, value: V) -> dict[str, Any]:
        """What stands in those columns, numbers unrounded."""

    @abstractmethod
    def typed_columns(self, attribute: str, labels: Sequence[str]) -> dict[str, str]:
        """Its columns in a typed table, with the type of each: ``string``, ``float``, or ``float[8]`` for as many.

        Args:
            attribute: The attribute.
            labels: Those of the head that answers.
        """

    @abstractmethod
    def typed_cells(self, attribute: str, value: V, labels: Sequence[str]) -> dict[str, Any]:
        """What stands in `typed_columns`; several numbers are in the order of `labels`."""

    @abstractmethod
    def typed_value(self, attribute: str, row: Mapping[str, Any], labels: Sequence[str]) -> V:
        """The value that has these `typed_cells`."""

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """JSON Schema of `to_dict`, or null."""

    @abstractmethod
    def parts(self, value: V) -> Mapping[str, float]:
        """The numbers that are averaged over time."""

    @abstractmethod
    def assemble(self, parts: Mapping[str, float]) -> V:
        """The value that has these `parts`."""

    @abstractmethod
    def describe_labels(self, attribute: Attribute) -> str:
        """The labels that a face can have, for a message."""

    @abstractmethod
    def is_label(self, attribute: Attribute, text: str) -> bool:
        """Whether a face can have this label."""

    def is_output(self, attribute: Attribute, name: str) -> bool:
        """Whether a head's output can have this name."""
        return self.is_label(attribute, name)

    def parse(self, attribute: Attribute, text: str) -> str:
        """A true label as somebody wrote it, in the form that the models use.

        Raises:
            ValueError: If it is none; the message says which are known.
        """
        label = normalize_label(text)
        if not self.is_label(attribute, label):
            raise ValueError(f"known: {self.describe_labels(attribute)}")
        return label

    def blend(self, past: V, seen: V, keep: float, switch_margin: float = 0.0) -> V:
        """What is perceived now, smoothed by what was perceived before.

        Args:
            past: The value so far.
            seen: The value of now.
            keep: Weight of the past, 0..1.
            switch_margin: By how much a score must lead before the label changes.
        """
        old, new = self.parts(past), self.parts(seen)
        if old.keys() != new.keys():
            return seen  # another model answers now
        return self.assemble({name: keep * old[name] + (1 - keep) * new[name] for name in new})


@dataclass(frozen=True)
class Categorical(Kind[Classification]):
    """One label out of several; a head's output holds a probability per label."""

    name: str = "classification"

    def decode(self, labels: Sequence[str], rows: Any) -> list[Classification]:
        return [Classification.of(dict(zip(labels, row, strict=True))) for row in rows.tolist()]

    def text(self, value: Classification, label: Callable[[str], str] = readable) -> str:
        return f"{label(value.label)} {percent(value.score)}"

    def short_text(self, value: Classification, label: Callable[[str], str] = readable) -> str:
        return label(value.label)

    def columns(self, attribute: str) -> tuple[str, ...]:
        return attribute, f"{attribute}_score"

    def cells(self, attribute: str, value: Classification) -> dict[str, Any]:
        return {attribute: value.label, f"{attribute}_score": value.score}

    def typed_columns(self, attribute: str, labels: Sequence[str]) -> dict[str, str]:
        return {attribute: "string", f"{attribute}_score": "float", f"{attribute}_scores": f"float[{len(labels)}]"}

    def typed_cells(self, attribute: str, value: Classification, labels: Sequence[str]) -> dict[str, Any]:
        scores = [value.scores[label] for label in labels]
        return {**self.cells(attribute, value), f"{attribute}_scores": scores}

    def typed_value(self, attribute: str, row: Mapping[str, Any], labels: Sequence[str]) -> Classification:
        return Classification.of(dict(zip(labels, row[f"{attribute}_scores"], strict=True)))

    def schema(self) -> dict[str, Any]:
        probability = {"type": "number", "minimum": 0, "maximum": 1}
        return {
            "description": "The most probable label, its probability, and that of every label; they sum to 1.",
            "type": ["object", "null"],
            "additionalProperties": False,
            "required": ["label", "score", "scores"],
            "properties": {
                "label": {"type": "string"},
                "score": probability,
                "scores": {"type": "object", "minProperties": 1, "additionalProperties": probability},
            },
        }

    def parts(self, value: Classification) -> Mapping[str, float]:
        return value.scores

    def assemble(self, parts: Mapping[str, float]) -> Classification:
        return Classification.of(parts)

    def blend(
        self, past: Classification, seen: Classification, keep: float, switch_margin: float = 0.0
    ) -> Classification:
        blended = super().blend(past, seen, keep, switch_margin)
        total = sum(blended.scores.values())
        if past.label not in blended.scores or total <= 0:
            return seen
        best = Classification.of({name: score / total for name, score in blended.scores.items()})
        if best.score - best.scores[past.label] > switch_margin:
            return best
        return Classification(past.label, best.scores[past.label], best.scores)

    def describe_labels(self, attribute: Attribute) -> str:
        return ", ".join(attribute.known_labels)

    def is_label(self, attribute: Attribute, text: str) -> bool:
        return text in attribute.known_labels


@dataclass(frozen=True)
class Numeric(Kind[Estimate]):
    """A number; a head's output is a distribution over numbers, which are its labels.

    Attributes:
        maximum: The largest that a true label can be.
    """

    named: ClassVar[bool] = True

    name: str = "number"
    maximum: float = 1e9

    def decode(self, labels: Sequence[str], rows: Any) -> list[Estimate]:
        """See `Kind.decode`: the mean of each distribution, and the expected absolute distance from it."""
        values, errors = expectation(rows, [float(label) for label in labels])
        return [Estimate(value, error) for value, error in zip(values.tolist(), errors.tolist(), strict=True)]

    def text(self, value: Estimate, label: Callable[[str], str] = readable) -> str:
        return f"{value.value:.0f} ± {value.error:.0f}"

    def short_text(self, value: Estimate, label: Callable[[str], str] = readable) -> str:
        return f"{value.value:.0f}"

    def columns(self, attribute: str) -> tuple[str, ...]:
        return attribute, f"{attribute}_error"

    def cells(self, attribute: str, value: Estimate) -> dict[str, Any]:
        return {attribute: value.value, f"{attribute}_error": value.error}

    def typed_columns(self, attribute: str, labels: Sequence[str]) -> dict[str, str]:
        return dict.fromkeys(self.columns(attribute), "float")

    def typed_cells(self, attribute: str, value: Estimate, labels: Sequence[str]) -> dict[str, Any]:
        return self.cells(attribute, value)

    def typed_value(self, attribute: str, row: Mapping[str, Any], labels: Sequence[str]) -> Estimate:
        return Estimate(row[attribute], row[f"{attribute}_error"])

    def schema(self) -> dict[str, Any]:
        return {
            "description": f"A number ({self.unit}), and how far off this very estimate is expected to be.",
            "type": ["object", "null"],
            "additionalProperties": False,
            "required": ["value", "error"],
            "properties": {"value": {"type": "number"}, "error": {"type": "number", "minimum": 0}},
        }

    def parts(self, value: Estimate) -> Mapping[str, float]:
        return value.to_dict()

    def assemble(self, parts: Mapping[str, float]) -> Estimate:
        return Estimate(parts["value"], parts["error"])

    def describe_labels(self, attribute: Attribute) -> str:
        return f"{self.unit}, 0..{self.maximum:g}"

    def is_label(self, attribute: Attribute, text: str) -> bool:
        return re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", text) is not None and float(text) <= self.maximum


@dataclass(frozen=True)
class Unlabelled(Kind[V]):
    """What is measured, and not chosen out of labels: no folder or table of true labels can name it."""

    named: ClassVar[bool] = True
    probabilities: ClassVar[bool] = False
    placed: ClassVar[bool] = True
    pipeline_tag: ClassVar[str] = "keypoint-detection"
    outputs: ClassVar[tuple[str, ...]]

    def short_text(self, value: V, label: Callable[[str], str] = readable) -> str:
        return self.text(value, label)

    def describe_labels(self, attribute: Attribute) -> str:
        return "no labels"

    def is_label(self, attribute: Attribute, text: str) -> bool:
        return False

    def is_output(self, attribute: Attribute, name: str) -> bool:
        return name in self.outputs


@dataclass(frozen=True)
class PointSet(Unlabelled[Points]):
    """The 68 points of a face; a head's output holds their coordinates as fractions of the crop, and a logit."""

    averaged: ClassVar[bool] = False
    outputs: ClassVar[tuple[str, ...]] = POINT_LABELS

    name: str = "points"

    def decode(self, labels: Sequence[str], rows: Any) -> list[Points]:
        return [
            Points(tuple(zip(row[:-1:2], row[1:-1:2], strict=True)), 1 / (1 + math.exp(-max(-50.0, row[-1]))))
            for row in rows.tolist()
        ]

    def place(self, value: Points, frame: Frame) -> Points:
        return Points(tuple((x, y) for x, y in frame.to_image(value.points).tolist()), value.score)

    def scaled(self, value: Points, x: float, y: float) -> Points:
        return value.moved(lambda px, py: (px * x, py * y))

    def carried(self, value: Points, before: Rectangle, now: Rectangle) -> Points:
        x, y = now.width / max(before.width, 1e-6), now.height / max(before.height, 1e-6)
        return value.moved(lambda px, py: (now.x1 + (px - before.x1) * x, now.y1 + (py - before.y1) * y))

    def text(self, value: Points, label: Callable[[str], str] = readable) -> str:
        return f"eyes {value.right_eye_open:.1f} {value.left_eye_open:.1f} open, mouth {value.mouth_open:.1f}"

    def columns(self, attribute: str) -> tuple[str, ...]:
        return f"{attribute}_score", *OPENNESS

    def cells(self, attribute: str, value: Points) -> dict[str, Any]:
        return {f"{attribute}_score": value.score, **{name: getattr(value, name) for name in OPENNESS}}

    def typed_columns(self, attribute: str, labels: Sequence[str]) -> dict[str, str]:
        return {attribute: f"float[{len(labels) - 1}]", **dict.fromkeys(self.columns(attribute), "float")}

    def typed_cells(self, attribute: str, value: Points, labels: Sequence[str]) -> dict[str, Any]:
        return {attribute: [number for point in value.points for number in point], **self.cells(attribute, value)}

    def typed_value(self, attribute: str, row: Mapping[str, Any], labels: Sequence[str]) -> Points:
        numbers = row[attribute]
        return Points(tuple(zip(numbers[::2], numbers[1::2], strict=True)), row[f"{attribute}_score"])

    def schema(self) -> dict[str, Any]:
        fraction = {"type": "number", "minimum": 0, "maximum": 1}
        point = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
        return {
            "description": "68 points in pixels (iBUG 300-W); how far eyes and mouth are open. Only where asked for.",
            "type": ["object", "null"],
            "additionalProperties": False,
            "required": ["points", "score", *OPENNESS],
            "properties": {
                "points": {"type": "array", "items": point, "minItems": 68, "maxItems": 68},
                **dict.fromkeys(("score", *OPENNESS), fraction),
            },
        }

    def parts(self, value: Points) -> Mapping[str, float]:
        numbers = (number for point in value.points for number in point)
        return {"score": value.score, **{str(index): number for index, number in enumerate(numbers)}}

    def assemble(self, parts: Mapping[str, float]) -> Points:
        score, *numbers = parts.values()
        return Points(tuple(zip(numbers[::2], numbers[1::2], strict=True)), score)

    def blend(self, past: Points, seen: Points, keep: float, switch_margin: float = 0.0) -> Points:
        return seen  # a mean with where they were would lag behind the face


@dataclass(frozen=True)
class Rotation(Unlabelled[Pose]):
    """How a head is turned; a head's output holds yaw, pitch and roll in degrees, as seen in the crop."""

    outputs: ClassVar[tuple[str, ...]] = POSE_LABELS

    name: str = "pose"
    unit: str = "degrees"

    def decode(self, labels: Sequence[str], rows: Any) -> list[Pose]:
        return [Pose(**dict(zip(labels, row, strict=True))) for row in rows.tolist()]

    def place(self, value: Pose, frame: Frame) -> Pose:
        return Pose(value.yaw, value.pitch, (value.roll + frame.angle + 180) % 360 - 180)

    def text(self, value: Pose, label: Callable[[str], str] = readable) -> str:
        return f"yaw {value.yaw:+.0f}° pitch {value.pitch:+.0f}° roll {value.roll:+.0f}°"

    def columns(self, attribute: str) -> tuple[str, ...]:
        return POSE_LABELS

    def cells(self, attribute: str, value: Pose) -> dict[str, Any]:
        return {name: getattr(value, name) for name in POSE_LABELS}

    def typed_columns(self, attribute: str, labels: Sequence[str]) -> dict[str, str]:
        return dict.fromkeys(POSE_LABELS, "float")

    def typed_cells(self, attribute: str, value: Pose, labels: Sequence[str]) -> dict[str, Any]:
        return self.cells(attribute, value)

    def typed_value(self, attribute: str, row: Mapping[str, Any], labels: Sequence[str]) -> Pose:
        return Pose(*(row[name] for name in POSE_LABELS))

    def schema(self) -> dict[str, Any]:
        angle = {"type": "number", "minimum": -180, "maximum": 180}
        return {
            "description": "How the head is turned, in degrees. Only where asked for.",
            "type": ["object", "null"],
            "additionalProperties": False,
            "required": [*POSE_LABELS],
            "properties": dict.fromkeys(POSE_LABELS, angle),
        }

    def parts(self, value: Pose) -> Mapping[str, float]:
        # The roll as two numbers: the mean of 179 and -179 degrees is not 0.
        roll = math.radians(value.roll)
        return {"yaw": value.yaw, "pitch": value.pitch, "sin": math.sin(roll), "cos": math.cos(roll)}

    def assemble(self, parts: Mapping[str, float]) -> Pose:
        return Pose(parts["yaw"], parts["pitch"], math.degrees(math.atan2(parts["sin"], parts["cos"])))


def expectation(rows: Any, values: Any) -> tuple[Any, Any]:
    """The mean of each row's distribution over `values`, and the expected absolute distance from it.

    Args:
        rows: ``(N, M)`` array, each row summing to one.
        values: The ``M`` numbers.

    Returns:
        Two ``(N,)`` arrays, in the unit of `values`.
    """
    means = rows @ values
    return means, (rows * abs(means[:, None] - values)).sum(axis=1)


@dataclass(frozen=True)
class Attribute:
    """One attribute.

    Attributes:
        name: Field of `Face`, key of results, and word of the API.
        kind: What sort of answer it has.
        default_model: The model that answers it when the caller names none.
        labels: Of a categorical attribute: its labels, in order.
        views: Coarser views: name to a mapping from every label to its group.
        caption: Line and position in the caption of a drawn face.
    """

    name: str
    kind: Kind[Any]
    default_model: str
    labels: tuple[str, ...] = ()
    views: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    caption: tuple[int, int] = (2, 0)

    @property
    def known_labels(self) -> tuple[str, ...]:
        """Its labels, and the groups of its views."""
        groups = (group for view in self.views.values() for group in view.values())
        return tuple(dict.fromkeys((*self.labels, *groups)))

    @property
    def label_text(self) -> str:
        """The labels that a face can have, for a message."""
        return self.kind.describe_labels(self)

    def parse(self, text: str) -> str:
        """See `Kind.parse`."""
        return self.kind.parse(self, text)


_ROWS = (
    Attribute(
        "emotion",
        Categorical(),
        default_model="emotion-efficientnet",
        labels=("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "contempt"),
        caption=(0, 0),
    ),
    Attribute(
        "age",
        Numeric("age", unit="years", maximum=130),
        default_model="demographics-efficientnet",
        caption=(1, 1),
    ),
    Attribute(
        "gender",
        Categorical(),
        default_model="demographics-efficientnet",
        labels=("female", "male"),
        caption=(1, 0),
    ),
    Attribute(
        "ethnicity",
        Categorical(),
        default_model="demographics-efficientnet",
        labels=("white", "black", "east_asian", "southeast_asian", "indian", "middle_eastern", "latino"),
        # UTKFace knows five groups; its "Others" are Hispanic, Latino and Middle Eastern.
        views={
            "five": {
                "white": "white",
                "black": "black",
                "east_asian": "asian",
                "southeast_asian": "asian",
                "indian": "indian",
                "middle_eastern": "other",
                "latino": "other",
            }
        },
        caption=(2, 0),
    ),
)
ATTRIBUTES: Mapping[str, Attribute] = MappingProxyType({row.name: row for row in _ROWS})

# Where the face is and how it is turned: answered only where they are asked for, and never labelled.
ON_REQUEST: Mapping[str, Attribute] = MappingProxyType(
    {
        "points": Attribute("points", PointSet(), default_model="landmarks-efficientnet"),
        "pose": Attribute("pose", Rotation(), default_model="landmarks-efficientnet"),
    }
)
ALL_ATTRIBUTES: Mapping[str, Attribute] = MappingProxyType({**ATTRIBUTES, **ON_REQUEST})

EMOTIONS = ATTRIBUTES["emotion"].labels
GENDERS = ATTRIBUTES["gender"].labels
ETHNICITIES = ATTRIBUTES["ethnicity"].labels
ETHNICITY_FIVE = ATTRIBUTES["ethnicity"].views["five"]
FIVE_GROUPS = tuple(dict.fromkeys(ETHNICITY_FIVE.values()))

# The attribute that a face is coloured, plotted and headlined by.
HEADLINE = "emotion"


def is_numeric(name: str) -> bool:
    """Whether a name is that of an attribute of numbers.

    Example:
        >>> is_numeric("age"), is_numeric("emotion"), is_numeric("age_bin")
        (True, False, False)
    """
    return name in ATTRIBUTES and isinstance(ATTRIBUTES[name].kind, Numeric)


def face_texts(values: Mapping[str, Value | None], label: Callable[[str], str] = readable) -> list[str]:
    """What is perceived in one face, a text per attribute that was answered, in the table's order.

    Args:
        values: Attribute to value.
        label: Translates labels.

    Example:
        >>> face_texts({"emotion": Classification.of({"happy": 0.9, "sad": 0.1}), "age": Estimate(31.2, 5.0)})
        ['happy 90%', 'age 31 ± 5']
    """
    return [
        f"{name} " * attribute.kind.named + attribute.kind.text(value, label)
        for name, attribute in ALL_ATTRIBUTES.items()
        if (value := values.get(name)) is not None
    ]
