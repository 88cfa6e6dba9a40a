"""Damaged and hostile files by the thousand: `python -m benchmarks.robustness` (`--write` keeps the result).

Every file must be used, or be refused with the error that its reader documents. Anything else is a failure: another
exception, an answer that is no number, or the end of the process.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import io
import itertools
import json
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image

from benchmarks.speed import RESULTS, machine, write_result
from benchmarks.webcam import running
from facemodels import (
    Face,
    FaceAnalyzer,
    ImageError,
    ModelSpec,
    VideoError,
    WeightsError,
    analyze_video,
    get_spec,
    read_image,
)
from facemodels.evaluation.report import table
from facemodels.hub.golden import golden_crops
from facemodels.hub.registry import SPEC_FILE, WEIGHTS, WeightsFile
from facemodels.models import AttributeModel, decode

MODEL = "gender-efficientnet"  # the smallest


@dataclass
class Trial:
    """The results of many files of one kind.

    Attributes:
        what: The kind.
        results: How many were used, refused, and so on.
        failures: What nobody should see, in words.
        seconds: How long all of it took.
    """

    what: str
    results: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def record(self, number: int, read: Callable[[], str], refusal: type[Exception]) -> None:
        """Try one file: `read` names the result, or raises the documented `refusal`."""
        start = time.perf_counter()
        try:
            self.results[read()] += 1
        except refusal as error:
            self.results["refused, the child process died" if "child process" in str(error) else "refused"] += 1
        except Exception as error:  # noqa: BLE001
            self.results["failed"] += 1
            self.failures.append(f"{self.what} {number}: {type(error).__name__}: {error}")
        self.seconds += time.perf_counter() - start


def damaged(content: bytes, chance: random.Random) -> bytes:
    """A file with a few bytes changed, cut out, put in or repeated; near its beginning more often than elsewhere."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
        at = chance.randrange(chance.choice((len(data), min(len(data), 512))) or 1)
        length = chance.choice((1, 4, 100))
        match chance.randrange(6):
            case 0:
                data[at : at + 1] = bytes([data[at] ^ 1 << chance.randrange(8)]) if data else b""
            case 1:
                data[at : at + 1] = bytes([chance.choice((0, 1, 127, 128, 255))])
            case 2:
                data[at : at + 4] = chance.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"))
            case 3:
                del data[at : at + length]
            case 4:
                data[at:at] = chance.randbytes(length)
            case 5:
                data[at:] = data[at:][: chance.randrange(len(data) - at + 1)]
    return bytes(data)


def try_images(count: int) -> Trial:
    """Damaged images of every common format: `read_image` gives pixels or an ImageError."""
    chance, trial = random.Random(0), Trial("image")
    picture = Image.fromarray(golden_crops(96, [0])[0])
    sources = []
    for name in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "ICO"):
        file = io.BytesIO()
        picture.save(file, name)
        sources.append(file.getvalue())
    for number in range(count):
        content = damaged(sources[number % len(sources)], chance)

        def read(content: bytes = content) -> str:
            pixels = read_image(content)
            assert pixels.dtype == np.uint8 and pixels.ndim == 3, pixels.shape
            return "used"

        trial.record(number, read, ImageError)
    return trial


class NoFaces:
    """A detector that takes no time."""

    name = "none"

    def detect(self, image: np.ndarray, min_score: float = 0.6) -> list[Face]:
        """See `FaceDetector.detect`."""
        return []


def try_videos(count: int, folder: Path) -> Trial:
    """Damaged videos with sound: `analyze_video` gives frames, whose last may say what is wrong, or a VideoError."""
    import av

    chance, trial = random.Random(0), Trial("video")
    analyzer = FaceAnalyzer(["emotion"], detector=NoFaces())
    sources = []
    for name, codec in (("clip.mp4", "libx264"), ("clip.webm", "libvpx"), ("clip.avi", "mpeg4"), ("clip.gif", "gif")):
        with av.open(str(folder / name), "w") as container:
            stream = container.add_stream(codec, rate=10)
            stream.width = stream.height = 64
            stream.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
            for crop in golden_crops(64, range(12)):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(crop, format="rgb24")))
            container.mux(stream.encode(None))
        sources.append(folder / name)
    for number in range(count):
        source = sources[number % len(sources)]
        path = folder / f"damaged{source.suffix}"
        path.write_bytes(damaged(source.read_bytes(), chance))

        def read(path: Path = path) -> str:
            last = None
            for last in itertools.islice(analyze_video(path, analyzer, fps=5), 1000):
                assert math.isfinite(last.time), last
            return "used" if last is None or not last.problem else "used as far as it goes"

        trial.record(number, read, VideoError)
    return trial


# What may stand where something else is meant.
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 48.5, 1e308, -0.0, 2**31, 2**63, 10**400, float("nan"), float("inf"), -float("inf")),
    *("", "48", "0.1", "nan", "1.0.0", "١.٢.٣", "../../x", "/etc/passwd", "a" * 5000, "\x1b[2J", "\ud800", "\0", "é"),
    *([], {}, [[]], [None], {"": None}, {"a": {"a": {}}}, ["a", "a"], [0] * 100, "happy", "age", "emotion"),
)
TEXTS = (
    *(b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e999", b"9" * 5000, b"0x10", b"[" * 100_000, b'{"a":' * 50_000),
    *(b'"\\ud800"', b"\xff\xfe", b"\0", b"//", b",", b"}", b"]", b'"name": "a", ', b'"schema": 1, ', b"null"),
)


def mutated_specs(count: int) -> Iterator[bytes]:
    """The texts of bundled specs with values, keys or bytes replaced."""
    chance = random.Random(0)
    sources = [path.read_bytes() for path in sorted(WEIGHTS.glob(f"*/{SPEC_FILE}"))]
    for number in range(count):
        source = sources[number % len(sources)]
        if number % 3 == 0:
            yield damaged(source, chance)
            continue
        if number % 3 == 1:
            at = chance.randrange(len(source))
            yield source[:at] + chance.choice(TEXTS) + source[at + chance.choice((0, 1, 10)) :]
            continue
        data = json.loads(source)
        for _ in range(chance.choice((1, 1, 2))):
            _mutate(data, chance)
        yield json.dumps(data).encode(errors="surrogatepass")


def _mutate(data: dict[str, Any], chance: random.Random) -> None:
    """Replace, delete, add or repeat one value somewhere inside."""
    holders: list[Any] = []

    def walk(part: Any) -> None:
        if isinstance(part, dict | list) and part:
            holders.append(part)
            for inner in part.values() if isinstance(part, dict) else part:
                walk(inner)

    walk(data)
    if not holders:
        return
    # The outermost object is as likely as all that is inside of it, which is mostly metrics.
    holder = chance.choice((data, chance.choice(holders)))
    key = chance.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    match chance.randrange(6):
        case 0 | 1 | 2:
            holder[key] = copy.deepcopy(chance.choice(VALUES))
        case 3:
            del holder[key]
        case 4 if isinstance(holder, dict):
            holder[chance.choice(("", "extra", "folder", "output", "../x", "a" * 2000))] = chance.choice(VALUES)
        case 5 if isinstance(holder, list):
            holder.extend(copy.deepcopy(holder) * 3)
        case _:
            holder[key] = str(holder[key])


def try_specs(count: int, folder: Path) -> Trial:
    """Mutated specs: `ModelSpec.from_file` gives a spec that can be written and used, or a WeightsError."""
    trial, path = Trial("spec"), folder / SPEC_FILE

    def read() -> str:
        spec = ModelSpec.from_file(path)
        assert ModelSpec.from_dict(json.loads(json.dumps(spec.to_dict(), allow_nan=False))) == spec
        for head in spec.heads:
            rows = np.full((1, len(head.labels)), 1 / len(head.labels), np.float32)
            (answer,) = decode(head, rows)
            json.dumps(answer.to_dict(), allow_nan=False)
        return "used"

    for number, content in enumerate(mutated_specs(count)):
        path.write_bytes(content)
        trial.record(number, read, WeightsError)
    return trial


def try_weights(count: int, folder: Path) -> Trial:
    """A `.tflite` file with a few bytes changed, and a spec that lists it: it answers, or is a WeightsError."""
    chance, trial = random.Random(0), Trial(".tflite file")
    original = (WEIGHTS / MODEL / "model.tflite").read_bytes()
    for number in range(count):
        content = bytearray(original)
        for _ in range(chance.choice((1, 1, 2, 8))):
            # A model's tables, which LiteRT trusts, lie around the numbers of its layers: at both ends.
            place = chance.choice((range(4096), range(len(content) - 65_536, len(content)), range(len(content))))
            content[chance.choice(place)] = chance.randrange(256)
        model = _released(folder / f"weights-{number}", "model.tflite", bytes(content))
        trial.record(number, lambda spec=model: _answer(AttributeModel(spec)), WeightsError)
        shutil.rmtree(folder / f"weights-{number}")
    return trial


def try_keras(count: int) -> Trial:
    """A `.keras` file with one of its parts damaged: Keras loads it and it answers, or it is a WeightsError."""
    chance, trial = random.Random(0), Trial(".keras file")
    with zipfile.ZipFile(WEIGHTS / MODEL / "model.keras") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    for number in range(count):
        changed = dict(parts)
        name = chance.choice(sorted(parts))
        changed[name] = damaged(parts[name], chance)
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for part, data in changed.items():
                archive.writestr(part, data)
        content = damaged(file.getvalue(), chance) if number % 5 == 0 else file.getvalue()

        def read(content: bytes = content) -> str:
            return _answer(AttributeModel.of_content(get_spec(MODEL), content, "keras"))

        trial.record(number, read, WeightsError)
    return trial


NAMES = (
    *("photo.jpg", "../../photo.jpg", "/etc/passwd", "a" * 5_000 + ".jpg", "=HYPERLINK(1).jpg", "<script>.jpg"),
    *("a\nb.jpg", "CON", ""),
)


class Refused(Exception):
    """The app said why it does not take an upload."""


def try_uploads(count: int, folder: Path) -> Trial:
    """Damaged images with hostile names, sent to the app: faces, or a refusal that shows no path of the server."""
    import httpx

    chance, trial = random.Random(0), Trial("upload to the app")
    original = io.BytesIO()
    Image.fromarray(golden_crops(96, [0])[0]).save(original, "JPEG")
    with _serving(folder) as (url, _), httpx.Client(base_url=f"{url}/gradio_api", timeout=60) as client:

        def send(name: str, content: bytes) -> str:
            answer = client.post("/upload", files={"files": (name, content)})
            if 400 <= answer.status_code < 500:
                raise Refused(answer.text)
            image = {"path": answer.json()[0], "orig_name": name, "meta": {"_type": "gradio.FileData"}}
            event = client.post("/call/analyze", json={"data": [image, None, None]}).json()["event_id"]
            text = client.get(f"/call/analyze/{event}").text
            assert str(folder) not in text, text
            if "event: error" in text and '"error": null' not in text:
                raise Refused(text)
            assert "event: complete" in text, text
            return "used"

        for number in range(count):
            name, content = NAMES[number % len(NAMES)], damaged(original.getvalue(), chance)
            trial.record(number, lambda name=name, content=content: send(name, content), Refused)
        trial.record(count, lambda: send("photo.jpg", original.getvalue()), Refused)
    return trial


def try_kills(count: int, folder: Path) -> Trial:
    """The app, killed with uploads on its disk and started again: nothing of before is left once it is ready."""
    import httpx

    trial = Trial("kill -9 and restart")
    for number in range(count):
        with _serving(folder) as (url, pid):

            def look() -> str:
                left = [path for path in folder.glob("facemodels-*/*/**/*") if f"{pid}-" not in str(path)]
                assert not left, left
                return "nothing left"

            if number:
                trial.record(number, look, Refused)
            for _ in range(5):
                httpx.post(f"{url}/gradio_api/upload", files={"files": ("photo.jpg", b"a photo")}, timeout=60)
            assert any(path.name == "photo.jpg" for path in folder.glob(f"facemodels-*/{pid}-*/**/*"))
            os.kill(pid, signal.SIGKILL)
    return trial


@contextmanager
def _serving(folder: Path) -> Iterator[tuple[str, int]]:
    """The app with its uploads in a folder: its address and its process."""
    with mock.patch.dict(os.environ, {"GRADIO_TEMP_DIR": str(folder)}), running() as (url, _, pid):
        yield url, pid


def _released(folder: Path, name: str, content: bytes) -> ModelSpec:
    """The spec of a model folder with this file, and golden outputs."""
    folder.mkdir()
    (folder / name).write_bytes(content)
    shutil.copy(WEIGHTS / MODEL / "golden.json", folder)
    files = {name: WeightsFile(hashlib.sha256(content).hexdigest(), len(content))}
    return replace(get_spec(MODEL), folder=folder, files=files)


def _answer(model: AttributeModel) -> str:
    rows = model.probabilities(golden_crops(model.spec.input_size, [7]))
    assert all(np.isfinite(values).all() for values in rows.values())
    return "used"


def robustness_table(trials: list[Trial]) -> str:
    """Markdown: a row per kind of file."""
    rows = []
    for trial in trials:
        total = sum(trial.results.values())
        results = ", ".join(f"{count:,} {name}" for name, count in sorted(trial.results.items()))
        rows.append((trial.what, f"{total:,}", results, str(len(trial.failures)), f"{trial.seconds:.0f} s"))
    return table(("trial", "count", "result", "failures", "time"), rows)


TRIALS: dict[str, tuple[int, Callable[[int, Path], Trial]]] = {
    "images": (20_000, lambda count, folder: try_images(count)),
    "videos": (500, try_videos),
    "specs": (5_000, try_specs),
    "weights": (300, try_weights),
    "keras": (100, lambda count, folder: try_keras(count)),
    "uploads": (500, try_uploads),
    "kills": (20, try_kills),
}


def main() -> int:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.robustness", description=__doc__.splitlines()[0])
    parser.add_argument("trials", nargs="*", choices=[[], *TRIALS], metavar="TRIAL", help=f"of {', '.join(TRIALS)}")
    parser.add_argument("--count", type=int, help="files of each kind, instead of each trial's own number")
    parser.add_argument("--write", action="store_true", help=f"also write into {RESULTS}")
    options = parser.parse_args()
    tried, trials = machine(), []  # the commit that is tried, whatever happens to the folder meanwhile
    with tempfile.TemporaryDirectory() as folder:
        for name in options.trials or TRIALS:
            count, run = TRIALS[name]
            trials.append(run(options.count or count, Path(folder)))
    text = f"{tried}\n\n{robustness_table(trials)}\n"
    failures = [failure for trial in trials for failure in trial.failures]
    print("\n".join([text, *failures[:50]]))
    if options.write:
        write_result("Robustness", text)
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
