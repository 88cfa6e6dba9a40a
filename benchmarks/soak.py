"""The app in mixed use for an hour: `python -m benchmarks.soak` (`--minutes`, `--write` keeps the result).

Callers, webcams and a visitor with a video come without end. The same image must get the same answer every time, and
memory, open files and threads may not grow.
"""

from __future__ import annotations

import argparse
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.memory import call, encode
from benchmarks.speed import RESULTS, face, machine, write_result
from benchmarks.webcam import resident, running
from benchmarks.webcams import Visitor, frames

CALLERS, WEBCAMS = 2, 2
EVERY = 10.0  # seconds between two looks at the process
STREAM = 20.0  # seconds of a webcam's visit
WARM = 0.25  # of the time, after which nothing is to grow any more


@cache
def images() -> list[bytes]:
    """Images of several sizes and formats, one of them without a face, and one that is refused."""
    whole = Image.fromarray(face())
    sizes = [(160, 160), (640, 480), (1600, 1200)]
    made = [encode(np.asarray(whole.resize(size)), kind) for size in sizes for kind in ("jpeg", "png", "webp")]
    return [*made, encode(np.full((300, 400, 3), 90, np.uint8), "png"), b"no image"]


@cache
def video() -> bytes:
    """A short video of a face that moves."""
    import av

    with TemporaryDirectory() as folder:
        path = Path(folder, "video.mp4")
        tile = face()[:240, :320]
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
            for number in range(20):
                frame = av.VideoFrame.from_ndarray(np.roll(tile, number, axis=1), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path.read_bytes()


class Answers:
    """What was answered to each kind of request, by several threads."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.different: set[str] = set()
        self._first: dict[str, str] = {}
        self._lock = threading.Lock()

    def add(self, kind: str, request: str, answer: str) -> None:
        """Count an answer, and compare it with the first to the same request."""
        with self._lock:
            self.counts[kind] += 1
            if self._first.setdefault(request, answer) != answer:
                self.different.add(f"{request}: {self._first[request]}, and {answer}")


def call_on(client: Any, number: int, answers: Answers) -> None:
    """One call of an endpoint with one of the images."""
    some = images()
    endpoint = "annotate" if number % 5 == 0 else "analyze"
    chosen = number % len(some)
    answers.add("calls", f"{endpoint} image {chosen}", call(client, some[chosen], endpoint))


def watch_on(client: Any, number: int, answers: Answers) -> None:
    """One visit with a webcam."""
    visitor = Visitor(str(client.base_url).rstrip("/"), f"webcam{number}", time.monotonic() + STREAM, frames(5))
    visitor.run()
    for _ in visitor.answers:
        answers.add("webcam frames", "a frame", "answered")
    for error in visitor.errors:
        answers.add("webcam errors", "a frame", error)


def analyze_on(client: Any, number: int, answers: Answers) -> None:
    """One video on the video tab, as the page does it: one event that begins, and one that works."""
    files = {"files": ("video.mp4", video())}
    path = client.post("/gradio_api/upload", files=files).json()[0]
    given = {"path": path, "orig_name": "video.mp4", "meta": {"_type": "gradio.FileData"}}
    events = client.get("/config").json()["dependencies"]
    (begin,) = (one["id"] for one in events if one["api_name"] == "begin")
    (work,) = (one["id"] for one in events if one["trigger_after"] == begin)
    event: dict[str, Any] = {"fn_index": begin, "session_hash": f"video{number}", "data": [given, "en"]}
    client.post("/gradio_api/run/predict", json=event).raise_for_status()
    event |= {"fn_index": work, "data": [given, "all", ["age"], "en", None]}
    client.post("/gradio_api/queue/join", json=event).raise_for_status()
    lines = client.get(f"/gradio_api/queue/data?session_hash=video{number}").text.splitlines()
    messages = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    done: dict[str, Any] = next((one for one in messages if one["msg"] == "process_completed"), {})
    people = re.search(r"\d+ (person|people)", str(done.get("output")))
    answers.add("videos", "the video", people[0] if people else "no answer")


def repeat(work: Callable[[Any, int, Answers], None], url: str, first: int, end: float, answers: Answers) -> None:
    """Do something again and again until a time of the monotonic clock."""
    import httpx

    number = first
    with httpx.Client(base_url=url, timeout=120, transport=httpx.HTTPTransport(retries=3)) as client:
        while time.monotonic() < end:
            try:
                work(client, number, answers)
            except (httpx.HTTPError, OSError) as error:
                answers.add(f"broken off: {type(error).__name__}", f"{work.__name__} {number}", "broken off")
            number += 1_000


def state(pid: int) -> tuple[float, int, int]:
    """Megabytes in memory, open files and threads of a process."""
    threads = re.search(r"Threads:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert threads is not None
    return resident(pid), len(list(Path(f"/proc/{pid}/fd").iterdir())), int(threads[1])


def soak_table(states: list[tuple[float, int, int]]) -> str:
    """Markdown: how memory, files and threads went."""
    warm = round(len(states) * WARM)
    rows = ["| what | at the start | when warm | at the end | most |", "|---|---|---|---|---|"]
    for name, values in zip(("memory, MB", "open files", "threads"), zip(*states, strict=True), strict=True):
        rows.append(f"| {name} | {values[0]:.0f} | {values[warm]:.0f} | {values[-1]:.0f} | {max(values):.0f} |")
    return "\n".join(rows)


def main() -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0, help="how long (%(default)s)")
    parser.add_argument("--write", action="store_true", help=f"also write into {RESULTS}")
    options = parser.parse_args()
    answers = Answers()
    with running() as (url, _, pid):
        end = time.monotonic() + 60 * options.minutes
        works = [call_on] * CALLERS + [watch_on] * WEBCAMS + [analyze_on]
        threads = [
            threading.Thread(target=repeat, args=(work, url, first, end, answers), daemon=True)
            for first, work in enumerate(works)
        ]
        for thread in threads:
            thread.start()
        states = [state(pid)]
        while time.monotonic() < end:
            time.sleep(min(EVERY, max(0.0, end - time.monotonic())))
            states.append(state(pid))
        for thread in threads:
            thread.join(120)
        time.sleep(2)
        states.append(state(pid))
    counted = ", ".join(f"{count:,} {kind}" for kind, count in sorted(answers.counts.items()))
    different = "; ".join(sorted(answers.different)) or "none"
    told = f"{options.minutes:g} minutes: {counted}. Different answers: {different}."
    text = f"{machine()}\n\n{soak_table(states)}\n\n{told}\n"
    print(text)
    if options.write:
        write_result("Soak", text)


if __name__ == "__main__":
    main()
