"""Result types: small, frozen, made of plain Python numbers, ready for JSON. Standard library only."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from facemodels.attributes import ALL_ATTRIBUTES, ATTRIBUTES, ON_REQUEST
from facemodels.values import Classification, Estimate, Points, Pose, Value

SCHEMA = 1
ROW_COLUMNS = (  # of `Face.to_row`
    *("x1", "y1", "x2", "y2", "score"),
    *(column for name, attribute in ATTRIBUTES.items() for column in attribute.kind.columns(name)),
    *("quality", "doubts"),
    *(column for name, attribute in ON_REQUEST.items() for column in attribute.kind.columns(name)),
)
DOUBTS = ("small", "blurred", "turned", "cut", "dark", "weak")  # why an answer may be wrong


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
        """The centre, x and y."""
        return (self.x1 + self.x2) / 2, (self.y1 + self.y2) / 2

    def clip(self, width: int, height: int) -> Box:
        """This box, clipped to an image of `width` x `height` pixels."""
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
class Quality:
    """How well a face can be read.

    Attributes:
        value: 0..1: the product of all measures, each as a fraction of its threshold, at most 1. 1 means no doubt.
        size: Longer side of the box, pixels of the original image.
        sharpness: Fine detail as a fraction of all detail in the face, 0..1.
        brightness: Mean grey level, 0..1.
        turn: How far the nose lies beside the middle of the eyes, in eye distances; 0 from the front, above 0 where the
            face looks to the right of the image. From its pose, if that was requested, else from the detector's
            landmarks; 0 without either.
        cut: Fraction of the face outside of the image, estimated from its landmarks; 0 without landmarks.
        doubts: Why answers may be wrong, out of DOUBTS; ``weak`` means a low score of the detector.
    """

    value: float
    size: float
    sharpness: float
    brightness: float
    turn: float
    cut: float
    doubts: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        numbers = {name: round(getattr(self, name), 4) for name in self.__slots__ if name != "doubts"}
        return {**numbers, "doubts": list(self.doubts)}


@dataclass(frozen=True, slots=True)
class Face:
    """One face and what the models perceive in it; an attribute that was not requested is None.

    Attributes:
        box: Its position, in pixels of the original image.
        score: The detector's confidence, 0..1 (1 for boxes and crops that were given).
        landmarks: Points of the face in pixels (right eye, left eye, nose, mouth corners; the person's right is on the
            left of the image), or None if the detector gives none.
        emotion: Perceived emotion.
        age: Perceived age in years.
        gender: Perceived gender.
        ethnicity: Perceived ethnicity.
        track_id: The id from a `FaceTracker`, else None.
        quality: How well it can be read; None for crops that were given.
        points: Its 68 points, and how far eyes and mouth are open; only if ``points`` was requested.
        pose: How the head is turned; only if ``pose`` was requested.
    """

    box: Box
    score: float = 1.0
    landmarks: tuple[tuple[float, float], ...] | None = None
    emotion: Classification | None = None
    age: Estimate | None = None
    gender: Classification | None = None
    ethnicity: Classification | None = None
    track_id: int | None = None
    quality: Quality | None = None
    points: Points | None = None
    pose: Pose | None = None

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why its answers may be wrong, out of DOUBTS."""
        return self.quality.doubts if self.quality else ()

    @property
    def values(self) -> dict[str, Value]:
        """Attribute to value, for the attributes that were requested."""
        found = {name: getattr(self, name) for name in ALL_ATTRIBUTES}
        return {name: value for name, value in found.items() if value is not None}

    def replace(self, **changes: Any) -> Face:
        """A copy with some fields changed."""
        return replace(self, **changes)

    def scaled(self, x: float, y: float | None = None) -> Face:
        """This face in an image `x` times as wide and `y` times as high (as `x` if None)."""
        y = x if y is None else y
        landmarks = None if self.landmarks is None else tuple((px * x, py * y) for px, py in self.landmarks)
        placed = {
            name: attribute.kind.scaled(value, x, y)
            for name, attribute in ON_REQUEST.items()
            if (value := getattr(self, name)) is not None
        }
        return replace(self, box=self.box.scaled(x, y), landmarks=landmarks, **placed)

    def interpolate(self, other: Face, fraction: float) -> Face:
        """This face with its box and all its points moved `fraction` of the way to those of `other`."""
        landmarks = self.landmarks
        if landmarks is not None and other.landmarks is not None and len(landmarks) == len(other.landmarks):
            landmarks = tuple(
                (x + (to_x - x) * fraction, y + (to_y - y) * fraction)
                for (x, y), (to_x, to_y) in zip(landmarks, other.landmarks, strict=True)
            )
        box, points = self.box.interpolate(other.box, fraction), self.points
        if points is not None:
            points = ON_REQUEST["points"].kind.carried(points, self.box, box)
        return replace(self, box=box, landmarks=landmarks, points=points)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; an attribute that was not requested is null, and points and pose are then absent."""
        values = self.values
        return {
            "box": self.box.to_dict(),
            "score": self.score,
            "landmarks": None if self.landmarks is None else [list(point) for point in self.landmarks],
            **{name: values[name].to_dict() if name in values else None for name in ATTRIBUTES},
            "track_id": self.track_id,
            "quality": None if self.quality is None else self.quality.to_dict(),
            **{name: values[name].to_dict() for name in ON_REQUEST if name in values},
        }

    def to_row(self) -> dict[str, Any]:
        """Its columns for a table, out of `ROW_COLUMNS`; an attribute that was not requested is left out.

        Example:
            >>> Face(Box(1, 2, 3, 4), 0.5, age=Estimate(31.25, 5.0)).to_row()["age"]
            31.25
        """
        row: dict[str, Any] = {**self.box.to_dict(), "score": self.score}
        for name, value in self.values.items():
            row.update(ALL_ATTRIBUTES[name].kind.cells(name, value))
        if self.quality is not None:
            row.update(quality=self.quality.value, doubts=" ".join(self.doubts))
        return {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}


@dataclass(frozen=True, slots=True)
class Analysis:
    """The result for one image. Without faces it is empty (`len() == 0`); that is not an error.

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

    def __getitem__(self, index: int) -> Face:
        return self.faces[index]

    def __bool__(self) -> bool:
        """Always true, also without faces; use `len` to count them."""
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

    @staticmethod
    def schema() -> dict[str, Any]:
        """JSON Schema (2020-12) of what `to_dict` gives.

        Example:
            >>> Analysis.schema()["properties"]["schema"]["const"]
            1
        """
        probability = {"type": "number", "minimum": 0, "maximum": 1}
        size = {"description": "Pixels; 0 where the image could not be read.", "type": "integer", "minimum": 0}
        point = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
        coordinate = {"type": "number", "minimum": 0}
        box = _object("Left, top, right and bottom in pixels of the image.", dict.fromkeys(Box.__slots__, coordinate))
        number = {"type": "number"}
        quality = {
            **_object(
                "How well the face can be read, or null where that was not measured.",
                {
                    **dict.fromkeys(("value", "sharpness", "brightness", "cut"), probability),
                    "size": {"description": "Longer side of the box in pixels.", **coordinate},
                    "turn": {
                        "description": "Of the nose from the eyes' middle, in eye distances.",
                        **number,
                    },
                    "doubts": {
                        "description": "Why answers may be wrong.",
                        "type": "array",
                        "items": {"enum": [*DOUBTS]},
                    },
                },
            ),
            "type": ["object", "null"],
        }
        face = _object(
            "One face and what the models perceive in it; an attribute that was not requested is null.",
            {
                "box": box,
                "score": {"description": "The detector's confidence.", **probability},
                "landmarks": {
                    "description": "Points of the face in pixels, x and y, or null where the detector gives none.",
                    "type": ["array", "null"],
                    "items": point,
                },
                **{name: attribute.kind.schema() for name, attribute in ATTRIBUTES.items()},
                "track_id": {
                    "description": "The id from a tracker, else null.",
                    "type": ["integer", "null"],
                    "minimum": 1,
                },
                "quality": quality,
                **{name: attribute.kind.schema() for name, attribute in ON_REQUEST.items()},
            },
            optional={"quality", *ON_REQUEST},
        )
        models = {
            "description": "Attribute to the name@version that answered, with #head if one was requested by name.",
            "type": "object",
            "propertyNames": {"enum": list(ALL_ATTRIBUTES)},
            "additionalProperties": {"type": "string", "pattern": r"^[^@]+@[0-9]+\.[0-9]+\.[0-9]+(#[a-z0-9_]+)?$"},
        }
        analysis = _object(
            "The result for one image: `Analysis.to_dict()`, and the response of the app's /analyze.",
            {
                "schema": {"description": "Version of this layout.", "const": SCHEMA},
                "width": size,
                "height": size,
                "models": models,
                "error": {"description": "Why the image could not be analyzed, else null.", "type": ["string", "null"]},
                "faces": {"description": "The faces, largest first.", "type": "array", "items": face},
            },
        )
        identity = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": f"urn:facemodels:analysis:{SCHEMA}",
            "title": "Analysis",
        }
        return {**identity, **analysis}


def _object(description: str, properties: dict[str, Any], optional: Collection[str] = ()) -> dict[str, Any]:
    """JSON Schema of an object with exactly these properties; `optional` ones were added in a later release."""
    return {
        "description": description,
        "type": "object",
        "additionalProperties": False,
        "required": [name for name in properties if name not in optional],
        "properties": properties,
    }
