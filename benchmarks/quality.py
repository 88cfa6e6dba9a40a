"""Where answers get worse with the quality of faces: `python -m benchmarks.quality --data DIR` (`--write` keeps it).

Validation faces of UTKFace are made smaller, blurred, darkened or cut, step by step. The thresholds of
`facemodels.quality` lie where gender is right `LESS_RIGHT` less often or ages are `FURTHER_OFF` times as far off.
Detected faces are grouped by how far they are turned and by the detector's score.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from benchmarks.speed import RESULTS, machine, write_result
from facemodels import Face, FaceAnalyzer, quality
from facemodels.attributes import GENDERS
from facemodels.evaluation.report import table
from facemodels.quality import measure
from training.data import load

LESS_RIGHT, FURTHER_OFF = 0.03, 1.25
LEAST_YAW = 8  # degrees from which on a face is turned
ROOM = 0.6  # that is put around a crop, per side, so that its face is detected as in a photo

Change = Callable[[np.ndarray, float], np.ndarray]


def smaller(image: np.ndarray, side: float) -> np.ndarray:
    """The crop with this many pixels a side."""
    return cv2.resize(image, (int(side), int(side)), interpolation=cv2.INTER_AREA)


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    """Blurred by a fraction of its side."""
    return cv2.GaussianBlur(image, (0, 0), sigma * len(image)) if sigma else image


def darker(image: np.ndarray, factor: float) -> np.ndarray:
    """Darkened by a factor, with some noise of the sensor."""
    noise = np.random.default_rng(0).normal(0, 3, image.shape) if factor < 1 else 0
    return np.clip(image * factor + noise, 0, 255).astype(np.uint8)


def cut_off(image: np.ndarray, part: float) -> np.ndarray:
    """Without this fraction on the left, where the border is repeated, as crops do."""
    left = int(len(image) * part)
    kept = np.ascontiguousarray(image[:, left:])
    return cv2.copyMakeBorder(kept, 0, 0, left, 0, cv2.BORDER_REPLICATE)


CHANGES: dict[str, tuple[Change, tuple[float, ...]]] = {
    "side, pixels": (smaller, (96, 64, 48, 40, 36, 32, 28, 24, 20, 16, 12)),
    "blur, per side": (blurred, (0, 0.01, 0.0125, 0.015, 0.0175, 0.02, 0.03, 0.04, 0.06)),
    "brightness, factor": (darker, (1, 0.5, 0.35, 0.3, 0.25, 0.22, 0.18, 0.12, 0.08)),
    "cut, fraction": (cut_off, (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)),
}
# Threshold of `facemodels.quality` to the change, and the field of a `Step`, that it is measured by.
THRESHOLDS = {
    "SMALL": ("side, pixels", "degree"),
    "BLURRED": ("blur, per side", "sharpness"),
    "DARK": ("brightness, factor", "brightness"),
    "CUT": ("cut, fraction", "degree"),
}


@dataclass(frozen=True)
class Step:
    """Figures for faces that were changed to some degree, with the medians of their measured quality."""

    change: str
    degree: float
    sharpness: float
    brightness: float
    right: float  # fraction of genders
    off: float  # mean error of ages, years
    count: int

    @property
    def row(self) -> list[str]:
        """A row of the table."""
        measured = [f"{self.degree:g}", f"{self.sharpness:.4f}", f"{self.brightness:.3f}"]
        return [self.change, *measured, f"{self.right:.1%}", f"{self.off:.2f}", f"{self.count:,}"]


def figures(faces: Sequence[Face], gender: np.ndarray, age: np.ndarray) -> tuple[float, float, int]:
    """How many genders are right, how far ages are off, and of how many faces."""
    right = np.mean([face.gender.label == label for face, label in zip(faces, gender, strict=True) if face.gender])
    off = [abs(face.age.value - years) for face, years in zip(faces, age, strict=True) if face.age and years >= 0]
    return float(right), float(np.mean(off)) if off else math.nan, len(faces)


def changed_steps(analyzer: FaceAnalyzer, images: list[np.ndarray], *truth: np.ndarray) -> Iterator[Step]:
    """Every change to every degree."""
    for what, (change, degrees) in CHANGES.items():
        for degree in degrees:
            made = [change(image, degree) for image in images]
            faces = analyzer.analyze_crops(made, attributes=["gender", "age"])
            measured = [measure(image, face) for image, face in zip(made, faces, strict=True)]
            sharp = float(np.median([one.sharpness for one in measured]))
            bright = float(np.median([one.brightness for one in measured]))
            yield Step(what, degree, sharp, bright, *figures(faces, *truth))


def threshold(steps: Sequence[Step], field: str) -> float | None:
    """Where gender is right `LESS_RIGHT` less often, or ages are `FURTHER_OFF` times as far off; None if nowhere.

    Args:
        steps: Of one change, from its least degree on.
        field: The field of a step that tells where; it is interpolated between two steps.
    """
    first = steps[0]
    for before, after in pairwise(steps):
        falls = (
            ((first.right - step.right) / LESS_RIGHT, (step.off / first.off - 1) / (FURTHER_OFF - 1))
            for step in (before, after)
        )
        reached = [(1 - low) / (high - low) for low, high in zip(*falls, strict=True) if high >= 1]
        if reached:
            start, end = getattr(before, field), getattr(after, field)
            return float(start + min(reached) * (end - start))
    return None


def thresholds_table(steps: Sequence[Step]) -> str:
    """Markdown: the thresholds as measured, and those in use."""
    rows = []
    for name, (change, field) in THRESHOLDS.items():
        found = threshold([step for step in steps if step.change == change], field)
        rows.append(
            (name, field.replace("degree", change), "-" if found is None else f"{found:.2g}", f"{in_use(name):g}")
        )
    return table(("threshold", "of", "measured", "in use"), rows)


def in_use(name: str) -> float:
    """A threshold of `facemodels.quality`."""
    return float(getattr(quality, name))


def detected(
    analyzer: FaceAnalyzer, images: list[np.ndarray], gender: np.ndarray, age: np.ndarray
) -> list[tuple[Face, str, float]]:
    """The faces that are found, with their gender and age."""
    found: list[tuple[Face, str, float]] = []
    for image, label, years in zip(images, gender, age, strict=True):
        room = int(ROOM * len(image))
        faces = analyzer.analyze(cv2.copyMakeBorder(image, room, room, room, room, cv2.BORDER_REFLECT_101)).faces
        middle = len(image) / 2 + room
        near = [face for face in faces if max(abs(value - middle) for value in face.box.centre) < len(image) / 4]
        found += [(near[0], label, years)] if near else []
    return found


def detected_rows(found: Sequence[tuple[Face, str, float]]) -> Iterator[list[str]]:
    """A row per range of turn, as the pose tells it, and of the detector's score."""
    ranges = {
        "turn": (lambda face: abs(face.quality.turn), (0, 0.1, 0.2, 0.3, 0.4, 0.6, 9)),
        "detector's score": (lambda face: face.score, (0.3, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 1.01)),
    }
    for what, (value, edges) in ranges.items():
        for low, high in pairwise(edges):
            part = [item for item in found if low <= value(item[0]) < high]
            if len(part) >= 20:
                faces, labels, years = zip(*part, strict=True)
                right, off, count = figures(faces, np.array(labels), np.array(years))
                yield [what, f"{low:g} to {high:g}", "-", "-", f"{right:.1%}", f"{off:.2f}", f"{count:,}"]


def nose_line(faces: Sequence[Face]) -> str:
    """What `facemodels.quality.NOSE` is: how far the nose of turned heads lies beside the middle of the eyes."""
    blank = np.zeros((8, 8, 3), np.uint8)
    pairs = [(measure(blank, face.replace(pose=None)).turn, face.pose.yaw) for face in faces if face.pose]
    slopes = [turn / math.tan(math.radians(yaw)) for turn, yaw in pairs if abs(yaw) > LEAST_YAW]
    return (
        f"Of {len(slopes)} faces that are turned by more than {LEAST_YAW} degrees, the nose lies a median of "
        f"{np.median(slopes) if slopes else math.nan:.2f} tan(yaw) beside the middle of the eyes, in eye distances "
        f"(`NOSE`, in use {in_use('NOSE'):g})."
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--count", type=int, default=1500, help="faces of UTKFace")
    parser.add_argument("--write", action="store_true", help=f"also write into {RESULTS}")
    options = parser.parse_args(arguments)
    data = load("utkface", "validation", options.data, options.count)
    analyzer = FaceAnalyzer(["gender", "age", "pose"], detector="libfacedetection", min_score=0.3)
    images = [np.asarray(image) for image in data.images]
    gender, age = np.array(GENDERS)[data.labels["gender"]], data.labels["age"]
    found = detected(analyzer, images, gender, age)
    steps = list(changed_steps(analyzer, images, gender, age))
    rows = [*(step.row for step in steps), *detected_rows(found)]
    head = ("what", "degree", "sharpness", "brightness", "gender right", "age off, years", "faces")
    parts = [f"{machine()}; UTKFace validation", table(head, rows), thresholds_table(steps)]
    text = "\n\n".join([*parts, nose_line([face for face, *_ in found])]) + "\n"
    print(text)
    if options.write:
        write_result("Quality", text)


if __name__ == "__main__":
    main()
