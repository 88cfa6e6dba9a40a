"""The quality of a face, and reasons to doubt the answers for it.

The thresholds are those where answers measurably get worse on validation faces: `python -m benchmarks.quality`.
"""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np

from facemodels.crops import cut, face_window
from facemodels.types import Face, Quality

# Beyond these values, on validation faces, gender is right 3 points less often or ages are a quarter further off.
SMALL = 30.0
BLURRED = 0.002
DARK = 0.11
CUT = 0.5  # up to here, the figures do not fall as far
TURNED = 0.25  # beyond, the validation set has too few faces to know
WEAK = 0.8  # below, a detection needed its second opinion

# Of a head that is turned by `yaw`, the nose lies NOSE * tan(yaw) beside the middle: about the median of turned
# validation faces, which `python -m benchmarks.quality` prints.
NOSE = 0.49
MOST_YAW = 75.0  # degrees; tan grows without end

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
    outside = _outside(face, image.shape[1], image.shape[0])
    return _judged(Quality(0.0, longer * scale, sharpness, brightness, _turn(face), outside), face.score)


def with_pose(face: Face) -> Face:
    """Update the quality of a face whose pose is known: the turn then comes from the pose, not from the landmarks."""
    if face.quality is None or face.pose is None:
        return face
    return face.replace(quality=_judged(replace(face.quality, turn=_turn(face)), face.score))


def _judged(quality: Quality, score: float) -> Quality:
    """The measurements, with the value and the doubts that follow from them."""
    ratios = {
        "small": quality.size / SMALL,
        "blurred": quality.sharpness / BLURRED,
        "turned": TURNED / max(abs(quality.turn), 1e-6),
        "cut": CUT / max(quality.cut, 1e-6),
        "dark": quality.brightness / DARK,
        "weak": score / WEAK,
    }
    return replace(
        quality,
        value=math.prod(min(1.0, ratio) for ratio in ratios.values()),
        doubts=tuple(name for name, ratio in ratios.items() if ratio < 1),
    )


def _turn(face: Face) -> float:
    """How far the nose lies beside the middle of the eyes, in eye distances."""
    if face.pose is not None:
        return NOSE * math.tan(math.radians(max(-MOST_YAW, min(face.pose.yaw, MOST_YAW))))
    if face.landmarks is None or len(face.landmarks) != 5:
        return 0.0
    right, left, nose = (np.array(point) for point in face.landmarks[:3])
    axis = left - right
    return float((nose - (left + right) / 2) @ axis / max(axis @ axis, 1e-6))


def _outside(face: Face, width: int, height: int) -> float:
    """The fraction of the face outside of the image; its landmarks give the square that it fills."""
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
