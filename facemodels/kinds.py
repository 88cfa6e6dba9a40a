"""Kinds of attributes: everything that depends on the type of an attribute's value.

A `Kind` defines how a model's output is decoded and formatted, its table columns, its JSON Schema, how values are
averaged over time, and which labels are valid. To add one: a subclass. Standard library only.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Protocol

from facemodels.values import (
    OPENNESS,
    POSE_LABELS,
    Classification,
    Estimate,
    Points,
    Pose,
    V,
    normalize_label,
    percent,
    readable,
)

# The outputs of a head of points: x and y of each as fractions of the crop, and the logit of there being a face.
POINT_LABELS = (*(f"{axis}{point}" for point in range(68) for axis in "xy"), "presence")


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
    """The type of an attribute's value.

    Attributes:
        name: As in the heads of a spec.
        unit: Of numbers, plural.
    """

    name: str
    unit: str = ""
    named: ClassVar[bool] = False  # whether its text needs the attribute's name
    probabilities: ClassVar[bool] = True  # whether a head's outputs are a distribution
    placed: ClassVar[bool] = False  # whether its values depend on where the crop lies in the image
    averaged: ClassVar[bool] = True  # whether the mean over a video is meaningful
    pipeline_tag: ClassVar[str] = "image-classification"  # the hub's name for such a task
    outputs: ClassVar[tuple[str, ...]] = ()  # all that a head must answer, in order; none: some of the labels

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
        """The value of a face that has moved from one box to another without being analyzed again."""
        return value

    @abstractmethod
    def text(self, value: V, label: Callable[[str], str] = readable) -> str:
        """The value as text, ``happy 93%``; `label` translates labels."""

    @abstractmethod
    def short_text(self, value: V, label: Callable[[str], str] = readable) -> str:
        """The same without the score or error, ``happy``."""

    @abstractmethod
    def columns(self, attribute: str) -> tuple[str, ...]:
        """The names of its columns in a table of faces."""

    @abstractmethod
    def cells(self, attribute: str, value: V) -> dict[str, Any]:
        """The values of those columns, numbers unrounded."""

    @abstractmethod
    def typed_columns(self, attribute: str, labels: Sequence[str]) -> dict[str, str]:
        """Its columns in a typed table, with the type of each: ``string``, ``float``, or ``float[8]`` for as many.

        Args:
            attribute: The attribute.
            labels: Those of the head that answers.
        """

    @abstractmethod
    def typed_cells(self, attribute: str, value: V, labels: Sequence[str]) -> dict[str, Any]:
        """The values of `typed_columns`; several numbers are in the order of `labels`."""

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
        """Normalize a label written by a person to the form that the models use.

        Raises:
            ValueError: If it is unknown; the message lists the known ones.
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
            "description": f"A number ({self.unit}), and its expected absolute error.",
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
        kind: The type of its value.
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
