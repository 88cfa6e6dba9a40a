"""The results: small, frozen, made of plain Python numbers, ready for JSON. Standard library only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

SCHEMA = 1
ATTRIBUTES = ("emotion", "age", "gender", "ethnicity")
ROW_COLUMNS = (  # of `Face.to_row`
    *("x1", "y1", "x2", "y2", "score"),
    *("emotion", "emotion_score", "age", "age_error", "gender", "gender_score", "ethnicity", "ethnicity_score"),
)


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels of the original image: left, top, right, bottom.

    Attributes:
        x1: Left edge, pixels from the left of the image.
        y1: Top edge, pixels from the top.
        x2: Right edge, at least `x1`.
        y2: Bottom edge, at least `y1`.

    Example:
        >>> Box(10, 20, 40, 60).area
        1200
    """

    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def width(self) -> float:
        """Width in pixels."""
        return self.x2 - self.x1

    @property
    def height(self) -> float:
        """Height in pixels."""
        return self.y2 - self.y1

    @property
    def area(self) -> float:
        """Area in square pixels."""
        return self.width * self.height

    @property
    def centre(self) -> tuple[float, float]:
        """Its middle, x and y."""
        return (self.x1 + self.x2) / 2, (self.y1 + self.y2) / 2

    def clip(self, width: int, height: int) -> Box:
        """This box, cut where it leaves an image of `width` x `height` pixels."""
        return Box(
            min(max(self.x1, 0), width),
            min(max(self.y1, 0), height),
            min(max(self.x2, 0), width),
            min(max(self.y2, 0), height),
        )

    def moved(self, dx: float, dy: float) -> Box:
        """This box, `dx` pixels further right and `dy` further down."""
        return Box(self.x1 + dx, self.y1 + dy, self.x2 + dx, self.y2 + dy)

    def scaled(self, x: float, y: float | None = None) -> Box:
        """This box in an image `x` times as wide and `y` times as high (as `x` if None).

        Example:
            >>> Box(10, 20, 40, 60).scaled(0.5)
            Box(x1=5.0, y1=10.0, x2=20.0, y2=30.0)
        """
        y = x if y is None else y
        return Box(self.x1 * x, self.y1 * y, self.x2 * x, self.y2 * y)

    def interpolate(self, other: Box, fraction: float) -> Box:
        """The box that lies `fraction` of the way from this one (0) to `other` (1)."""
        return Box(
            self.x1 + (other.x1 - self.x1) * fraction,
            self.y1 + (other.y1 - self.y1) * fraction,
            self.x2 + (other.x2 - self.x2) * fraction,
            self.y2 + (other.y2 - self.y2) * fraction,
        )

    def iou(self, other: Box) -> float:
        """Intersection over union, 0 (apart, or both without area) to 1 (the same box).

        Example:
            >>> Box(0, 0, 10, 10).iou(Box(5, 0, 15, 10))
            0.3333333333333333
        """
        width = min(self.x2, other.x2) - max(self.x1, other.x1)
        height = min(self.y2, other.y2) - max(self.y1, other.y1)
        if width <= 0 or height <= 0:
            return 0.0
        return width * height / (self.area + other.area - width * height)

    def to_dict(self) -> dict[str, float]:
        """``{"x1": …, "y1": …, "x2": …, "y2": …}``."""
        return {"x1": self.x1, "y1": self.y1, "x2": self.x2, "y2": self.y2}


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


# Half an 80 % interval over the expected absolute error: 1.61 both for the normal and for the Laplace distribution.
INTERVAL = 1.6


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
class Face:
    """One face and what the models perceive in it; an attribute that was not asked for is None.

    Attributes:
        box: Where it is, in pixels of the original image.
        score: The detector's confidence, 0..1 (1 for boxes and crops that were given).
        landmarks: Points of the face in pixels (right eye, left eye, nose, mouth corners; the person's right is on the
            left of the picture), or None when the detector gives none.
        emotion: Perceived emotion.
        age: Perceived age in years.
        gender: Perceived gender.
        ethnicity: Perceived ethnicity.
        track_id: The id a `FaceTracker` gave, else None.
    """

    box: Box
    score: float = 1.0
    landmarks: tuple[tuple[float, float], ...] | None = None
    emotion: Classification | None = None
    age: Estimate | None = None
    gender: Classification | None = None
    ethnicity: Classification | None = None
    track_id: int | None = None

    def replace(self, **changes: Any) -> Face:
        """A copy with some fields changed."""
        return replace(self, **changes)

    def scaled(self, x: float, y: float | None = None) -> Face:
        """This face in an image `x` times as wide and `y` times as high (as `x` if None)."""
        y = x if y is None else y
        landmarks = None if self.landmarks is None else tuple((px * x, py * y) for px, py in self.landmarks)
        return replace(self, box=self.box.scaled(x, y), landmarks=landmarks)

    def interpolate(self, other: Face, fraction: float) -> Face:
        """This face with its box and landmarks moved `fraction` of the way to those of `other`."""
        landmarks = self.landmarks
        if landmarks is not None and other.landmarks is not None and len(landmarks) == len(other.landmarks):
            landmarks = tuple(
                (x + (to_x - x) * fraction, y + (to_y - y) * fraction)
                for (x, y), (to_x, to_y) in zip(landmarks, other.landmarks, strict=True)
            )
        return replace(self, box=self.box.interpolate(other.box, fraction), landmarks=landmarks)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; an attribute that was not asked for is null."""
        attributes = {name: getattr(self, name) for name in ATTRIBUTES}
        return {
            "box": self.box.to_dict(),
            "score": self.score,
            "landmarks": None if self.landmarks is None else [list(point) for point in self.landmarks],
            **{name: None if value is None else value.to_dict() for name, value in attributes.items()},
            "track_id": self.track_id,
        }

    def to_row(self) -> dict[str, Any]:
        """Its columns for a table, out of `ROW_COLUMNS`; an attribute that was not asked for is left out.

        Example:
            >>> Face(Box(1, 2, 3, 4), 0.5, age=Estimate(31.25, 5.0)).to_row()["age"]
            31.25
        """
        row: dict[str, Any] = {**self.box.to_dict(), "score": self.score}
        for name in ATTRIBUTES:
            value = getattr(self, name)
            if isinstance(value, Estimate):
                row.update({name: value.value, f"{name}_error": value.error})
            elif value is not None:
                row.update({name: value.label, f"{name}_score": value.score})
        return {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}


@dataclass(frozen=True, slots=True)
class Analysis:
    """What was found in one image. No face is a value (`len() == 0`), not an exception.

    Attributes:
        faces: The faces, largest first.
        width: Width of the image in pixels.
        height: Height of the image in pixels.
        models: Attribute to the ``name@version`` of the model that answered.
        error: In a batch, why this image could not be analyzed; else None.

    Example:
        >>> len(Analysis((), 640, 480, {}))
        0
    """

    faces: tuple[Face, ...]
    width: int
    height: int
    models: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None

    def __len__(self) -> int:
        return len(self.faces)

    def __iter__(self) -> Iterator[Face]:
        return iter(self.faces)

    def __bool__(self) -> bool:
        """Always true: an image without faces is an answer too (ask `len`)."""
        return True

    def scaled(self, width: int, height: int) -> Analysis:
        """The same faces in the same image of another size."""
        if (width, height) == (self.width, self.height):
            return self
        x, y = width / self.width, height / self.height
        return replace(self, faces=tuple(face.scaled(x, y) for face in self.faces), width=width, height=height)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with the version of its layout under ``"schema"``."""
        return {
            "schema": SCHEMA,
            "width": self.width,
            "height": self.height,
            "models": dict(self.models),
            "error": self.error,
            "faces": [face.to_dict() for face in self.faces],
        }
