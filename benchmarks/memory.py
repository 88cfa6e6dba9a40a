"""Memory of the app while programs call it: `python -m benchmarks.memory` (`--write` keeps the result).

First many callers at once send the largest images that are legal, in several formats, and the most memory that the
process ever held is read; then small images by the thousand, each call as a new visitor, to see what stays.
"""

from __future__ import annotations

import argparse
import io
import json
import re
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.speed import RESULTS, face, machine, write_result
from benchmarks.webcam import resident, running

CALLERS = 64  # as many requests as may wait
CALLS = 5_000
FIRST = 1_000  # calls after which memory is not to grow any more
TIMEOUT = 1_800.0


def encode(pixels: np.ndarray, kind: str, **options: Any) -> bytes:
    """An image file."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def largest(megapixels: int = 40) -> dict[str, bytes]:
    """The largest images that an app with this limit takes, by name; they compress well."""

    def picture(pixels: float) -> np.ndarray:
        height = int((pixels * 1e6 / 1.6) ** 0.5)
        tile = face()[: height // 2, : height // 2]
        whole = np.full((height, int(pixels * 1e6 / height), 3), 90, np.uint8)
        whole[: tile.shape[0], : tile.shape[1]] = tile
        return whole

    whole = picture(megapixels)
    return {
        "PNG": encode(whole, "png", compress_level=1),
        "progressive JPEG": encode(whole, "jpeg", progressive=True),
        "TIFF": encode(whole, "tiff", compression="tiff_deflate"),
        "WebP": encode(picture(megapixels * 7 / 16), "webp", method=0),
        "JPEG of three times the size": encode(picture(megapixels * 3), "jpeg"),
    }


def call(client: Any, data: bytes, endpoint: str = "analyze") -> str:
    """Upload an image and ask an endpoint about it, as curl would; ``faces: N`` or what went wrong."""
    answer = client.post("/gradio_api/upload", files={"files": ("photo", data)})
    if answer.status_code != 200:
        return f"upload: {answer.status_code}"
    argument = {"path": answer.json()[0], "meta": {"_type": "gradio.FileData"}}
    answer = client.post(f"/gradio_api/call/{endpoint}", json={"data": [argument, None, None]})
    if answer.status_code != 200:
        return f"call: {answer.status_code}"
    text = client.get(f"/gradio_api/call/{endpoint}/{answer.json()['event_id']}").text
    found = re.search(r"event: complete\ndata: (.*)", text)
    if found is None:
        return text.strip().splitlines()[-1][:100] if text.strip() else "no answer"
    (result,) = json.loads(found[1])
    return f"faces: {len(result['faces'])}" if "faces" in result else "file"


def peak(pid: int) -> float:
    """The most megabytes that a process ever held in memory."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def send(url: str, images: list[bytes], callers: int, endpoints: tuple[str, ...] = ("analyze",)) -> Counter[str]:
    """Send images, as many at once as there are callers; returns how often each answer came."""
    import httpx

    with (
        httpx.Client(base_url=url, timeout=TIMEOUT, limits=httpx.Limits(max_connections=callers)) as client,
        ThreadPoolExecutor(callers) as pool,
    ):
        ask: Callable[[int], str] = lambda n: call(client, images[n], endpoints[n % len(endpoints)])  # noqa: E731
        return Counter(pool.map(ask, range(len(images))))


def main() -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__.splitlines()[0])
    parser.add_argument("--callers", type=int, default=CALLERS, help="who send the largest images (%(default)s)")
    parser.add_argument("--calls", type=int, default=CALLS, help="of small images (%(default)s)")
    parser.add_argument("--write", action="store_true", help=f"also write into {RESULTS}")
    options = parser.parse_args()
    lines = [machine(), "", "| what | memory of the app |", "|---|---|"]
    with running() as (url, _, pid):
        lines.append(f"| ready | {resident(pid):.0f} MB |")
        kinds = largest()
        images = [list(kinds.values())[n % len(kinds)] for n in range(options.callers)]
        answers = send(url, images, options.callers, ("analyze", "annotate", "analyze"))
        lines.append(
            f"| {options.callers} callers at once, largest images ({', '.join(kinds)}): peak | {peak(pid):.0f} MB |"
        )
        lines.append(f"| afterwards | {resident(pid):.0f} MB |")
        small = encode(np.asarray(Image.fromarray(face()).resize((160, 160))), "jpeg")
        answers += send(url, [small] * FIRST, 4)
        before = resident(pid)
        lines.append(f"| after {FIRST:,} calls with small images | {before:.0f} MB |")
        answers += send(url, [small] * (options.calls - FIRST), 4)
        lines.append(f"| after {options.calls:,} | {resident(pid):.0f} MB ({resident(pid) - before:+.0f}) |")
    lines += ["", f"Answers: {', '.join(f'{count:,} {answer}' for answer, count in answers.most_common())}."]
    text = "\n".join(lines) + "\n"
    print(text)
    if options.write:
        write_result("Memory", text)


if __name__ == "__main__":
    main()
