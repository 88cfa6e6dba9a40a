"""The square crop of a face that a model sees, the same in training and in serving.

A `Window` is a rotated rectangle of the image. Serving makes it from a detected box (`face_window`), training from a
face crop, jittered by augmentation (`whole_window`); both go through `cut`, so both get the same
interpolation, border and rounding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from facemodels.types import Box

OPENCV_SIDE = 2**15 - 1  # `warpAffine` refuses images with a side of this many pixels or more


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of an image, in pixels, turned by `angle` around its centre.

    Attributes:
        cx: Centre, pixels from the left edge.
        cy: Centre, pixels from the top edge.
        width: Width in pixels, above 0.
        height: Height in pixels, above 0.
        angle: Clockwise turn in degrees, as seen on the image.
        shear: Sideways slant, as a fraction of the height (augmentation only).
        mirror: Whether left and right are swapped (augmentation only).
    """

    cx: float
    cy: float
    width: float
    height: float
    angle: float = 0.0
    shear: float = 0.0
    mirror: bool = False

    def to_image(self, points: np.ndarray) -> np.ndarray:
        """Points of the window in pixels of the image.

        Args:
            points: ``(..., 2)``, x and y from the window's upper left corner as fractions of its width and height.

        Example:
            >>> Window(50, 40, 20, 10).to_image(np.array([[0.0, 0.0], [0.5, 1.0]])).tolist()
            [[40.0, 35.0], [50.0, 45.0]]
        """
        return (np.asarray(points) - 0.5) @ self._axes().T + (self.cx, self.cy)

    def from_image(self, points: np.ndarray) -> np.ndarray:
        """Points of the image as fractions of the window; undoes `to_image`."""
        return (np.asarray(points) - (self.cx, self.cy)) @ np.linalg.inv(self._axes()).T + 0.5

    def _axes(self) -> np.ndarray:
        """The window's width and height as the two columns of a matrix, in pixels of the image."""
        sin, cos = math.sin(math.radians(self.angle)), math.cos(math.radians(self.angle))
        slant, width = self.shear * self.height, self.width * (-1 if self.mirror else 1)
        return np.array([[cos, -sin], [sin, cos]]) @ np.array([[width, slant], [0.0, self.height]])


def face_window(
    box: Box,
    *,
    margin: float = 0.0,
    offset: float = 0.0,
    align: bool = True,
    landmarks: Sequence[tuple[float, float]] | None = None,
) -> Window:
    """The square window around a detected face.

    Args:
        box: The face, in pixels of the image.
        margin: Room added on each side, as a fraction of the longer side of the box; may be negative.
        offset: How far the window's centre lies below the box's, as a fraction of the longer side.
        align: Whether to turn the window by the eye line, where `landmarks` are known.
        landmarks: Points of the face; the first two are its eyes, the one on the left of the image first.

    Returns:
        A square window; it may reach over the border of the image, where `cut` repeats the edge.

    Example:
        >>> face_window(Box(10, 10, 30, 50), margin=0.25)
        Window(cx=20.0, cy=30.0, width=60.0, height=60.0, angle=0.0, shear=0.0, mirror=False)
    """
    long_side = max(box.x2 - box.x1, box.y2 - box.y1)
    angle = 0.0
    if align and landmarks is not None and len(landmarks) >= 2:
        (x1, y1), (x2, y2) = landmarks[:2]
        angle = math.degrees(math.atan2(y2 - y1, x2 - x1))
    radians = math.radians(angle)
    cx = (box.x1 + box.x2) / 2 - math.sin(radians) * offset * long_side
    cy = (box.y1 + box.y2) / 2 + math.cos(radians) * offset * long_side
    side = max(1.0, long_side * (1 + 2 * margin))
    return Window(cx, cy, side, side, angle)


def whole_window(image: np.ndarray) -> Window:
    """The window of a whole image, whatever its aspect ratio."""
    height, width = image.shape[:2]
    return Window(width / 2, height / 2, width, height)


def cut(image: np.ndarray, window: Window, size: int) -> np.ndarray:
    """Cut a window out of an image and resize it to a square of `size` pixels.

    Args:
        image: ``(H, W, 3)`` or ``(H, W)`` uint8; not modified.
        window: What to cut; beyond the image's border its edge is repeated.
        size: Side of the result, in pixels.

    Returns:
        A new ``(size, size, 3)`` uint8 array (grey in, three equal channels out).

    Example:
        >>> cut(np.zeros((40, 30, 3), np.uint8), Window(15, 20, 10, 10), 48).shape
        (48, 48, 3)
    """
    # Bilinear sampling skips pixels when it shrinks by much; so a large window is first averaged down to about the
    # output's size.
    shrink = min(window.width, window.height) / size
    if shrink > 1.5 or max(image.shape[:2]) >= OPENCV_SIDE:
        image, window = _averaged(image, window, max(shrink, 1.0))
    matrix = _to_window(window, size)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    out = cv2.warpAffine(image, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return out if out.ndim == 3 else np.repeat(out[:, :, None], 3, axis=2)


def cut_all(images: Sequence[np.ndarray], windows: Sequence[Window], size: int) -> np.ndarray:
    """`cut` for many: the i-th window from the i-th image, as one ``(N, size, size, 3)`` uint8 array."""
    out = np.empty((len(windows), size, size, 3), np.uint8)
    for index, (image, window) in enumerate(zip(images, windows, strict=True)):
        out[index] = cut(image, window, size)
    return out


def _to_window(window: Window, size: int) -> np.ndarray:
    """The 2x3 matrix that maps a pixel of the output to the image (pixel centres at integers)."""
    linear = window._axes() / size
    middle = (size - 1) / 2
    move = np.array([window.cx - 0.5, window.cy - 0.5]) - linear @ np.array([middle, middle])
    return np.column_stack([linear, move])


def _averaged(image: np.ndarray, window: Window, shrink: float) -> tuple[np.ndarray, Window]:
    """The part of the image around the window, averaged down by `shrink`, and the window in its pixels."""
    height, width = image.shape[:2]
    reach = math.hypot(window.width * (1 + abs(window.shear)), window.height) / 2 + 2 * shrink
    x1, y1 = int(np.clip(window.cx - reach, 0, width - 1)), int(np.clip(window.cy - reach, 0, height - 1))
    x2, y2 = int(np.clip(window.cx + reach, x1 + 1, width)), int(np.clip(window.cy + reach, y1 + 1, height))
    new_width, new_height = max(1, round((x2 - x1) / shrink)), max(1, round((y2 - y1) / shrink))
    small = cv2.resize(image[y1:y2, x1:x2], (new_width, new_height), interpolation=cv2.INTER_AREA)
    fx, fy = new_width / (x2 - x1), new_height / (y2 - y1)
    moved = Window(
        (window.cx - x1) * fx,
        (window.cy - y1) * fy,
        window.width * fx,
        window.height * fy,
        window.angle,
        window.shear,
        window.mirror,
    )
    return small, moved
