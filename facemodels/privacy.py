"""Faces made unrecognizable: blurred, pixelated or filled."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, Protocol, Self, TypeVar

import cv2
import numpy as np

from facemodels.errors import ArgumentError
from facemodels.images import read_image
from facemodels.types import Box, Face

HOW = ("blur", "pixelate", "fill")
MIN_SCORE = 0.4  # score threshold of faces to hide: a missed one costs more than a patch too many
ROOM = 1.3  # side of the patch per longer side of the box, so that hair and chin of rolled faces are hidden too
CELLS = 6  # as many cells across a patch are left of its content


class FaceFinder(Protocol):
    """What finds the faces to hide: a `FaceAnalyzer`, or anything with its `using` and `detect`."""

    min_score: float

    def using(
        self, *, min_score: float | None = None, max_faces: int | None = None, min_quality: float | None = None
    ) -> Self:
        """See `FaceAnalyzer.using`."""
        ...

    def detect(self, image: Any, /) -> list[Face]:
        """See `FaceAnalyzer.detect`."""
        ...


F = TypeVar("F", bound=FaceFinder)


def thorough(analyzer: F) -> F:
    """An analyzer that finds faces to hide: at a low score threshold, of any quality, and all of them.

    Example:
        >>> from facemodels import FaceAnalyzer
        >>> faces = thorough(FaceAnalyzer(max_faces=1)).detect("photo.jpg")      # doctest: +SKIP
    """
    return analyzer.using(min_score=min(MIN_SCORE, analyzer.min_score), max_faces=sys.maxsize, min_quality=0.0)


def anonymize(image: Any, faces: Iterable[Face | Box], how: str = "blur") -> np.ndarray:
    """Hide faces.

    No more than CELLS x CELLS cells are left of a patch, whatever its size, so that nothing can be restored. Find the
    faces with `facemodels.privacy.thorough`, which has a low score threshold.

    Args:
        image: Anything `read_image` takes.
        faces: The faces, or their boxes, in pixels of the image.
        how: ``blur``, ``pixelate``, or ``fill`` with the mean colour.

    Returns:
        A new ``(H, W, 3)`` RGB uint8 array. It carries no metadata.

    Raises:
        ImageError: If `image` is not an image.
        ArgumentError: If `how` is unknown, or a face is not one.

    Example:
        >>> hidden = anonymize(np.arange(1200, dtype=np.uint8).reshape(20, 20, 3), [Box(5, 5, 10, 10)], "fill")
        >>> len(np.unique(hidden[5:10, 5:10].reshape(-1, 3), axis=0))
        1
    """
    check_how(how)
    pixels = read_image(image)
    height, width = pixels.shape[:2]
    for face in faces:
        box = face.box if isinstance(face, Face) else face
        if not isinstance(box, Box):
            raise ArgumentError(f"faces must be Face or Box; got {face!r}")
        (x, y), reach = box.centre, ROOM / 2 * max(box.width, box.height)
        area = Box(x - reach, y - reach, x + reach, y + reach).clip(width, height)
        left, top, right, bottom = int(area.x1), int(area.y1), int(np.ceil(area.x2)), int(np.ceil(area.y2))
        if right > left and bottom > top:
            patch = pixels[top:bottom, left:right]
            patch[:] = _hidden(patch, how)
    return pixels


def check_how(how: str) -> None:
    """Refuse an unknown way to hide faces.

    Raises:
        ArgumentError: If it is not one of HOW.
    """
    if how not in HOW:
        raise ArgumentError(f"how must be one of {', '.join(HOW)}; got {how!r}")


def _hidden(patch: np.ndarray, how: str) -> np.ndarray:
    """A patch of the same size of which nothing can be recognized."""
    height, width = patch.shape[:2]
    cells = 1 if how == "fill" else CELLS
    small = cv2.resize(patch, (min(cells, width), min(cells, height)), interpolation=cv2.INTER_AREA)
    smooth = cv2.INTER_LINEAR if how == "blur" else cv2.INTER_NEAREST
    return cv2.resize(small, (width, height), interpolation=smooth)
