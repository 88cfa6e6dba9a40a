"""facemodels beside other packages, in one run: `python -m benchmarks.peers [IMAGES] [--data DIR] [--write]`.

`fer` (Python) and the npm packages `@vladmandic/human` and `@vladmandic/face-api` with the models that they bundle. All
see the same decoded pixels, warm, and take turns image by image, so that whatever else the machine does meets all of
them: what counts is the ratio. With `--data`, faces of test sets are asked about too: expressions of LFW's test people,
ages and genders of UTKFace. The others are installed once, by `--install`, into a folder of their own (`--packages`),
since what they need does not go together with what this project needs. One that is missing is named and left out.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import venv
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self
from zlib import crc32

import cv2
import numpy as np

from benchmarks.speed import RESULTS, face, group, machine, write_result
from facemodels import read_image
from facemodels.attributes import EMOTIONS, GENDERS
from facemodels.evaluation.report import table
from training.data import load
from training.data.packed import LFW_FOLDS

HERE = Path(__file__).parent
PACKAGES = HERE.parent / "runs" / "peers"
NPM = ("@vladmandic/human@3.3.6", "@vladmandic/face-api@1.7.15", "@tensorflow/tfjs@4.22.0")
NPM_BACKENDS = ("@tensorflow/tfjs-node@4.22.0", "@tensorflow/tfjs-backend-wasm@4.22.0")  # the first that installs
RUNS = 5
SIDE = 256  # pixels of a labelled face with the room around it
ROOM = 0.5  # on each side of it, the border repeated, or detectors find nothing
LFW_CROP = 1.3  # its images per box of the face
FEWEST = 10  # faces of an emotion whose recall is counted
MOST = 40  # of them that are analyzed
LIMIT = 300.0  # seconds for an answer

# Each says its version, reads a JSON object per line from standard input, whose path holds RGB bytes, and answers with
# one. Lines of answers begin with "= ", since some packages talk.
PROGRAM = """
import json, sys, time
import numpy as np
def say(value):
    print("=", json.dumps(value), flush=True)
say({"version": version})
for line in sys.stdin:
    asked = json.loads(line)
    image = np.fromfile(asked["path"], np.uint8).reshape(asked["height"], asked["width"], 3)
    for _ in range(asked["runs"]):
        start = time.perf_counter()
        faces = analyze(image)
        milliseconds = (time.perf_counter() - start) * 1e3
    say({"milliseconds": milliseconds, "faces": [answer(face) for face in faces]})
"""
FACEMODELS = """
import facemodels
analyzer = facemodels.FaceAnalyzer({attributes})
version, analyze = facemodels.__version__, analyzer.analyze
def answer(face):
    box, values = face.box, face.values
    facts = {{name: values[name].label for name in ("emotion", "gender") if name in values}}
    age = {{"age": face.age.value}} if face.age else {{}}
    return {{"box": [box.x1, box.y1, box.width, box.height], **facts, **age}}
"""
FER = """
from importlib.metadata import version
from fer.fer import FER
version, detector = version("fer"), FER()
def analyze(image):
    return detector.detect_emotions(image[:, :, ::-1])
def answer(face):
    emotions = face["emotions"]
    return {"box": [float(side) for side in face["box"]], "emotion": max(emotions, key=emotions.get)}
"""
SAME = {"fearful": "fear", "disgusted": "disgust", "surprised": "surprise"}  # face-api's words


@dataclass(frozen=True)
class Peer:
    """A package that is compared.

    Attributes:
        name: What it is called in the table.
        beside: The name of the row of ours that answers the same.
    """

    name: str
    command: Sequence[str]
    beside: str


OURS = {"facemodels": None, "facemodels, emotion only": ["emotion"]}


def peers(packages: Path) -> list[Peer]:
    """All of them, ours first."""
    fer = packages / "fer" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    return [
        *(
            Peer(name, (sys.executable, "-c", FACEMODELS.format(attributes=attributes) + PROGRAM), name)
            for name, attributes in OURS.items()
        ),
        Peer("fer", (str(fer), "-c", FER + PROGRAM), "facemodels, emotion only"),
        *(
            Peer(f"@vladmandic/{name}", ("node", str(HERE / "peers.js"), name, str(packages)), "facemodels")
            for name in ("human", "face-api")
        ),
    ]


class Worker:
    """A program of one package, in a process of its own. A context manager.

    Args:
        command: What starts it.

    Attributes:
        version: What it says of itself.

    Raises:
        RuntimeError: If it does not start.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""},
        )
        self.version = str(self._answer()["version"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def analyze(self, image: Raw, runs: int = 1) -> tuple[float, list[dict[str, Any]]]:
        """Milliseconds of the last of so many runs, and the faces. A face with ``given`` was not found, but answered
        for where the image says it is.

        Raises:
            RuntimeError: If the program ended instead.
        """
        assert self._process.stdin is not None
        asked = {**vars(image), "path": str(image.path), "runs": runs}
        with suppress(BrokenPipeError):  # it ended, which its output will say
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
        answer = self._answer()
        return answer["milliseconds"], answer["faces"]

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        limit = threading.Timer(LIMIT, self._process.kill)
        limit.start()
        try:
            return self._next(self._process.stdout)
        finally:
            limit.cancel()

    def _next(self, output: IO[str]) -> dict[str, Any]:
        for line in output:
            if line.startswith("= "):
                return dict(json.loads(line[2:]))
        raise RuntimeError(f"it ended with {self._process.wait()}; its message stands above")


@dataclass(frozen=True)
class Raw:
    """An image as RGB bytes in a file, so that nobody's decoder counts."""

    path: Path
    height: int
    width: int
    face: int = 0  # side of the face in its middle, if that is known

    @classmethod
    def write(cls, folder: Path, name: str, pixels: np.ndarray, face: int = 0) -> Raw:
        """Write an image, ``(H, W, 3)`` uint8."""
        path = folder / f"{name}.rgb"
        pixels.tofile(path)
        return cls(path, *pixels.shape[:2], face)


@dataclass
class Measured:
    """What came of a package.

    Attributes:
        version: Its own, and what it runs on.
        milliseconds: Median per photo, in their order.
        faces: Faces found in each photo.
        emotions: Emotion to whether it was recognized, for each labelled face that has it.
        ages: Errors in years, of the labelled faces that were found.
        genders: Whether it was right, for each labelled face.
        missed: Labelled faces that were not found.
    """

    version: str
    milliseconds: list[float] = field(default_factory=list)
    faces: list[int] = field(default_factory=list)
    emotions: dict[str, list[bool]] = field(default_factory=dict)
    ages: list[float] = field(default_factory=list)
    genders: list[bool] = field(default_factory=list)
    missed: int = 0

    def add(self, truth: Mapping[str, Any], faces: list[dict[str, Any]], side: int) -> None:
        """Judge the answer for a labelled face: the one that is found nearest to the middle."""
        found = min(faces, key=lambda face: _off_centre(face["box"], side), default=None)
        if found is not None and _off_centre(found["box"], side) > side / 4:
            found = None
        self.missed += found is None or "given" in found
        answers = found or {}
        if "emotion" in truth:
            said = answers.get("emotion")
            self.emotions.setdefault(truth["emotion"], []).append(SAME.get(said, said) == truth["emotion"])
        if "age" in truth:
            if answers.get("age") is not None:
                self.ages.append(abs(answers["age"] - truth["age"]))
            self.genders.append(answers.get("gender") == truth["gender"])


def _off_centre(box: Sequence[float], side: int) -> float:
    x, y, width, height = box
    return max(abs(x + width / 2 - side / 2), abs(y + height / 2 - side / 2))


def labelled(data: Path, folder: Path, faces: int) -> list[tuple[Raw, dict[str, Any]]]:
    """Faces of test sets, each as a photo of its own, with what is known of it.

    Args:
        data: The folder of the data sets.
        folder: To write the photos into.
        faces: Of UTKFace; of LFW at most MOST of each emotion.
    """
    chance = np.random.default_rng(0)
    inner = round(SIDE / (1 + 2 * ROOM))
    chosen: list[tuple[np.ndarray, float, dict[str, Any]]] = []
    lfw = lfw_test(data)
    for emotion in EMOTIONS:
        own = [image for image, label in lfw if label == emotion]
        if len(own) >= FEWEST:
            few = chance.permutation(len(own))[:MOST]
            chosen += [(own[number], inner / LFW_CROP, {"emotion": emotion}) for number in few]
    utk = load("utkface", "test", data)
    for number in chance.permutation(len(utk.images))[:faces]:
        facts = {"age": float(utk.labels["age"][number]), "gender": GENDERS[utk.labels["gender"][number]]}
        chosen.append((np.asarray(utk.images[number]), inner, facts))
    made = []
    for number, (image, side, facts) in enumerate(chosen):
        enlarged = cv2.resize(image, (inner, inner), interpolation=cv2.INTER_CUBIC)
        room = (SIDE - inner) // 2
        photo = cv2.copyMakeBorder(enlarged, room, room, room, room, cv2.BORDER_REPLICATE)
        made.append((Raw.write(folder, f"face-{number}", photo, round(side)), facts))
    return [made[number] for number in chance.permutation(len(made))]


def lfw_test(data: Path) -> list[tuple[np.ndarray, str]]:
    """The test people of LFW with what is around their faces, which detectors need, and the emotion of each."""
    found = []
    for path in sorted(data.glob("lfw_expressions_128-*.npz")):
        part = np.load(path)
        blob, offset = part["blob"], part["offset"]
        for number, (person, emotion) in enumerate(zip(part["person"], part["emotion"], strict=True)):
            if crc32(person) % 10 in LFW_FOLDS["test"]:
                encoded = blob[offset[number] : offset[number + 1]]
                image = cv2.cvtColor(cv2.imdecode(encoded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
                found.append((image, EMOTIONS[emotion]))
    return found


def measure(
    chosen: Sequence[Peer],
    photos: Sequence[Raw],
    faces: Sequence[tuple[Raw, dict[str, Any]]],
    runs: int = RUNS,
    seconds: float = math.inf,
) -> tuple[dict[str, Measured], dict[str, str]]:
    """What came of each package, and why others have nothing.

    After half of `seconds` no further photo is analyzed, and after all of them no further face is.
    """
    begin = time.monotonic()
    measured: dict[str, Measured] = {}
    left_out: dict[str, str] = {}
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for peer in chosen:
            try:
                workers[peer.name] = stack.enter_context(Worker(peer.command))
                measured[peer.name] = Measured(workers[peer.name].version)
            except (OSError, RuntimeError) as error:
                left_out[peer.name] = str(error)

        def drop(name: str, error: RuntimeError) -> None:
            left_out[name] = str(error)
            del workers[name], measured[name]

        for photo in photos:
            if any(one.milliseconds for one in measured.values()) and time.monotonic() > begin + seconds / 2:
                break
            times: dict[str, list[float]] = {name: [] for name in workers}
            for run in range(runs):
                for name, worker in list(workers.items()):
                    try:
                        milliseconds, found = worker.analyze(photo, 1 if run else 2)  # once before it counts
                    except RuntimeError as error:
                        drop(name, error)
                        continue
                    times[name].append(milliseconds)
                    if not run:
                        measured[name].faces.append(len(found))
            for name in workers:
                measured[name].milliseconds.append(statistics.median(times[name]))
        for photo, truth in faces:
            if time.monotonic() > begin + seconds:
                break
            for name, worker in list(workers.items()):
                try:
                    measured[name].add(truth, worker.analyze(photo)[1], photo.width)
                except RuntimeError as error:
                    drop(name, error)
    return measured, left_out


def peers_table(chosen: Sequence[Peer], measured: Mapping[str, Measured]) -> str:
    """Markdown: a row per package; its ratio is of the time of ours that answers the same."""
    head = ("package", "version", "ms per photo", "photos/s", "ours is faster by", "faces found in the photos")
    more = ("emotion: macro recall", "age: mean error", "gender right", "labelled faces found")
    asked = any(one.genders or one.emotions for one in measured.values())
    rows = []
    for peer in chosen:
        if peer.name not in measured:
            continue
        one = measured[peer.name]
        middle = statistics.median(one.milliseconds)
        ours = measured.get(peer.beside)
        pairs = zip(one.milliseconds, ours.milliseconds, strict=True) if ours and peer.name != peer.beside else ()
        ratios = [theirs / mine for theirs, mine in pairs]
        row = [
            peer.name,
            one.version,
            f"{middle:.1f}",
            f"{len(one.milliseconds) * 1e3 / sum(one.milliseconds):.1f}",
            f"{statistics.median(ratios):.1f} x" if ratios else "",
            f"{sum(one.faces)}",
        ]
        if asked:
            count = len(one.genders) + sum(map(len, one.emotions.values()))
            recalls = [np.mean(right) for right in one.emotions.values()]
            says_gender = any(one.genders)
            row += [
                f"{np.mean(recalls):.1%}" if any(recalls) else "-",
                f"{np.mean(one.ages):.2f} years" if one.ages else "-",
                f"{np.mean(one.genders):.1%}" if says_gender else "-",
                f"{count - one.missed} of {count}",
            ]
        rows.append(row)
    return table((*head, *(more if asked else ())), rows)


def install(packages: Path) -> None:
    """Install the other packages, with the first backend of the npm ones that can be had."""
    packages.mkdir(parents=True, exist_ok=True)
    if not (packages / "fer" / "installed").exists():
        venv.create(packages / "fer", with_pip=True, clear=True)
        python = packages / "fer" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        done = subprocess.run([python, "-m", "pip", "install", "-q", "-r", HERE / "peers.txt"], check=False)
        if done.returncode == 0:
            (packages / "fer" / "installed").touch()
    (packages / "package.json").exists() or (packages / "package.json").write_text('{"private": true}\n')
    for backend in NPM_BACKENDS:
        command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(packages), *NPM, backend]
        try:
            if subprocess.run(command, check=False).returncode == 0:
                return
        except OSError as error:
            print(f"npm is missing: {error}")
            return


def hint(packages: Path) -> str:
    """How to install what is missing."""
    return f"Install it with `python -m benchmarks.peers --install --packages {packages}`, which needs pip and npm."


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="?", type=Path, help="a folder of your own JPEG and PNG images")
    parser.add_argument("--data", type=Path, help="folder of the data sets: also measure how right the answers are")
    parser.add_argument("--faces", type=int, default=200, help="of UTKFace (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=8.0, help="after which no more are analyzed (default: 8)")
    parser.add_argument("--packages", type=Path, default=PACKAGES, help="folder of the other packages")
    parser.add_argument("--install", action="store_true", help="install the other packages there first")
    parser.add_argument("--write", action="store_true", help=f"also write into {RESULTS}")
    options = parser.parse_args(arguments)
    if options.install:
        install(options.packages)
    chosen = peers(options.packages)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = {"astronaut": face(), "six_faces": group(6)}
        if options.images:
            own = sorted(p for p in options.images.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
            images |= {path.name: read_image(path) for path in own}
        photos = [Raw.write(folder, name, image) for name, image in images.items()]
        faces = labelled(options.data, folder, options.faces) if options.data else []
        measured, left_out = measure(chosen, photos, faces, seconds=options.minutes * 60)
    count = max((len(one.milliseconds) for one in measured.values()), default=0)
    text = (
        f"{machine()}, load {os.getloadavg()[2]:.1f} (above about two, other work ran beside this, and only ratios "
        f"count); {count} photos, analyzed one after the other, all attributes that each package has"
    )
    asked = max((len(one.genders) + sum(map(len, one.emotions.values())) for one in measured.values()), default=0)
    if faces:
        lfw = sum("emotion" in facts for _, facts in faces)
        text += (
            f". Right answers: {lfw} faces of LFW's test people, at most {MOST} of each emotion with {FEWEST} or more, "
            f"and {len(faces) - lfw} test faces of UTKFace. What is not found is a wrong emotion and gender; only "
            "face-api, whose detector wants whole heads, is then told where the face is"
        )
    if asked < len(faces):
        text += f". Only {asked} of these faces were analyzed within {options.minutes:g} minutes"
    text += f".\n\n{peers_table(chosen, measured)}\n"
    for name, why in left_out.items():
        text += f"\n{name} was not measured: {why}.\n"
    print(text)
    if left_out:
        print(hint(options.packages))
    if options.write:
        write_result("Peers", text)


if __name__ == "__main__":
    main()
