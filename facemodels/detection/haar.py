"""OpenCV's frontal face cascade."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np

from facemodels.detection.base import faces_from_rows, largest_first
from facemodels.detection.passes import merge, resized
from facemodels.errors import DetectorError
from facemodels.forking import Lock
from facemodels.types import Face

LONGEST_SIDE = 1280  # larger images are shrunk to this

# The cascade's squares are wider than a face; this brings them to the boxes of the other detectors (medians on
# UTKFace's training part).
WIDTH, HEIGHT = 0.78, 1.04


class Haar:
    """OpenCV's frontal face cascade, as the project's ancestor used it: slow, frontal faces only, no landmarks.

    Args:
        threads: Not used: OpenCV follows `cv2.setNumThreads`.

    Raises:
        DetectorError: If this OpenCV lacks it.
    """

    name = "haar"

    def __init__(self, *, threads: int | None = None) -> None:
        self._lock = Lock(delays_forks=True)  # the cascade has one of its own
        self._cascade = _cascade()

    @staticmethod
    def available() -> bool:
        """Whether it is available without a network."""
        return True

    def detect(self, image: np.ndarray, min_score: float = 0.6) -> list[Face]:
        """See `FaceDetector.detect`; the score is the cascade's last-stage weight, brought to 0..1."""
        height, width = image.shape[:2]
        scale = max(1.0, max(height, width) / LONGEST_SIDE)
        with self._lock:
            grey = cv2.equalizeHist(cv2.cvtColor(resized(image, image, scale), cv2.COLOR_RGB2GRAY))
            smallest = max(24, min(grey.shape) // 24)
            boxes, _, weights = self._cascade.detectMultiScale3(
                grey, 1.1, 5, minSize=(smallest, smallest), outputRejectLevels=True
            )
        rows = []
        for (x, y, w, h), weight in zip(boxes, weights, strict=True):
            score = 1 / (1 + math.exp(-float(weight) / 2))
            cx, cy = x + w / 2, y + h / 2
            box = np.array([cx - w * WIDTH / 2, cy - h * HEIGHT / 2, w * WIDTH, h * HEIGHT]) * scale
            rows.append(np.append(box, score))
        return largest_first(merge(faces_from_rows([row for row in rows if row[-1] >= min_score], width, height)))


def _cascade() -> cv2.CascadeClassifier:
    path = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml"
    cascade = cv2.CascadeClassifier(str(path))
    if cascade.empty():
        raise DetectorError(f"the detector 'haar' needs {path}, which OpenCV 4 includes and OpenCV 5 does not")
    return cascade
