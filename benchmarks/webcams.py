"""Several webcams at once: how many answers a second each visitor gets: `python -m benchmarks.webcams` (`--write`).

The frames come from a program that speaks the stream's protocol as the page does, the newest frame after each answer,
so that no browser takes processor time from the app. Each visitor has as long as the app grants a webcam, and queues
again; a visitor more than there are places waits for a turn.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import statistics
import threading
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image

from benchmarks.memory import encode
from benchmarks.speed import RESULTS, face, machine, write_result
from benchmarks.webcam import running
from facemodels.attributes import ATTRIBUTES

WEBCAMS = 4
SECONDS = 30.0


def frames(count: int = 20) -> list[str]:
    """Webcam frames of 640x480 with a face that moves, as data URLs."""
    tile = Image.fromarray(face()).crop((150, 20, 310, 220))
    urls = []
    for number in range(count):
        frame = Image.new("RGB", (640, 480), (90, 120, 90))
        frame.paste(tile, (200 + 4 * number, 120))
        data = base64.b64encode(encode(np.asarray(frame), "jpeg", quality=85)).decode()
        urls.append(f"data:image/jpeg;base64,{data}")
    return urls


class Visitor(threading.Thread):
    """A webcam that streams for a while.

    Args:
        url: Of the app.
        name: Of the visitor's session.
        end: When to stop, by the monotonic clock.
        images: Frames as data URLs, sent over and over.

    Attributes:
        answers: When each answer came.
        errors: What was answered instead of faces.
        ranks: The places in the queue that it was told.
    """

    def __init__(self, url: str, name: str, end: float, images: list[str]) -> None:
        super().__init__(name=name, daemon=True)
        self.url, self.end, self.images = url, end, images
        self.answers: list[float] = []
        self.errors: list[str] = []
        self.ranks: list[int] = []

    def run(self) -> None:
        """Stream, and queue again whenever the time is over."""
        import httpx

        with httpx.Client(base_url=f"{self.url}/gradio_api/", timeout=120) as client:
            config = client.get(f"{self.url}/config").json()
            (stream,) = [one["id"] for one in config["dependencies"] if one["connection"] == "stream"]
            while time.monotonic() < self.end:
                self._stream(client, {"fn_index": stream, "session_hash": self.name})

    def _body(self, call: dict[str, Any]) -> dict[str, Any]:
        url = self.images[len(self.answers) % len(self.images)]
        return {**call, "data": [{"url": url, "mime_type": "image/jpeg"}, None, list(ATTRIBUTES), None]}

    def _stream(self, client: Any, call: dict[str, Any]) -> None:
        answer = client.post("queue/join", json=self._body(call))
        answer.raise_for_status()
        event = answer.json()["event_id"]
        with client.stream("GET", "queue/data", params={"session_hash": self.name}) as lines:
            for line in lines.iter_lines():
                message = json.loads(line[6:]) if line.startswith("data: ") else {}
                kind = message.get("msg")
                if kind == "estimation":
                    self.ranks.append(message["rank"])
                elif kind in ("process_generating", "process_streaming"):
                    self.answers.append(time.monotonic())
                    (found,) = message["output"]["data"]
                    if not isinstance(found, dict) or len(found.get("faces", ())) != 1:
                        self.errors.append(str(found)[:100])
                    if time.monotonic() > self.end:
                        client.post(f"stream/{event}/close")
                    else:
                        client.post(f"stream/{event}", json=self._body({**call, "event_id": event}))
                elif kind in ("process_completed", "close_stream"):
                    if not message.get("success", True):
                        self.errors.append(str(message.get("output"))[:100])
                    return


def measure(url: str, count: int, seconds: float) -> list[Visitor]:
    """Visitors who come at once and stream for some seconds."""
    end, images = time.monotonic() + seconds, frames()
    visitors = [Visitor(url, f"visitor{number}", end, images) for number in range(count)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join(seconds + 60)
    return visitors


def rate(visitor: Visitor) -> float:
    """Answers a second from the first to the last."""
    times = visitor.answers
    return (len(times) - 1) / max(times[-1] - times[0], 1e-9) if len(times) > 1 else 0.0


def longest_pause(visitor: Visitor) -> float:
    """The longest that it waited for an answer after its first, in seconds."""
    return max(np.diff(visitor.answers), default=float("inf"))


def webcams_table(visitors: list[Visitor]) -> str:
    """Markdown: a row per visitor."""
    lines = ["| visitor | answers a second | longest pause | told its place in the queue |", "|---|---|---|---|"]
    lines += [
        f"| {v.name} | {rate(v):.1f} | {longest_pause(v) * 1e3:.0f} ms | {len(v.ranks)} times |" for v in visitors
    ]
    rates = [rate(visitor) for visitor in visitors]
    errors = sum(len(visitor.errors) for visitor in visitors)
    return "\n".join([*lines, "", f"Median {statistics.median(rates):.1f}, least {min(rates):.1f}; errors: {errors}."])


def processor_seconds(pid: int) -> float:
    """Processor time that a process has taken so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.webcams", description=__doc__.splitlines()[0])
    parser.add_argument("--webcams", type=int, default=WEBCAMS, help="who stream at once (%(default)s)")
    parser.add_argument("--places", type=int, help="webcams that the app serves at once (as many as stream)")
    parser.add_argument("--turn", type=int, help="seconds of a webcam while others wait (the app's default)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of streaming (%(default)s)")
    parser.add_argument("--write", action="store_true", help=f"also write into {RESULTS}")
    options = parser.parse_args()
    settings = {"FACEMODELS_WEBCAMS": str(options.places or options.webcams)}
    if options.turn:
        settings["FACEMODELS_WEBCAM_SECONDS"] = str(options.turn)
    with mock.patch.dict(os.environ, settings), running() as (url, _, pid):
        measure(url, 1, 2)  # until everything is loaded
        before = processor_seconds(pid)
        visitors = measure(url, options.webcams, options.seconds)
        taken = (processor_seconds(pid) - before) / max(1, sum(len(visitor.answers) for visitor in visitors))
    text = f"{machine()}\n\n{webcams_table(visitors)} An answer took {taken * 1e3:.0f} ms of processor time.\n"
    print(text)
    if options.write:
        write_result("Webcams", text)


if __name__ == "__main__":
    main()
