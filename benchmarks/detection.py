"""How well the detectors find faces and nothing else: `python -m benchmarks.detection --data DIR` (`--write` keeps it).

Scenes are made from the faces of the data sets, pasted into textures and sample photos without faces: clear, half
hidden, blurred, dark, or rolled by any angle; and from clutter that resembles faces: wheels, discs with two holes,
patterns. Beside each detector stand the same one without a second opinion on weak detections (see
`facemodels.detection.review`), and with a third: the presence output of the landmark model. Validation faces choose the
score threshold, test faces measure it. With `--photos`, portraits are turned by 24 angles, and their answers compared
with those for the upright photo. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from skimage import data as samples

from benchmarks.speed import RESULTS, group, machine, write_result
from facemodels import Box, Face, FaceAnalyzer, read_image
from facemodels.detection import DETECTORS, FaceDetector, make_detector
from facemodels.detection.passes import MultiPassDetector
from facemodels.detection.yunet import YuNet
from facemodels.evaluation.report import table
from training.data import load

# Sample photos of scikit-image without a person.
GROUNDS = ("brick", "cell", "chelsea", "coffee", "grass", "gravel", "hubble_deep_field", "immunohistochemistry")
GROUNDS += ("moon", "page", "retina", "rocket", "text", "colorwheel", "microaneurysms", "stereo_motorcycle")
KINDS = ("clear", "hidden", "blurred", "dark", "rolled")
SINGLE = ", no second opinion"  # suffix of a detector as it was before
PRESENT = ", and presence"  # suffix of a detector with a third opinion: the landmark model's
LEAST_PRESENCE = 0.5
WIDTH, HEIGHT = 640, 480
LEAST = 0.3  # score from which on detections are counted
THRESHOLDS = (0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)


@dataclass(frozen=True)
class Scene:
    """An image and the faces in it: where each was pasted, and what was done to it (out of KINDS)."""

    image: np.ndarray
    faces: tuple[tuple[Box, str], ...] = ()


def grounds() -> list[np.ndarray]:
    """The sample photos, RGB."""
    images = []
    for name in GROUNDS:
        image = getattr(samples, name)()
        image = image[0] if isinstance(image, tuple) else image
        image = np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image[:, :, :3]
        images.append(np.ascontiguousarray(image if image.dtype == np.uint8 else (image * 255).astype(np.uint8)))
    return images


class Present:
    """A detector whose faces the landmark model must take for faces, too: what a third opinion would gain."""

    def __init__(self, detector: FaceDetector) -> None:
        self.detector = detector
        self.analyzer = FaceAnalyzer(["points"], detector=None)

    def detect(self, image: np.ndarray, min_score: float) -> list[Face]:
        """See `FaceDetector.detect`."""
        faces = self.analyzer.analyze(image, boxes=self.detector.detect(image, min_score))
        return [face for face in faces if face.points is not None and face.points.score >= LEAST_PRESENCE]


def ground(images: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """A part of a sample photo at some scale, or clutter."""
    if rng.random() < 0.4:
        return clutter(rng)
    image = images[rng.integers(len(images))]
    side = rng.uniform(0.4, 1.0)
    height, width = int(image.shape[0] * side), int(image.shape[1] * side)
    y, x = rng.integers(image.shape[0] - height + 1), rng.integers(image.shape[1] - width + 1)
    return cv2.resize(image[y : y + height, x : x + width], (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)


def clutter(rng: np.random.Generator) -> np.ndarray:
    """Drawn things: discs with two holes and a line, wheels, stripes, soles, blobs."""

    def colour() -> tuple[int, int, int]:
        red, green, blue = rng.integers(20, 235, 3).tolist()
        return red, green, blue

    coarse = rng.integers(40, 216, (int(rng.integers(2, 30)), int(rng.integers(2, 30)), 3), np.uint8)
    image = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    for _ in range(int(rng.integers(4, 14))):
        x, y, r = int(rng.integers(WIDTH)), int(rng.integers(HEIGHT)), int(rng.integers(12, 90))
        kind = rng.integers(5)
        if kind == 0:  # a disc with two holes and a line
            cv2.ellipse(image, (x, y), (int(r * 0.75), r), 0, 0, 360, colour(), -1, cv2.LINE_AA)
            for side in (-1, 1):
                cv2.circle(image, (x + side * r // 3, y - r // 4), max(2, r // 8), colour(), -1, cv2.LINE_AA)
            cv2.line(image, (x - r // 4, y + r // 2), (x + r // 4, y + r // 2), colour(), max(1, r // 12), cv2.LINE_AA)
        elif kind == 1:  # a wheel
            cv2.circle(image, (x, y), r, colour(), max(2, r // 6), cv2.LINE_AA)
            for angle in np.linspace(0, np.pi, int(rng.integers(3, 9)), endpoint=False):
                dx, dy = int(r * np.cos(angle)), int(r * np.sin(angle))
                cv2.line(image, (x - dx, y - dy), (x + dx, y + dy), colour(), max(1, r // 15), cv2.LINE_AA)
        elif kind == 2:  # a sole with grooves
            cv2.ellipse(image, (x, y), (r // 2, r), float(rng.uniform(0, 180)), 0, 360, colour(), -1, cv2.LINE_AA)
            for groove in range(-r, r, max(4, r // 5)):
                cv2.line(image, (x - r // 3, y + groove), (x + r // 3, y + groove), colour(), 2, cv2.LINE_AA)
        elif kind == 3:  # stripes
            cv2.rectangle(image, (x - r, y - r), (x + r, y + r), colour(), -1)
            for stripe in range(-r, r, max(4, r // 6)):
                cv2.rectangle(image, (x + stripe, y - r), (x + stripe + max(2, r // 12), y + r), colour(), -1)
        else:
            cv2.ellipse(image, (x, y), (r, int(r * 0.8)), float(rng.uniform(0, 180)), 0, 360, colour(), -1, cv2.LINE_AA)
    noise = rng.normal(0, rng.uniform(0, 10), image.shape)
    return np.clip(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 2)) + noise, 0, 255).astype(np.uint8)


def changed(crop: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """A face, made harder to find; as RGB."""
    side = len(crop)
    crop = crop.copy()
    if kind == "hidden":  # from one side up to 45 %, as by a hand, another head or the frame of a door
        part = int(side * rng.uniform(0.25, 0.45))
        where = [np.s_[:, :part], np.s_[:, side - part :], np.s_[side - part :, :]][rng.integers(3)]
        crop[where] = np.clip(rng.normal(rng.integers(40, 200, 3), 12, crop[where].shape), 0, 255)
    elif kind == "blurred":
        crop = cv2.GaussianBlur(crop, (0, 0), side * rng.uniform(0.03, 0.06))
    elif kind == "dark":
        crop = np.clip(crop * rng.uniform(0.12, 0.3) + rng.normal(0, 4, crop.shape), 0, 255).astype(np.uint8)
    elif kind == "rolled":
        turn = cv2.getRotationMatrix2D(((side - 1) / 2,) * 2, float(rng.uniform(45, 315)), 1)
        crop = cv2.warpAffine(crop, turn, (side, side), borderMode=cv2.BORDER_REFLECT)
    return crop


def scenes(data: Path, split: str, count: int) -> list[Scene]:
    """`count` scenes with one to three faces, and as many without any."""
    rng = np.random.default_rng(sum(split.encode()))
    faces = [np.asarray(image) for name in ("utkface", "fairface") for image in load(name, split, data).images]
    images = grounds()
    made = []
    for _ in range(count):
        image, labels = ground(images, rng), []
        for column in range(int(rng.integers(1, 4))):
            side, kind = int(rng.integers(32, 180)), KINDS[rng.integers(len(KINDS))]
            crop = changed(cv2.resize(faces[rng.integers(len(faces))], (side, side), cv2.INTER_AREA), kind, rng)
            x, y = 213 * column + int(rng.integers(213 - side)), int(rng.integers(HEIGHT - side))
            # The edges of the patch fade, or they would be what is found.
            fade = cv2.GaussianBlur(np.pad(np.ones((side - 8, side - 8), np.float32), 4), (0, 0), 2)[:, :, None]
            patch = image[y : y + side, x : x + side]
            patch[:] = patch * (1 - fade) + crop * fade
            labels.append((Box(x, y, x + side, y + side), kind))
        made.append(Scene(image, tuple(labels)))
    return [*made, *(Scene(ground(images, rng)) for _ in range(count))]


def matches(face: Face, patch: Box) -> bool:
    """Whether a detection is the face of a patch, which fills most of it."""
    x, y = face.box.centre
    centred = abs(x - patch.centre[0]) < 0.25 * patch.width and abs(y - patch.centre[1]) < 0.25 * patch.height
    return centred and 0.35 < max(face.box.width, face.box.height) / patch.width < 1.4


@dataclass
class Outcome:
    """What a detector gave for all scenes: the score of each face that was found (0: not), and of each phantom."""

    found: list[tuple[str, float]]
    phantoms: list[float]
    empty_phantoms: list[float]  # those in scenes without a face

    def recall(self, threshold: float, kind: str | None = None) -> float:
        """Fraction of the faces (of a kind) that score at least this; NaN where there are none."""
        scores = [score for what, score in self.found if kind in (None, what)]
        return sum(score >= threshold for score in scores) / len(scores) if scores else math.nan

    def precision(self, threshold: float) -> float:
        """Fraction of the detections with at least this score that are faces."""
        right = sum(score >= threshold for _, score in self.found)
        return right / max(1, right + sum(score >= threshold for score in self.phantoms))

    def f1(self, threshold: float) -> float:
        """Harmonic mean of precision and recall."""
        precision, recall = self.precision(threshold), self.recall(threshold)
        return 2 * precision * recall / max(1e-9, precision + recall)


def outcome(detector: FaceDetector, made: Sequence[Scene]) -> Outcome:
    """Run a detector on every scene."""
    result = Outcome([], [], [])
    for scene in made:
        left = detector.detect(scene.image, LEAST)
        for patch, kind in scene.faces:
            own = [face for face in left if matches(face, patch)]
            best = max(own, key=lambda face: face.score, default=None)
            result.found.append((kind, best.score if best else 0.0))
            left = [face for face in left if face is not best]
        result.phantoms += [face.score for face in left]
        result.empty_phantoms += [] if scene.faces else [face.score for face in left]
    return result


def curve(results: dict[str, Outcome]) -> str:
    """Markdown: precision and recall at each threshold."""
    head = ["score", *(f"{name}: {what}" for name in results for what in ("precision", "recall"))]
    rows = []
    for threshold in THRESHOLDS:
        figures = [f(threshold) for result in results.values() for f in (result.precision, result.recall)]
        rows.append([f"{threshold:.2f}", *(f"{figure:.1%}" for figure in figures)])
    return table(head, rows)


def kinds_table(results: dict[str, Outcome], threshold: float, empty: int) -> str:
    """Markdown: recall by kind of face, and phantoms in scenes without a face, at one threshold."""
    rows = []
    for name, result in results.items():
        phantoms = sum(score >= threshold for score in result.empty_phantoms)
        recalls = [result.recall(threshold, kind) for kind in KINDS]
        figures = ["-" if math.isnan(recall) else f"{recall:.1%}" for recall in recalls]
        rows.append([name, f"{result.precision(threshold):.1%}", *figures, f"{phantoms / empty * 100:.1f}"])
    return table(["detector", "precision", *KINDS, "phantoms per 100 scenes without a face"], rows)


def rolled_table(photos: Path, step: int = 15) -> str:
    """Markdown: how often portraits that were turned get the answers of the upright ones."""
    analyzer = FaceAnalyzer(detector="libfacedetection")
    same = {"found once": 0, "emotion": 0, "gender": 0, "age within 3 years": 0, "all of these": 0}
    count = 0
    for path in sorted(photos.glob("*.jpg")):
        image = read_image(path)
        (upright,) = analyzer.analyze(image)
        for angle in range(0, 360, step):
            faces = analyzer.analyze(turned(image, angle)).faces
            right = {
                "found once": len(faces) == 1,
                "emotion": any(face.emotion.label == upright.emotion.label for face in faces[:1]),
                "gender": any(face.gender.label == upright.gender.label for face in faces[:1]),
                "age within 3 years": any(abs(face.age.value - upright.age.value) <= 3 for face in faces[:1]),
            }
            right["all of these"] = all(right.values())
            same = {name: same[name] + right[name] for name in same}
            count += 1
    return table(
        [f"{count} turned portraits", *same], [["same as upright", *(f"{n / count:.1%}" for n in same.values())]]
    )


def speed_table(detectors: Mapping[str, FaceDetector], photos: Sequence[np.ndarray], runs: int = 15) -> str:
    """Markdown: what a second opinion and looking for turned faces cost where there is nothing to doubt.

    Processor time does not depend on what else the machine does; the two take turns.
    """
    rows = []
    for name in [name for name in detectors if f"{name}{SINGLE}" in detectors]:
        pair = detectors[name], detectors[f"{name}{SINGLE}"]
        ratios = []
        for photo in photos:
            both = [[seconds(detector, photo) for detector in pair] for _ in range(runs)]
            with_, without = np.median(both, axis=0)
            ratios.append(with_ / without)
        rows.append([name, f"{np.median(ratios):.2f}", f"{max(ratios):.2f}"])
    head = [f"{len(photos)} upright photos", "processor time by that without a second opinion, median", "most"]
    return table(head, rows)


def seconds(detector: FaceDetector, photo: np.ndarray) -> float:
    """Processor time of one detection."""
    start = time.process_time()
    detector.detect(photo, 0.6)
    return time.process_time() - start


def turned(image: np.ndarray, angle: float) -> np.ndarray:
    """An image turned clockwise, on a canvas that holds all of it; its border is repeated around it."""
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), -angle, 1)
    cos, sin = abs(turn[0, 0]), abs(turn[0, 1])
    size = int(width * cos + height * sin), int(height * cos + width * sin)
    turn[:, 2] += (size[0] - width) / 2, (size[1] - height) / 2
    return cv2.warpAffine(image, turn, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--yunet", type=Path, help="YuNet's .onnx file, if it is not in the cache")
    parser.add_argument("--photos", type=Path, help="folder of upright portraits (.jpg), to be turned")
    parser.add_argument("--count", type=int, default=300, help="scenes with faces, and as many without")
    parser.add_argument("--write", action="store_true", help=f"also write into {RESULTS}")
    options = parser.parse_args(arguments)
    detectors: dict[str, Any] = {
        name: YuNet(options.yunet) if name == "yunet" and options.yunet else make_detector(name)
        for name in DETECTORS
        if DETECTORS[name].available() or (name == "yunet" and options.yunet)
    }
    for name, detector in list(detectors.items()):
        if isinstance(detector, MultiPassDetector):
            single = copy.copy(detector)
            single.second_opinion = False
            detectors[f"{name}{SINGLE}"] = single
            detectors[f"{name}{PRESENT}"] = Present(detector)
    chosen = outcome(detectors["libfacedetection"], scenes(options.data, "validation", options.count))
    best = max(THRESHOLDS, key=chosen.f1)
    made = scenes(options.data, "test", options.count)
    results = {name: outcome(detector, made) for name, detector in detectors.items()}
    faces = sum(len(scene.faces) for scene in made)
    text = (
        f"{machine()}; {options.count} scenes with {faces} faces and as many without any\n\n"
        f"{curve(results)}\n\nThe threshold with the best F1 of libfacedetection on scenes of validation faces is "
        f"{best:.2f}. There:\n\n{kinds_table(results, best, options.count)}\n"
    )
    ordinary = [samples.astronaut(), *(group(count) for count in (1, 3, 6))]
    if options.photos:
        ordinary += [read_image(path) for path in sorted(options.photos.glob("*.jpg"))]
        text += f"\n{rolled_table(options.photos)}\n"
    text += f"\n{speed_table(detectors, ordinary)}\n"
    print(text)
    if options.write:
        write_result("Detection", text)


if __name__ == "__main__":
    main()
