"""The protocol of face detectors, and faces from their output."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol

import numpy as np

from facemodels.errors import DetectorError
from facemodels.types import Box, Face


class FaceDetector(Protocol):
    """Finds the faces of an image.

    Attributes:
        name: For messages and settings.
    """

    name: str

    def detect(self, image: np.ndarray, min_score: float = 0.6) -> list[Face]:
        """Find the faces of an image.

        Args:
            image: ``(H, W, 3)`` RGB uint8; not modified.
            min_score: Score threshold, 0..1.

        Returns:
            Faces with box, score and perhaps landmarks, in pixels of `image` and inside it, largest first.
        """
        ...


def faces_from_rows(rows: Iterable[np.ndarray], width: int, height: int) -> list[Face]:
    """Faces with boxes clipped to the image; those entirely outside are left out.

    Args:
        rows: x, y, width, height of the box, x and y of any number of landmarks, score; in pixels of the image.
        width: Of the image.
        height: Of the image.
    """
    faces = []
    for row in rows:
        x, y, w, h = row[:4]
        box = Box(float(x), float(y), float(x + w), float(y + h)).clip(width, height)
        if box.width < 1 or box.height < 1:
            continue
        landmarks = tuple((float(px), float(py)) for px, py in row[4:-1].reshape(-1, 2)) or None
        faces.append(Face(box, float(min(1.0, row[-1])), landmarks))
    return faces


def largest_first(faces: Iterable[Face]) -> list[Face]:
    """Faces by area, then by position, so that the order is deterministic."""
    return sorted(faces, key=lambda face: (-face.box.area, face.box.x1, face.box.y1))


def check_faces(faces: Iterable[Face], image: np.ndarray) -> list[Face]:
    """Check the output of a detector: boxes are clipped to the image, faces entirely outside are left out.

    Raises:
        DetectorError: If it contains anything but faces, or a box or score that is not a finite number.
    """
    height, width = image.shape[:2]
    checked = []
    for face in faces:
        if not isinstance(face, Face):
            raise DetectorError(f"the detector gave {face!r}, which is not a Face")
        numbers = (*(getattr(face.box, side) for side in Box.__slots__), face.score)
        if not all(map(math.isfinite, (*numbers, *(value for point in face.landmarks or () for value in point)))):
            raise DetectorError(f"the detector gave a face with a number that is not finite: {face!r}")
        box = face.box.clip(width, height)
        if box.width > 0 and box.height > 0:
            checked.append(face if box == face.box else face.replace(box=box))
    return checked
