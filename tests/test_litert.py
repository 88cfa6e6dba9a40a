"""The pool of interpreters: any shape, any thread, bounded."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from facemodels import WeightsError
from facemodels.hub.registry import WEIGHTS
from facemodels.litert import KEPT_VALUES, Interpreters


@pytest.fixture(scope="module")
def content() -> bytes:
    """The detector's graph, which takes any shape, with random weights."""
    random = np.random.default_rng(0)
    graph = bytearray((WEIGHTS / "libfacedetection" / "graph.tflite").read_bytes())
    for row in json.loads((WEIGHTS / "libfacedetection" / "arrays.json").read_text())["arrays"]:
        weights = random.normal(0, 0.2, row["shape"])
        np.ndarray(row["shape"], "<f4", graph, row["offset"], row["graph_strides"])[...] = weights
    return bytes(graph)


@pytest.fixture(scope="module")
def path(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("litert") / "model.tflite"
    path.write_bytes(content)
    return path


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(width).uniform(0, 255, (1, height, width, 3)).astype(np.float32)


def test_every_shape_has_its_own_answer_whatever_ran_before(path: Path) -> None:
    shapes = [(64, 64), (96, 64), (64, 96), (64, 64), (96, 64)]
    shared = Interpreters(path)
    for height, width in shapes:
        image = picture(height, width)
        alone = Interpreters(path).run(image)
        assert {
            name: np.array_equal(output, alone[name]) for name, output in shared.run(image).items()
        } == dict.fromkeys(alone, True)
    assert len(shared._idle) == 3  # one for each shape


def test_outputs_are_not_overwritten_by_the_next_call(path: Path) -> None:
    interpreters = Interpreters(path)
    first = interpreters.run(picture(64, 64))
    kept = {name: output.copy() for name, output in first.items()}
    interpreters.run(picture(64, 64) * 0.5)
    assert all(np.array_equal(first[name], kept[name]) for name in kept)


def test_threads_are_never_more_at_work_than_processors(path: Path) -> None:
    interpreters = Interpreters(path, threads=1)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(interpreters.run, [picture(64, 64)] * 64))
    assert all(np.array_equal(answer["stride8"], answers[0]["stride8"]) for answer in answers)
    assert 1 <= len(interpreters._idle) <= (os.cpu_count() or 1)


def test_what_is_kept_is_bounded(path: Path) -> None:
    interpreters = Interpreters(path, threads=1)
    interpreters._most = KEPT_VALUES // 100
    for width in (32, 64, 96, 64):
        interpreters.run(picture(64, width))
    assert [shape for shape, _ in interpreters._idle] == [(1, 64, 64, 3)]


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    broken = tmp_path / "model.tflite"
    broken.write_bytes(b"not a model")
    with pytest.raises(WeightsError, match=r"model\.tflite cannot be run by LiteRT"):
        Interpreters(broken).run(picture(64, 64))
    with pytest.raises(WeightsError, match="the model in memory cannot be run by LiteRT"):
        Interpreters(b"not a model").run(picture(64, 64))


def test_a_model_in_memory_answers_as_its_file_does(path: Path, content: bytes) -> None:
    expected = Interpreters(path).run(picture(64, 96))
    answer = Interpreters(content).run(picture(64, 96))
    assert all(np.array_equal(answer[name], expected[name]) for name in expected)
    assert all(np.ptp(output) > 0 for output in expected.values())  # so the equal answers of this module mean something
