"""How well a face can be read: measured, and put into words where the answers for it should be doubted.

The thresholds are those where answers measurably get worse on validation faces: `python -m benchmarks.quality`.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from facemodels.crops import cut, face_window
from facemodels.types import Face, Quality

# There is no doubt up to these values. Beyond them, on validation faces, gender is right 3 points less often or more,
# or ages are a quarter further off.
SMALL = 24.0
BLURRED = 0.0008
DARK = 0.07
CUT = 0.4
TURNED = 0.25  # beyond, the validation set has too few faces to know
WEAK = 0.8  # below, a detection needed its second opinion

SIDES = (16, 64)  # least and most pixels of the crop that is measured
FACE_PER_SPREAD = 2.3  # height of a face per distance of eyes or of eyes and mouth, whichever is larger


def measure(image: np.ndarray, face: Face, scale: float = 1.0) -> Quality:
    """The quality of a face.

    Args:
        image: ``(H, W, 3)`` RGB uint8.
        face: In pixels of `image`.
        scale: How many times larger the original is than `image`.

    Example:
        >>> from facemodels.types import Box
        >>> measure(np.zeros((50, 50, 3), np.uint8), Face(Box(10, 10, 20, 22))).doubts
        ('small', 'blurred', 'dark')
    """
    longer = max(face.box.width, face.box.height)
    side = int(np.clip(longer, *SIDES))
    crop = cut(image, face_window(face.box, landmarks=face.landmarks), side)
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32)
    # Fine detail as a fraction of all detail, which does not depend on contrast.
    sharpness = float(cv2.Laplacian(grey, cv2.CV_32F).var() / (grey.var() + 1.0)) / 20
    brightness = float(grey.mean()) / 255
    turn = _turn(face)
    outside = _outside(face, image.shape[1], image.shape[0])
    ratios = {
        "small": longer * scale / SMALL,
        "blurred": sharpness / BLURRED,
        "turned": TURNED / max(abs(turn), 1e-6),
        "cut": CUT / max(outside, 1e-6),
        "dark": brightness / DARK,
        "weak": face.score / WEAK,
    }
    return Quality(
        value=math.prod(min(1.0, ratio) for ratio in ratios.values()),
        size=longer * scale,
        sharpness=sharpness,
        brightness=brightness,
        turn=turn,
        cut=outside,
        doubts=tuple(name for name, ratio in ratios.items() if ratio < 1),
    )


def _turn(face: Face) -> float:
    """How far the nose lies beside the middle of the eyes, in eye distances."""
    if face.landmarks is None or len(face.landmarks) != 5:
        return 0.0
    right, left, nose = (np.array(point) for point in face.landmarks[:3])
    axis = left - right
    return float((nose - (left + right) / 2) @ axis / max(axis @ axis, 1e-6))


def _outside(face: Face, width: int, height: int) -> float:
    """The fraction of the square that its landmarks say the face fills which lies outside of the image."""
    if face.landmarks is None or len(face.landmarks) != 5:
        return 0.0
    points = np.array(face.landmarks)
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    half = FACE_PER_SPREAD / 2 * max(math.dist(points[0], points[1]), math.dist(eyes, mouth))
    (x, y), bounds = (eyes + mouth) / 2, (width, height)
    inside = 1.0
    for middle, bound in zip((x, y), bounds, strict=True):
        inside *= max(0.0, min(middle + half, bound) - max(middle - half, 0.0)) / max(2 * half, 1e-6)
    return float(1 - inside)
