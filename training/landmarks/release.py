"""From a run to a release: `python -m training.landmarks.release runs/landmarks-efficientnet --data DIR --to
facemodels/weights`.

Writes `model.keras` and the `model.tflite` compiled from it, proves them equal, measures against the mesh on the test
faces once, and writes the spec, `metrics.json`, golden outputs and the card. No number is copied by hand.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import math
import os
import platform
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np

from facemodels.crops import Window, cut
from facemodels.detection import make_detector
from facemodels.hub.golden import SEEDS, golden_crops
from facemodels.hub.registry import SPEC_FILE, ModelSpec
from facemodels.models import AttributeModel
from training.config import Config, config_from
from training.data.face_data import HEADS
from training.evaluate import latency
from training.landmarks.card import ALL, headline, write_card
from training.landmarks.mesh import eye_scale, fitted_window, mirrored_order
from training.landmarks.train import FRAMING, Crops, Faces, errors, held_out_crops
from training.release.card import DATASET_CARDS
from training.release.compile import save_keras, save_tflite
from training.release.describe import card_elsewhere, spec_of, write_json
from training.release.export import history, put_in_place

log = logging.getLogger("training")

SAMPLE = 1000  # test faces that are cut in several ways
YAWS = (0, 15, 30, 90)  # degrees: the groups of the table by yaw
# An export whose two files differ by more is refused: in sides of the crop, in the logit, and in degrees.
TOLERANCE = {"points": 0.01, "presence": 0.3, "pose": 1.0}
CHANGES: dict[str, Callable[[Window], Window]] = {
    "mirrored": lambda window: replace(window, mirror=True),
    "turned by 20 degrees": lambda window: replace(window, angle=window.angle + 20),
    "cut 15 % tighter": lambda window: replace(window, width=window.width * 0.85, height=window.height * 0.85),
    "cut 15 % wider": lambda window: replace(window, width=window.width * 1.15, height=window.height * 1.15),
}


def framing(faces: Faces, count: int = 300) -> dict[str, float]:
    """The margin and offset with which the default detector's box gives the crops of training (medians)."""
    detector = make_detector("libfacedetection")
    assert detector is not None
    margins, offsets = [], []
    for row in np.linspace(0, len(faces) - 1, count).astype(int):
        image, scale = faces.images[row], 224 / max(faces.images[row].shape[:2])
        big = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        found = detector.detect(cv2.copyMakeBorder(big, 112, 112, 112, 112, cv2.BORDER_CONSTANT), 0.8)
        if not found:
            continue
        box, window = found[0].box, fitted_window(faces.points[row] * scale + 112, FRAMING)
        longer, angle = max(box.width, box.height), math.radians(window.angle)
        x, y = window.cx - box.centre[0], window.cy - box.centre[1]
        margins.append((window.width / longer - 1) / 2)
        offsets.append((y * math.cos(angle) - x * math.sin(angle)) / longer)
    return {"margin": round(float(np.median(margins)), 3), "offset": round(float(np.median(offsets)), 3)}


def measure(model: AttributeModel, faces: Faces, config: Config) -> list[dict[str, Any]]:
    """The errors against the mesh, for each data set and all together."""
    crops, points, poses = held_out_crops(faces, config)
    answers = model.probabilities(crops)
    found = errors(answers, points, poses)
    tests = []
    for name in (*config.datasets, ""):
        rows = faces.sets == name if name else np.ones(len(faces), bool)
        turned = np.abs(faces.poses[:, 0])
        tests.append(
            {
                "dataset": f"{DATASET_CARDS[name]['title']} test" if name else ALL,
                "count": int(rows.sum()),
                "points": _spread(found["points"][rows]),
                **{angle: _spread(found["pose"][rows, column]) for column, angle in enumerate(HEADS["pose"])},
                "by_yaw": [
                    {
                        "yaw": f"{low} to {high}",
                        "count": int((group := rows & (turned >= low) & (turned < high)).sum()),
                        "points": _spread(found["points"][group]),
                        "yaw_error": _spread(found["pose"][group, 0]),
                    }
                    for low, high in itertools.pairwise(YAWS)
                ],
            }
        )
    return tests


def _spread(values: np.ndarray) -> dict[str, float]:
    if not len(values):
        return {}
    return {"median": float(np.median(values)), "mean": float(np.mean(values)), "p90": float(np.percentile(values, 90))}


def consistency(model: AttributeModel, faces: Faces, config: Config) -> dict[str, dict[str, float]]:
    """Median difference between the answers for a changed window and those for the original one."""
    windows = [fitted_window(points, FRAMING) for points in faces.points]

    def answers(windows: list[Window]) -> tuple[np.ndarray, np.ndarray]:
        crops = np.stack([cut(i, w, config.input_size) for i, w in zip(faces.images, windows, strict=True)])
        said = model.probabilities(crops)
        points, poses = [], said["pose"].copy()
        for window, row, pose in zip(windows, said["points"], poses, strict=True):
            inside = row[:136].reshape(68, 2)
            points.append(window.to_image(inside[mirrored_order()] if window.mirror else inside))
            if window.mirror:
                pose *= (-1, 1, -1)
            pose[2] += window.angle
        return np.stack(points), poses

    plain_points, plain_poses = answers(windows)
    scales = np.array([eye_scale(points) for points in faces.points])
    table = {}
    for name, change in CHANGES.items():
        points, poses = answers([change(window) for window in windows])
        off = np.linalg.norm(points - plain_points, axis=2).mean(axis=1) / scales
        turned = np.abs((poses - plain_poses + 180) % 360 - 180)
        table[name] = {"points": float(np.median(off)), "pose": float(np.median(turned))}
    return table


def presence(model: AttributeModel, faces: Faces, config: Config) -> dict[str, float]:
    """The fractions of faces, and of crops without one, that the score classifies as a face."""
    said = model.probabilities(held_out_crops(faces, config)[0])["points"][:, 136]
    crops = Crops(faces, replace(config, epoch_size=0))
    rng = np.random.default_rng(config.seed)
    empty = np.stack([crops.absent(image, rng) for image in faces.images])
    return {
        "faces": float((said > 0).mean()),
        "empty": float((model.probabilities(empty)["points"][:, 136] > 0).mean()),
    }


def export(run: Path, target: Path, data_folder: str | Path, limit: int | None = None) -> ModelSpec:
    """Make a release folder from a run folder; an existing one is replaced only on success.

    Raises:
        ValueError: If the two weights files disagree.
    """
    config = config_from(json.loads((run / "config.json").read_text()))
    generic = np.load(run / "generic_face.npy")
    answers = run.parent / "answers"
    held_out = Faces(config, "validation", data_folder, answers, generic, limit)
    faces = Faces(config, "test", data_folder, answers, generic, limit)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        folder = Path(temporary) / target.name
        folder.mkdir()
        network = keras.saving.load_model(run / "model.keras", compile=False)
        save_keras(network, folder / "model.keras")
        save_tflite(folder / "model.keras", folder / "model.tflite")
        framed = framing(held_out)
        spec = spec_of(replace(config, margin=framed["margin"], offset=framed["offset"]), folder)
        lite, exact = AttributeModel(spec, trusted=True), AttributeModel(spec, backend="keras", trusted=True)
        sample = np.concatenate([golden_crops(config.input_size), held_out_crops(held_out, config)[0][:200]])
        differences = largest_differences(lite.probabilities(sample), exact.probabilities(sample))
        if not all(differences[name] <= allowed for name, allowed in TOLERANCE.items()):  # so that NaN is refused too
            raise ValueError(f"model.tflite differs from model.keras by up to {differences}, allowed is {TOLERANCE}")
        measured = {
            "model": spec.id,
            "backend": "litert",
            "limit": limit,
            "tests": measure(lite, faces, config),
            "consistency": consistency(lite, faces.sample(SAMPLE), config),
            "presence": presence(lite, faces.sample(SAMPLE), config),
            "latency_ms": latency(lite),
            "machine": f"{os.cpu_count()} processors, {platform.machine()}, {platform.system()}",
            "keras_litert_difference": max(differences.values()),
            "differences": differences,
            "parameters": int(network.count_params()),
            **history(run, config),
            "generic_face": np.round(generic, 5).tolist(),
            "config": config.to_dict(),
        }
        write_json(folder / "metrics.json", measured, indent=0)
        golden = {
            name: np.round(rows, 6).tolist()
            for name, rows in exact.probabilities(golden_crops(config.input_size)).items()
        }
        write_json(folder / "golden.json", {"seeds": SEEDS, "outputs": golden})
        tolerance = round(2 * measured["keras_litert_difference"] + 1e-4, 4)
        spec = replace(spec, tolerance=tolerance, metrics=tuple(headline(measured)))
        write_json(folder / SPEC_FILE, spec.to_dict())
        (folder / "README.md").write_text(write_card(spec, measured), encoding="utf-8")
        put_in_place(folder, target)
    return ModelSpec.from_file(target / SPEC_FILE)


def largest_differences(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> dict[str, float]:
    """The largest differences between the answers of two files, by the keys of `TOLERANCE`."""
    points, pose = (np.abs(ours[name] - theirs[name]) for name in ("points", "pose"))
    return {"points": float(points[:, :-1].max()), "presence": float(points[:, -1].max()), "pose": float(pose.max())}


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m training.landmarks.release", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a finished run of training.landmarks.train")
    parser.add_argument("--data", default=os.environ.get("FACEMODELS_DATA"), help="folder of the data sets")
    parser.add_argument("--to", type=Path, help="parent of the release folder (default: RUN/release)")
    parser.add_argument("--cards", type=Path, help="also copy the card here, as <model>.md")
    parser.add_argument("--limit", type=int, help="use only this many faces of each data set")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    if not options.data:
        parser.error("give the folder of the data sets with --data or FACEMODELS_DATA")
    config = config_from(json.loads((options.folder / "config.json").read_text()))
    target = (options.to or options.folder / "release") / config.model
    spec = export(options.folder, target, options.data, options.limit)
    if options.cards:
        (options.cards / f"{config.model}.md").write_text(card_elsewhere(target, options.cards), encoding="utf-8")
    for row in spec.metrics:
        log.info("%s %s %s %.4f (%d)", row["dataset"], row["label"], row["metric"], row["value"], row["count"])


if __name__ == "__main__":
    main()
