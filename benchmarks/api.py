"""The endpoint /analyze over HTTP, with all attributes and with one: `python -m benchmarks.api`.

The app runs as `python app.py`; a `gradio_client` sends a photo of six faces and waits for each answer. The calls take
turns, so that whatever else the machine does meets both alike.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from PIL import Image

from benchmarks.speed import RESULTS, group, machine, row, write_result
from benchmarks.webcam import running

RUNS = 30


def main() -> None:
    """The command line; see the module's docstring."""
    from gradio_client import Client, handle_file

    parser = argparse.ArgumentParser(prog="python -m benchmarks.api", description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"also write into {RESULTS}")
    options = parser.parse_args()
    asked: dict[str, list[str] | None] = {"all four attributes": None, 'attributes=["emotion"]': ["emotion"]}
    times: dict[str, list[float]] = {name: [] for name in asked}
    with running() as (url, _, _), tempfile.TemporaryDirectory() as folder:
        photo = Path(folder) / "six.jpg"
        Image.fromarray(group(6)).save(photo, quality=90)
        client = Client(url, download_files=folder, verbose=False)
        for _ in range(RUNS):
            for name, attributes in asked.items():
                begun = time.perf_counter()
                client.predict(handle_file(photo), attributes=attributes, api_name="/analyze")
                times[name].append(1e3 * (time.perf_counter() - begun))
    rows = [row(f"/analyze of a 6-face photo, {name}", values[2:], "ms") for name, values in times.items()]
    lines = [machine(), "", "| what | median | 10th to 90th percentile |", "|---|---|---|", *map(str, rows)]
    text = "\n".join(lines) + "\n"
    print(text)
    if options.write:
        write_result("API", text)


if __name__ == "__main__":
    main()
