"""The pool of interpreters: any shape, any thread, bounded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from facemodels import WeightsError
from facemodels.hub.registry import WEIGHTS
from facemodels.litert import Interpreters

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def content() -> bytes:
    """The detector's graph, which takes any shape, with random weights."""
    random = np.random.default_rng(0)
    graph = bytearray((WEIGHTS / "libfacedetection" / "graph.tflite").read_bytes())
    for row in json.loads((WEIGHTS / "libfacedetection" / "arrays.json").read_text())["arrays"]:
        weights = random.normal(0, 0.2, row["shape"])
        np.ndarray(row["shape"], "<f4", graph, row["offset"], row["graph_strides"])[...] = weights
    return bytes(graph)


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(width).uniform(0, 255, (1, height, width, 3)).astype(np.float32)


def test_every_shape_has_its_own_answer_whatever_ran_before(content: bytes) -> None:
    shapes = [(64, 64), (96, 64), (64, 96), (64, 64), (96, 64)]
    shared = Interpreters(content)
    for height, width in shapes:
        image = picture(height, width)
        alone = Interpreters(content).run(image)
        assert {
            name: np.array_equal(output, alone[name]) for name, output in shared.run(image).items()
        } == dict.fromkeys(alone, True)
    assert len(shared.idle) == 3  # one for each shape


def test_outputs_are_not_overwritten_by_the_next_call(content: bytes) -> None:
    interpreters = Interpreters(content)
    first = interpreters.run(picture(64, 64))
    kept = {name: output.copy() for name, output in first.items()}
    interpreters.run(picture(64, 64) * 0.5)
    assert all(np.array_equal(first[name], kept[name]) for name in kept)


def test_threads_are_never_more_at_work_than_processors(content: bytes) -> None:
    interpreters = Interpreters(content, threads=1)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(interpreters.run, [picture(64, 64)] * 64))
    assert all(np.array_equal(answer["stride8"], answers[0]["stride8"]) for answer in answers)
    assert 1 <= len(interpreters.idle) <= (os.cpu_count() or 1)


def test_what_is_kept_is_bounded(content: bytes) -> None:
    interpreters = Interpreters(content, threads=1, kept_values=20_000 // (os.cpu_count() or 1))
    for width in (32, 64, 96, 64):
        interpreters.run(picture(64, width))
    assert interpreters.idle == [(1, 64, 64, 3)]


def test_a_file_that_is_no_model() -> None:
    with pytest.raises(WeightsError, match=r"tiny@1\.0\.0 cannot be run by LiteRT"):
        Interpreters(b"not a model", name="tiny@1.0.0").run(picture(64, 64))


def test_a_model_that_fails_while_it_runs(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    interpreters = Interpreters(content)
    with monkeypatch.context() as patched:
        patched.setattr("ai_edge_litert.interpreter.Interpreter.get_signature_runner", lambda *_: failing)
        with pytest.raises(WeightsError, match="cannot be run by LiteRT: Input tensor 34 lacks data"):
            interpreters.run(picture(64, 64))
    assert interpreters.idle == []  # the interpreter that failed is not used again
    interpreters.run(picture(64, 64))


def failing(**_: np.ndarray) -> dict[str, np.ndarray]:
    raise RuntimeError("Input tensor 34 lacks data")


def test_interpreters_share_the_bytes(content: bytes) -> None:
    """No interpreter reads a file or copies the model; `sys.getrefcount` sees who holds these bytes."""
    interpreters = Interpreters(content)
    before = sys.getrefcount(content)
    for width in (32, 64, 96):
        interpreters.run(picture(32, width))
    assert len(interpreters.idle) == 3
    assert sys.getrefcount(content) >= before + 3


def test_nobody_is_overtaken_by_callers_that_come_back_at_once(content: bytes) -> None:
    interpreters = Interpreters(content, threads=1)
    image = np.zeros((1, 320, 320, 3), np.float32)
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            interpreters.run(image)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    begun = time.monotonic()
    for _ in range(20):
        interpreters.run(image)
    seconds = time.monotonic() - begun
    stop.set()
    for thread in threads:
        thread.join()
    alone = time.monotonic()
    interpreters.run(image)
    alone = time.monotonic() - alone
    assert seconds < 20 * 8 * (8 * alone + 0.05), "a call waits for those before it, and for no other"


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program that has ``model`` (the detector's graph), `Interpreters` and ``image``."""
    start = (
        "import os, subprocess, sys, threading, time\n"
        "import numpy as np\n"
        "from facemodels.hub.registry import WEIGHTS\n"
        "from facemodels.litert import Interpreters\n"
        "model = (WEIGHTS / 'libfacedetection' / 'graph.tflite').read_bytes()\n"
        "image = np.zeros((1, 320, 320, 3), np.float32)\n"
    )
    command = [sys.executable, "-c", start + code]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_fork_while_threads_run_the_model() -> None:
    done = run_python(
        """
interpreters = Interpreters(model, threads=2)
stop = threading.Event()
def work():
    while not stop.is_set():
        interpreters.run(image)
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
expected = interpreters.run(image)
children = []
for _ in range(8):
    time.sleep(0.05)
    child = os.fork()
    if child == 0:
        answer = interpreters.run(image)
        os._exit(0 if all(np.array_equal(answer[name], expected[name]) for name in expected) else 1)
    children.append(child)
stop.set()
for thread in threads:
    thread.join()
end = time.monotonic() + 60
while children and time.monotonic() < end:
    children = [child for child in children if os.waitpid(child, os.WNOHANG) == (0, 0)]
    time.sleep(0.05)
for child in children:
    os.kill(child, 9)
print(len(children), 'hang')
"""
    )
    assert (done.stdout, done.stderr, done.returncode) == ("0 hang\n", "", 0)


def test_the_notice_alone_is_kept_from_standard_error() -> None:
    done = run_python(
        """
os.write(2, b'before\\n')
Interpreters(model).run(image)
os.write(2, b'after\\n')
"""
    )
    assert (done.stderr, done.returncode) == ("before\nafter\n", 0)


def test_a_process_started_meanwhile_has_a_live_standard_error() -> None:
    done = run_python(
        """
from facemodels.litert import NOTICE
with NOTICE.kept_from_stderr():
    child = subprocess.Popen([sys.executable, '-c', "import os; input(); os.write(2, b'alive\\\\n')"], stdin=-1)
    os.write(2, b'within\\n')
child.communicate(b'go\\n')
print(child.returncode)
for _ in range(3):
    with NOTICE.kept_from_stderr():  # from now on nothing is turned aside
        print(os.fstat(2) == os.fstat(0) or os.fstat(2).st_ino)
print(os.fstat(2).st_ino)
time.sleep(0.5)
"""
    )
    assert sorted(done.stderr.split()) == ["alive", "within"], done.stderr
    code, *inodes = done.stdout.split()
    assert code == "0" and len(set(inodes)) == 1
