"""facemodels beside other packages, on the same images in the same run: `python -m benchmarks.peers [PICTURES]`.

The others are installed once from `benchmarks/peers.txt` into an environment of their own, since what they need does
not go together with what this project needs. The two take turns, image by image, so that whatever else the machine
does meets both; what counts is the ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import venv
from contextlib import suppress
from pathlib import Path

from PIL import Image

from benchmarks.speed import RESULTS, face, group, machine, write_result

HERE = Path(__file__).parent
ENVIRONMENT = HERE.parent / "runs" / "peers"
RUNS = 7

# Each reads paths from standard input, one a line, and answers each with milliseconds and the number of faces as JSON;
# the image is decoded before the clock starts, and analyzed once before it counts.
TIMER = """
import json, sys, time
for line in sys.stdin:
    image = read(line.strip())
    analyze(image)
    start = time.perf_counter()
    faces = analyze(image)
    print(json.dumps([(time.perf_counter() - start) * 1e3, len(faces)]), flush=True)
"""
FACEMODELS = """
import facemodels
analyzer = facemodels.FaceAnalyzer({attributes})
read, analyze = facemodels.read_image, analyzer.analyze
"""
PEERS = {
    "fer": """
import cv2
from fer.fer import FER
detector = FER()
read, analyze = cv2.imread, detector.detect_emotions
"""
}


class Worker:
    """A program of one package that times images.

    Args:
        python: The interpreter to run it with.
        code: What defines `read` and `analyze`.
    """

    def __init__(self, python: Path, code: str) -> None:
        self._process = subprocess.Popen(
            [python, "-c", code + TIMER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )

    def time(self, path: Path) -> tuple[float, int]:
        """Milliseconds for one image, and the faces found.

        Raises:
            RuntimeError: If the program ended instead.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        with suppress(BrokenPipeError):  # it ended, which its output will say
            self._process.stdin.write(f"{path}\n")
            self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("["):  # some packages talk
                milliseconds, faces = json.loads(line)
                return milliseconds, faces
        raise RuntimeError(f"it ended with {self._process.wait()} on {path}; its message stands above")

    def close(self) -> None:
        """End the program."""
        self._process.communicate()


def peer_python() -> Path:
    """The interpreter of the other packages' environment, which is made on first use."""
    python = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done = ENVIRONMENT / "installed"
    if not done.is_file() or done.read_text() != (HERE / "peers.txt").read_text():
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", HERE / "peers.txt"], check=True)
        done.write_text((HERE / "peers.txt").read_text())
    return python


def compare(
    ours: Worker, theirs: Worker, paths: list[Path], runs: int = RUNS
) -> list[tuple[str, float, float, int, int]]:
    """Name, medians of both in milliseconds, and faces of both, for each image; the two take turns."""
    rows = []
    for path in paths:
        pairs = [(ours.time(path), theirs.time(path)) for _ in range(runs)]
        mine, other = (statistics.median(pair[side][0] for pair in pairs) for side in (0, 1))
        rows.append((path.name, mine, other, pairs[0][0][1], pairs[0][1][1]))
    return rows


def peers_table(name: str, rows: list[tuple[str, float, float, int, int]]) -> str:
    """Markdown: a row per image, and the median ratio."""
    lines = [f"| image | facemodels, emotion only | {name} | ratio | faces found |", "|---|---|---|---|---|"]
    lines += [f"| {p} | {a:.1f} ms | {b:.1f} ms | {b / a:.1f} | {m}, {n} |" for p, a, b, m, n in rows]
    middle = statistics.median(other / mine for _, mine, other, _, _ in rows)
    return "\n".join([*lines, f"| median | | | {middle:.1f} | |"])


def main() -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="?", type=Path, help="a folder of your own JPEG and PNG images")
    parser.add_argument("--write", action="store_true", help=f"also write into {RESULTS}")
    options = parser.parse_args()
    python = peer_python()
    parts = [machine()]
    with tempfile.TemporaryDirectory() as folder:
        for name, image in (("astronaut.png", face()), ("six_faces.png", group(6))):
            Image.fromarray(image).save(Path(folder) / name)
        paths = sorted(Path(folder).glob("*.png"))
        if options.images:
            paths += sorted(p for p in options.images.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
        for name, code in PEERS.items():
            ours = Worker(Path(sys.executable), FACEMODELS.format(attributes=["emotion"]))
            theirs = Worker(python, code)
            parts.append(peers_table(name, compare(ours, theirs, paths)))
            ours.close()
            theirs.close()
    text = "\n\n".join(parts) + "\n"
    print(text)
    if options.write:
        write_result("Peers", text)


if __name__ == "__main__":
    main()
