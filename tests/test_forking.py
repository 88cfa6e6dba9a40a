"""A process that forks while its threads analyze: the child analyzes too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from facemodels.forking import Lock

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")

PROGRAM = """
import os, sys, threading, time
import numpy as np
from facemodels import FaceAnalyzer, read_image

analyzer = FaceAnalyzer(detector=sys.argv[1])
image = read_image(sys.argv[2])
expected = len(analyzer.analyze(image))
stop = threading.Event()

def work():
    while not stop.is_set():
        analyzer.analyze(image)

threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
children = []
for _ in range(4):
    time.sleep(0.1)
    child = os.fork()
    if child == 0:
        found = len(analyzer.analyze(image))
        analyzer.using(models={"age": "age-efficientnet"})
        os._exit(0 if found == expected else 1)
    children.append(child)
stop.set()
for thread in threads:
    thread.join()
end = time.monotonic() + 60
statuses = []
for child in children:
    while (answer := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < end:
        time.sleep(0.02)
    if answer == (0, 0):
        os.kill(child, 9)
        answer = os.waitpid(child, 0)
    statuses.append(answer[1])
print(expected, statuses)
"""


HAAR = """
import os, sys, threading, time
from facemodels import read_image
from facemodels.detection.haar import Haar

detector, image = Haar(), read_image(sys.argv[1])[:200, 130:330]
stop = threading.Event()

def work():
    while not stop.is_set():
        detector.detect(image)

threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
failed = 0
for _ in range(150):
    child = os.fork()
    if child == 0:
        detector.detect(image)
        os._exit(0)
    end = time.monotonic() + 20
    while (answer := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < end:
        time.sleep(0.002)
    if answer == (0, 0):
        os.kill(child, 9)
        answer = os.waitpid(child, 0)
    if answer[1]:
        failed += 1
        break
stop.set()
for thread in threads:
    thread.join()
print(failed)
"""


def test_a_forked_child_has_a_cascade_of_its_own(photo: Path) -> None:
    # OpenCV's own lock within a cascade: one child of seventy found it held when all shared one.
    command = [sys.executable, "-c", HAAR, str(photo)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
    assert (done.stdout, done.stderr) == ("0\n", "")


@pytest.mark.parametrize("detector", ["libfacedetection", "haar"])
def test_a_child_forked_while_threads_analyze(detector: str, photo: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, detector, str(photo)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
    assert (done.stdout, done.stderr) == ("1 [0, 0, 0, 0]\n", "")


def test_a_lock_is_free_in_the_child() -> None:
    lock = Lock()
    with lock:
        child = os.fork()
        if child == 0:
            with lock:  # it would wait for ever
                os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
