"""How fast facemodels is on this machine: `python -m benchmarks.speed` (`--write` keeps the result, with plots).

Every figure is a median over several runs, warm unless the row says otherwise, with its spread (10th to 90th
percentile). Timings are for reading, not for tests: machines are noisy.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from facemodels import FaceAnalyzer, analyze_video, list_models
from facemodels.hub.registry import DEFAULT_MODELS
from facemodels.models import AttributeModel

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: What was measured.
        value: The median.
        low: 10th percentile.
        high: 90th percentile.
        unit: Of all three.
    """

    what: str
    value: float
    low: float
    high: float
    unit: str

    def __str__(self) -> str:
        digits = 2 if self.value < 10 else 0 if self.value >= 100 else 1
        spread = f"{self.low:.{digits}f} .. {self.high:.{digits}f}" if self.low != self.high else ""
        return f"| {self.what} | {self.value:.{digits}f} {self.unit} | {spread} |"


def row(what: str, values: list[float], unit: str) -> Row:
    """The median and the spread of measured values."""
    low, high = np.percentile(values, (10, 90))
    return Row(what, statistics.median(values), float(low), float(high), unit)


def milliseconds(call: Callable[[], object], runs: int = 30, warm: int = 3) -> list[float]:
    """How long a call takes, in each of several runs after a warm-up."""
    for _ in range(warm):
        call()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
    return times


# --- images -----------------------------------------------------------------------------------------------------------


def face() -> np.ndarray:
    """A public-domain photo of one face, 512x512 RGB."""
    from skimage import data

    return data.astronaut()


def group(count: int, width: int = 640, height: int = 480) -> np.ndarray:
    """A scene of `count` faces on a grid."""
    columns = int(np.ceil(np.sqrt(count * width / height)))
    rows = int(np.ceil(count / columns))
    side = min(width // columns, height // rows)
    tile = cv2.resize(face()[0:300, 75:375], (side, side), interpolation=cv2.INTER_AREA)
    scene = np.full((height, width, 3), 110, np.uint8)
    for index in range(count):
        y, x = index // columns * side, index % columns * side
        scene[y : y + side, x : x + side] = tile
    return scene


# --- rows -------------------------------------------------------------------------------------------------------------


def in_process(analyzer: FaceAnalyzer) -> list[Row]:
    """What a warm analyzer takes, for one caller and for eight."""
    crop = np.ascontiguousarray(face()[45:205, 145:305])
    photo = group(6)
    found = len(analyzer.analyze(photo))
    crops = [np.roll(crop, shift, axis=1) for shift in range(1000)]
    many = [1e3 / value * 1000 for value in milliseconds(lambda: analyzer.analyze_crops(crops), runs=3, warm=1)]
    throughput(analyzer, photo, callers=8, runs=1)
    alone = throughput(analyzer, photo, callers=1)
    together = throughput(analyzer, photo, callers=8)
    return [
        row("all four attributes, one crop", milliseconds(lambda: analyzer.analyze_crops([crop]), 100), "ms"),
        row(f"6-face photo at 640 px, array in ({found} found)", milliseconds(lambda: analyzer.analyze(photo)), "ms"),
        row("1,000 crops in one call", many, "faces/s"),
        row("such photos, one caller", alone, "a second"),
        row("… processors that it keeps busy", busy(analyzer, photo), "of " + str(os.cpu_count())),
        row("such photos, eight threads calling", together, "a second"),
        row("… over one caller", [t / a for a, t in zip(alone, together, strict=True)], "x"),
    ]


def busy(analyzer: FaceAnalyzer, photo: np.ndarray, count: int = 48, runs: int = 3) -> list[float]:
    """Processors at work while one thread calls; what is left is all that others could add."""
    fractions = []
    for _ in range(runs):
        start, used = time.perf_counter(), time.process_time()
        for _ in range(count):
            analyzer.analyze(photo)
        fractions.append((time.process_time() - used) / (time.perf_counter() - start))
    return fractions


def throughput(analyzer: FaceAnalyzer, photo: np.ndarray, callers: int, count: int = 96, runs: int = 5) -> list[float]:
    """Photos a second with this many threads calling one analyzer."""
    rates = []
    with ThreadPoolExecutor(callers) as pool:
        for _ in range(runs):
            start = time.perf_counter()
            list(pool.map(analyzer.analyze, [photo] * count))
            rates.append(count / (time.perf_counter() - start))
    return rates


def stages(analyzer: FaceAnalyzer) -> list[Row]:
    """Where the time of the 6-face photo goes."""
    from facemodels.crops import cut_all, face_window
    from facemodels.images import read_image

    photo = group(6)
    faces = analyzer.detect(photo)

    def crop() -> None:
        for model in analyzer.loaded:
            spec = model.spec
            framing = {"margin": spec.margin, "offset": spec.offset, "align": spec.align}
            windows = [face_window(face.box, landmarks=face.landmarks, **framing) for face in faces]
            cut_all([photo] * len(faces), windows, spec.input_size)

    with tempfile.NamedTemporaryFile(suffix=".jpg") as file:
        Image.fromarray(photo).save(file.name, quality=90)
        rows = [row("decode a 640 px JPEG", milliseconds(lambda: read_image(file.name)), "ms")]
    rows.append(row(f"detect ({analyzer.detector})", milliseconds(lambda: analyzer.detect(photo)), "ms"))
    rows.append(row("cut 6 crops for every model", milliseconds(crop), "ms"))
    for model in analyzer.loaded:
        size = model.spec.input_size
        crops = np.zeros((6, size, size, 3), np.uint8)
        rows.append(row(f"{model.spec.id}, 6 faces", milliseconds(lambda: model.probabilities(crops)), "ms"))  # noqa: B023
        rows.append(row("… decode of results", milliseconds(lambda: model.predict(crops)), "ms with it"))  # noqa: B023
    return rows


def video(analyzer: FaceAnalyzer, seconds: int = 10, rate: int = 30, runs: int = 5) -> list[Row]:
    """A video with two moving faces, of which 5 frames a second are analyzed."""
    what = f"{seconds} s video, 960 x 540, {rate} frames a second, 2 faces"
    with tempfile.TemporaryDirectory() as folder:
        path = write_video(Path(folder) / "video.mp4", seconds, rate)

        def analyze(annotated: Path | None) -> tuple[float, float]:
            start, used = time.perf_counter(), time.process_time()
            for _ in analyze_video(path, analyzer, fps=5, annotated=annotated, overwrite=True):
                pass
            return time.perf_counter() - start, time.process_time() - used

        bare = [analyze(None) for _ in range(runs + 1)][1:]
        drawn = [analyze(Path(folder) / "annotated.mp4") for _ in range(runs + 1)][1:]
    return [
        row(f"{what}, 5 a second analyzed", [elapsed for elapsed, _ in bare], "s"),
        row("… with the annotated copy", [elapsed for elapsed, _ in drawn], "s"),
        row("… processor time of it", [used for _, used in drawn], "s"),
    ]


def write_video(path: Path, seconds: int, rate: int) -> Path:
    """Two faces that drift over a grainy ground, without sound."""
    import av

    random = np.random.default_rng(0)
    scene = group(2, 960, 540).astype(np.int16)
    grain = random.integers(-4, 5, (600, 1060, 3), np.int16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 960, 540, "yuv420p"
        for index in range(seconds * rate):
            y, x = random.integers(0, 60), random.integers(0, 100)
            pixels = np.roll(scene, index // 3, axis=1) + grain[y : y + 540, x : x + 960]
            frame = av.VideoFrame.from_ndarray(pixels.clip(0, 255).astype(np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def new_process() -> list[Row]:
    """What a new process takes: import, first result, memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo.jpg"
        Image.fromarray(face()).save(path, quality=90)
        nothing = [_run("pass")[0] for _ in range(5)]
        start = statistics.median(nothing)
        imported = [_run("import facemodels")[0] - start for _ in range(5)]
        first = (
            f"import facemodels, resource; facemodels.FaceAnalyzer().analyze({str(path)!r})\n"
            "print(int(open('/proc/self/statm').read().split()[1]) * resource.getpagesize() / 2**20)"
        )
        runs = [_run(first) for _ in range(7)]
        growth = (
            f"import facemodels, resource; a = facemodels.FaceAnalyzer(); p = {str(path)!r}\n"
            "m = lambda: int(open('/proc/self/statm').read().split()[1]) * resource.getpagesize() / 2**20\n"
            # Not in a list: five thousand results would be what grows.
            "for _ in range(200): a.analyze(p)\nb = m()\nfor _ in range(COUNT): a.analyze(p)\nprint(m() - b)"
        )
        count = int(os.environ.get("BENCHMARK_ANALYSES", "5000"))
        grown = float(_run(growth.replace("COUNT", str(count)))[1])
    return [
        row("import facemodels", [max(0.0, value) for value in imported], "ms"),
        row("process start to first result, JPEG on disk", [elapsed for elapsed, _ in runs], "ms"),
        row("resident memory after it", [float(said) for _, said in runs], "MB"),
        Row(f"memory growth over {count:,} analyses", grown, grown, grown, "MB"),
    ]


def _run(code: str) -> tuple[float, str]:
    """Milliseconds and output of a new Python process."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return (time.perf_counter() - start) * 1e3, done.stdout


# --- how cost grows ---------------------------------------------------------------------------------------------------


def growth(analyzer: FaceAnalyzer) -> dict[str, list[tuple[float, float]]]:
    """Milliseconds against faces in an image, megapixels and batch size."""
    by_faces = [
        (float(count), statistics.median(milliseconds(lambda c=count: analyzer.analyze(group(c, 1280, 960)), 9)))
        for count in (1, 2, 5, 10, 50)
    ]
    by_pixels = []
    for megapixels in (0.3, 1, 2, 6, 12, 24):
        width = int((megapixels * 1e6 * 4 / 3) ** 0.5)
        image = group(6, width, width * 3 // 4)
        by_pixels.append((megapixels, statistics.median(milliseconds(lambda p=image: analyzer.analyze(p), 5))))
    crop = np.ascontiguousarray(face()[45:205, 145:305])
    by_batch = [
        (float(size), statistics.median(milliseconds(lambda s=size: analyzer.analyze_crops([crop] * s), 5)) / size)
        for size in (1, 2, 4, 8, 16, 32, 64, 128, 256)
    ]
    return {
        "faces in a 1280x960 image (ms)": by_faces,
        "megapixels, 6 faces (ms)": by_pixels,
        "crops in one call (ms a crop)": by_batch,
    }


def plot(curves: dict[str, list[tuple[float, float]]], path: Path) -> None:
    """A panel per curve."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(curves), figsize=(4.5 * len(curves), 3.6), layout="constrained")
    for axis, (title, points) in zip(axes, curves.items(), strict=True):
        xs, ys = zip(*points, strict=True)
        axis.plot(xs, ys, "o-", color="#0f766e")
        axis.set_xscale("log", base=2)
        axis.set_xticks(xs, [f"{x:g}" for x in xs])
        axis.set_ylim(bottom=0)
        axis.set_title(title, fontsize=10)
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


# --- the floor --------------------------------------------------------------------------------------------------------


def floor(analyzer: FaceAnalyzer) -> list[str]:
    """Multiply-adds of each model, the machine's measured peak, and how far from it the models run."""
    a = np.random.default_rng(0).random((1024, 1024), np.float32)
    peak = 1024**3 / statistics.median(milliseconds(lambda: a @ a, 20)) * 1e3
    lines = [f"float32 matrix product, all cores: {peak / 1e9:.0f} billion multiply-adds a second."]
    for model in analyzer.loaded:
        work = multiply_adds(model)
        size = model.spec.input_size
        crops = np.zeros((16, size, size, 3), np.uint8)
        taken = statistics.median(milliseconds(lambda: model.probabilities(crops))) / 16  # noqa: B023
        lines.append(
            f"{model.spec.id}: {work / 1e6:.0f} million multiply-adds a face, at the peak {work / peak * 1e3:.2f} ms; "
            f"{taken:.2f} ms a face in batches of 16, {taken / (work / peak * 1e3):.1f} times the floor."
        )
    return lines


def multiply_adds(model: AttributeModel) -> float:
    """Multiply-adds of one face through the convolutions and dense layers, read off the serving file."""
    from ai_edge_litert.interpreter import Interpreter

    from facemodels.hub import store

    interpreter = Interpreter(
        model_path=str(store.fetch(model.spec, store.serving_file(model.spec))), experimental_preserve_all_tensors=True
    )
    interpreter.allocate_tensors()
    shapes = {detail["index"]: detail["shape"] for detail in interpreter.get_tensor_details()}
    total = 0.0
    for operation in interpreter._get_ops_details():
        if operation["op_name"] in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            weights, out = shapes[operation["inputs"][1]], shapes[operation["outputs"][0]]
            # A depthwise filter meets one channel; the others meet all of the input's.
            per_output = weights[1] * weights[2] if operation["op_name"][0] == "D" else np.prod(weights[1:])
            total += float(np.prod(out) * per_output)
    return total


# --- command ----------------------------------------------------------------------------------------------------------


def machine() -> str:
    """One line on where this ran."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    name = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    where = f"{os.cpu_count()} processors ({name}), Python {platform.python_version()}"
    return f"{date.today()}, {where}, commit {commit.strip()}"


def write_result(title: str, text: str) -> None:
    """Keep what a benchmark printed, under its title and the day."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{title.lower()}-{date.today()}.md").write_text(f"# {title}\n\n{text}", encoding="utf-8")


def main() -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"also write into {RESULTS}")
    parser.add_argument("--detector", default="auto")
    parser.add_argument("--video", action="store_true", help="measure videos alone")
    options = parser.parse_args()
    analyzer = FaceAnalyzer(detector=options.detector)
    models = ", ".join(dict.fromkeys(spec.id for spec in list_models() if spec.name in DEFAULT_MODELS.values()))
    header = ["| what, warm | median | spread |", "|---|---|---|"]
    lines = [f"{machine()}; {models}; detector {analyzer.detector}", "", *header]
    if options.video:
        print("\n".join([*lines, *map(str, video(analyzer))]))
        return
    lines += map(str, [*in_process(analyzer), *video(analyzer), *new_process()])
    # One caller has all processors to itself by default, which leaves little for others to add.
    sharing = FaceAnalyzer(detector=options.detector, threads=1)
    lines += ["", "The same with `threads=1`, for many callers at once:", "", *header]
    lines += map(str, in_process(sharing))
    lines += ["", "Where the time of the 6-face photo goes:", "", *header]
    lines += map(str, stages(analyzer))
    lines += ["", *(f"- {line}" for line in floor(analyzer))]
    text = "\n".join(lines) + "\n"
    print(text)
    if options.write:
        RESULTS.mkdir(exist_ok=True)
        stem = RESULTS / f"speed-{date.today()}"
        plot(growth(analyzer), stem.with_suffix(".png"))
        stem.with_suffix(".md").write_text(f"# Speed\n\n{text}\n![How cost grows]({stem.name}.png)\n", encoding="utf-8")


if __name__ == "__main__":
    main()
