"""The table of attributes: what a model can perceive in a face, each described once.

A `Kind` owns everything that follows from what sort of answer an attribute has: how a model's output is decoded, what
it reads like, its table columns, its JSON Schema, how answers are averaged over time, and which labels are valid.

To add an attribute: a row in `ATTRIBUTES`, a field of `Face`, and its words in the app's languages. To add a kind: a
subclass of `Kind`. Standard library only.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Generic, TypeVar

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


Value = Classification | Estimate
V = TypeVar("V", Classification, Estimate)


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

    @abstractmethod
    def decode(self, labels: Sequence[str], rows: Any) -> list[V]:
        """Read a head's output.

        Args:
            labels: The head's labels.
            rows: ``(N, labels)`` array of probabilities, each row summing to one.

        Returns:
            One value per row.
        """

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
        for name, attribute in ATTRIBUTES.items()
        if (value := values.get(name)) is not None
    ]
