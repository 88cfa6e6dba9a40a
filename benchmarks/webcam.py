"""The app's start and its webcam tab in a real browser: `python -m benchmarks.webcam` (`--write` keeps the result).

The app runs as `python app.py`, the browser (Chromium) looks through a fake camera at a film of moving faces, made of
a free picture. A red mark in the film says where the first face truly is, so that the page itself can be asked how far
the drawn box lags behind the picture under it. Both share this machine's processors, as they do at home.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.speed import RESULTS, Row, face, machine, row, write_result

ROOT = Path(__file__).parent.parent
CHROMIUM = os.environ.get("FACEMODELS_CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = ("--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
SECONDS = 15  # of each measurement
FRAMES = 60  # of the film, which Chromium plays at 30 a second, over and over
SLOW_FRAMES = 160  # of a film whose face moves up to about its own width a second
SWING = 80  # pixels each way
MOST_LAG = 600  # milliseconds; well below half of a swing
# Gradio and pandas import these wherever they are; `requirements.txt` brings neither, so no visitor's server has them.
ABSENT = ("IPython", "pyarrow")
START = f"import runpy, sys; sys.modules.update(dict.fromkeys({ABSENT})); runpy.run_path('app.py', run_name='__main__')"

# In the page: where the mark is in the picture shown, and where the first box, whenever the screen is drawn anew.
WATCH = """(seconds) => new Promise((done) => {
  const video = document.querySelector('#fm-webcam video'), status = document.querySelector('#fm-live output');
  const strip = Object.assign(document.createElement('canvas'), {width: 640, height: 1});
  const paint = strip.getContext('2d', {willReadFrequently: true});
  const seen = [], times = [], overlay = document.querySelector('.fm-overlay'), begun = performance.now();
  let answers = 0;
  new MutationObserver(() => { answers += 1; times.push(+status.textContent.match(/([\\d.]+) ms/)?.[1]); })
    .observe(overlay, {childList: true});
  const look = () => {
    const now = performance.now() - begun;
    paint.drawImage(video, 0, 8, 640, 1, 0, 0, 640, 1);
    const pixels = paint.getImageData(0, 0, 640, 1).data, red = [];
    for (let x = 0; x < 640; x++) if (pixels[4 * x] > 150 && pixels[4 * x + 1] < 100) red.push(x);
    const box = document.querySelector('.fm-overlay rect'), {x, width} = box ?? {};
    if (red.length && box) {
      const middle = x.baseVal.value + width.baseVal.value / 2;
      seen.push([now, red.reduce((a, b) => a + b) / red.length, middle, width.baseVal.value]);
    }
    if (now < seconds * 1000) requestAnimationFrame(look);
    else done({seen, answers, times: times.filter((ms) => ms), seconds: now / 1000});
  };
  look();
})"""


def film(path: Path, places: list[tuple[int, int]], frames: int = FRAMES) -> None:
    """A film, 640x480, of faces that swing to and fro, with the red mark above the first."""
    tile = Image.fromarray(face()).crop((150, 20, 310, 220))
    with path.open("wb") as file:
        for moment in range(frames):
            swing = round(SWING * np.sin(2 * np.pi * moment / frames))
            frame = Image.new("RGB", (640, 480), (90, 120, 90))
            for left, top in places:
                frame.paste(tile, (left + swing, top))
            frame.paste((255, 0, 0), (places[0][0] + swing, 0, places[0][0] + swing + 16, 16))
            frame.save(file, "jpeg", quality=90, subsampling=0)


@contextmanager
def running(*options: str) -> Iterator[tuple[str, float, int]]:
    """`python app.py` with these options, as `requirements.txt` installs it: its address, the seconds until it said
    that it was ready, and its process.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    begun = time.perf_counter()
    command = [sys.executable, "-c", START, "--port", str(port), *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        try:
            while True:
                try:
                    with urllib.request.urlopen(f"{url}/health", timeout=5):
                        break
                except (urllib.error.URLError, TimeoutError):
                    if process.poll() is not None or time.perf_counter() - begun > 120:
                        raise RuntimeError("the app did not get ready") from None
                    time.sleep(0.05)
            yield url, time.perf_counter() - begun, process.pid
        finally:
            process.terminate()


def resident(pid: int) -> float:
    """Megabytes that a process holds in memory."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def lag(seen: np.ndarray) -> float:
    """Milliseconds by which the box is behind the mark: the delay at which the two move most alike.

    Args:
        seen: ``(N, 4)``: milliseconds, the mark's place, the middle of the box, its width.
    """
    moments, _, box, _ = seen[seen[:, 0] > seen[0, 0] + MOST_LAG].T

    def alike(delay: float) -> float:
        # The page may show the picture mirrored; then the two move against each other.
        return abs(float(np.corrcoef(np.interp(moments - delay, seen[:, 0], seen[:, 1]), box)[0, 1]))

    return max(np.arange(0, MOST_LAG, 5.0), key=alike)


def trailing(seen: np.ndarray) -> list[float]:
    """How far the box is from where the face under it is, in widths of the box, at each drawing of the screen.

    Args:
        seen: As of `lag`.
    """
    _, mark, box, width = seen.T
    slope = np.sign(np.corrcoef(mark, box)[0, 1])  # the page may show the picture mirrored
    apart = box - slope * mark
    found: list[float] = (np.abs(apart - np.median(apart)) / width).tolist()
    return found


def watch(playwright: Any, url: str, places: list[tuple[int, int]], frames: int = FRAMES) -> dict[str, Any]:
    """One visitor before the camera: what `WATCH` finds."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mjpeg"
        film(path, places, frames)
        flag = f"--use-file-for-fake-video-capture={path}"
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, flag])
        page = browser.new_context(viewport={"width": 1280, "height": 900}, permissions=["camera"]).new_page()
        page.goto(url)
        page.get_by_role("tab", name="Webcam").click()
        page.get_by_role("button", name="Start camera").click()
        page.wait_for_function(f"document.querySelectorAll('.fm-overlay g').length === {len(places)}")
        page.wait_for_timeout(3000)  # until the rate is steady
        measured: dict[str, Any] = page.evaluate(WATCH, SECONDS)
        browser.close()
    return measured


def main() -> None:
    """The command line; see the module's docstring."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(prog="python -m benchmarks.webcam", description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"also write into {RESULTS}")
    options = parser.parse_args()
    lines = [machine(), "", "| what | median | 10th to 90th percentile |", "|---|---|---|"]
    with running() as (url, ready, process), sync_playwright() as playwright:
        rows = [row("start of `python app.py` until it is ready", [ready], "s"), memory("ready", process)]
        for count, places in ((1, [(230, 120)]), (4, [(110, 30), (370, 30), (110, 250), (370, 250)])):
            found = watch(playwright, url, places)
            who = f"webcam 640x480, {count} face{'s' * (count > 1)}"
            rows += [
                row(f"{who}: analyzed frames a second", [found["answers"] / found["seconds"]], "fps"),
                row(f"{who}: handler", found["times"], "ms"),
                row(f"{who}: handler, 95th percentile", [float(np.percentile(found["times"], 95))], "ms"),
                row(f"{who}: box behind the picture under it", [lag(np.array(found["seen"]))], "ms"),
            ]
        found = watch(playwright, url, [(230, 120)], SLOW_FRAMES)
        who = "webcam 640x480, a face that moves up to its own width a second"
        rows += [
            row(f"{who}: analyzed frames a second", [found["answers"] / found["seconds"]], "fps"),
            row(f"{who}: box beside the face under it", trailing(np.array(found["seen"])), "widths"),
            memory("after three visitors", process),
        ]
    text = "\n".join([*lines, *map(str, rows)]) + "\n"
    print(text)
    if options.write:
        write_result("Webcam", text)


def memory(when: str, process: int) -> Row:
    """A row on what the app holds in memory."""
    return row(f"memory of the app, {when}", [resident(process)], "MB")


if __name__ == "__main__":
    main()
