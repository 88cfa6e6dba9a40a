"""YuNet (MIT) on OpenCV."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from facemodels.detection.passes import MultiPassDetector
from facemodels.forking import Lock
from facemodels.hub import store
from facemodels.hub.registry import get_spec


class YuNet(MultiPassDetector):
    """YuNet (MIT) on OpenCV: box, score and five landmarks.

    Args:
        path: Its ONNX file; without it the registry's `yunet`, from the cache or the hub.
        threads: Not used: OpenCV follows `cv2.setNumThreads`.

    Raises:
        WeightsError: If the file is not the one in the registry, or cannot be read.
        HubError: If it is not cached and cannot be downloaded.
    """

    name = "yunet"
    suffix = ".onnx"

    def __init__(self, path: str | Path | None = None, *, threads: int | None = None) -> None:
        # The network keeps the size of its input, and OpenCV has locks of its own.
        self._lock = Lock(delays_forks=True)
        spec = get_spec("yunet")
        (file,) = spec.files
        content = store.read(spec, file) if path is None else store.verify(Path(path), spec.files[file])
        # From the bytes that were verified: the file may be another by now.
        graph = np.frombuffer(content, np.uint8)
        self._network = cv2.FaceDetectorYN.create("onnx", graph, np.empty(0, np.uint8), (320, 320), 0.3, 0.3, 5000)

    @staticmethod
    def available() -> bool:
        """Whether it is available without a network."""
        spec = get_spec("yunet")
        (file,) = spec.files
        return store.cached(spec, file) is not None

    def find(self, image: np.ndarray) -> np.ndarray:
        """See `MultiPassDetector.find`."""
        height, width = image.shape[:2]
        with self._lock:
            bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
            self._network.setInputSize((width, height))
            _, rows = self._network.detect(bgr)
        return np.empty((0, 15)) if rows is None else rows
