"""Requests a second of one and of two replicas of the app: `python -m benchmarks.replicas`, in under two minutes.

Each replica is `python app.py --analyses 1` on a port of its own, as behind the proxy of `deploy`. Callers with a
`gradio_client` each, spread evenly over the replicas, send a photo of six faces over and over.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from PIL import Image

from benchmarks.speed import RESULTS, group, machine, write_result
from benchmarks.webcam import running
from facemodels.evaluation.report import table

CALLERS = 4
SECONDS = 20.0
WARM = 2  # calls of each caller before the clock starts


class Caller(threading.Thread):
    """Calls one replica until the time is over.

    Attributes:
        count: Answers that came in time, and had all faces.
    """

    def __init__(self, url: str, photo: Path, folder: str, start: threading.Barrier) -> None:
        super().__init__()
        from gradio_client import Client, handle_file

        self.count = 0
        self._client = Client(url, download_files=folder, verbose=False)
        self._photo = handle_file(photo)
        self._start = start

    def run(self) -> None:
        """Call."""
        for _ in range(WARM):
            self._call()
        self._start.wait()
        end = time.monotonic() + SECONDS
        while True:
            faces = self._call()
            if time.monotonic() > end:
                return
            self.count += faces == 6

    def _call(self) -> int:
        return len(self._client.predict(self._photo, api_name="/analyze")["faces"])


def rate(replicas: int) -> float:
    """Answers a second of so many replicas."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        urls = [stack.enter_context(running("--analyses", "1"))[0] for _ in range(replicas)]
        photo = Path(folder) / "six.jpg"
        Image.fromarray(group(6)).save(photo, quality=90)
        start = threading.Barrier(CALLERS)
        callers = [Caller(urls[number % replicas], photo, folder, start) for number in range(CALLERS)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        return sum(caller.count for caller in callers) / SECONDS


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.replicas", description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"also write into {RESULTS}")
    options = parser.parse_args(arguments)
    rates = {count: rate(count) for count in (1, 2)}
    rows = [(str(count), f"{value:.1f}", f"{value / rates[1]:.2f}") for count, value in rates.items()]
    text = (
        f"{machine()}, load {os.getloadavg()[0]:.1f}; {CALLERS} callers, a photo of six faces, all attributes\n\n"
        f"{table(('replicas', 'answers a second', 'of one replica'), rows)}\n"
    )
    print(text)
    if options.write:
        write_result("Replicas", text)


if __name__ == "__main__":
    main()
