"""Train the landmarks: `python -m training.landmarks.train --data DIR`.

The network learns where the mesh sees the 68 points, how it sees the head turned, and whether there is a face at all,
from crops that are turned, loose or tight, mirrored, dark, blurred or covered. What lies outside of a training crop is
filled in several ways, so that the network cannot go by it.

Where a config freezes the whole trunk, its maps are computed once, and only what follows learns; else crops are made as
they are needed, and none is seen twice.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import keras
import numpy as np
from keras import KerasTensor, ops

from facemodels.crops import Window, cut, whole_window
from facemodels.litert import Interpreters
from training import networks
from training.config import Config, load_config
from training.data import load
from training.data.face_data import HEADS
from training.landmarks.mesh import eye_scale, fitted_window, generic_face, head_pose, labelled, targets_of
from training.release.compile import save_tflite
from training.train import BEST, callbacks, optimizer_of

log = logging.getLogger("training")

MAPS = ("fine", "coarse")  # what the trunk gives to the layers that learn
BATCH, PART = 16, 2000  # crops that the trunk sees at once, and that are kept in one file

SCALES = {"points": (*(136 * [0.1]), 1.0), "pose": (10.0, 10.0, 10.0)}  # of the outputs, in which they are learned
FRAMING = 1.3  # side of a crop relative to the reach of the face's points, before augmentation
ABSENT = 0.08  # fraction of the training crops that show no face


class Faces:
    """Faces of some data sets with the mesh's answers; those it does not see are left out.

    Attributes:
        images: RGB, ``(H, W, 3)`` uint8.
        points: ``(N, 68, 2)`` in pixels of the images.
        poses: ``(N, 3)`` degrees: yaw, pitch, roll.
        sets: ``(N,)`` names of data sets.
    """

    def __init__(
        self,
        config: Config,
        split: str,
        data_folder: str | Path,
        answers_folder: Path,
        generic: np.ndarray | None = None,
        limit: int | None = None,
    ) -> None:
        self.images: list[np.ndarray] = []
        points, sets = [], []
        for name in config.datasets:
            data = load(name, split, data_folder)
            answers = labelled(data, answers_folder)
            kept = np.flatnonzero(answers.trusted)[:limit]
            self.images += [
                data.images[i] if data.images[i].ndim == 3 else cv2.cvtColor(data.images[i], cv2.COLOR_GRAY2RGB)
                for i in kept
            ]
            points.append(answers.points[kept])
            sets += [name] * len(kept)
        found = np.concatenate(points)
        self.generic = generic_face(found[:: max(1, len(found) // 5000)]) if generic is None else generic
        self.points, self.poses, self.sets = found[:, :, :2], head_pose(found, self.generic), np.array(sets)

    def __len__(self) -> int:
        return len(self.images)

    def sample(self, count: int) -> Faces:
        """This many faces or all of them, spread evenly."""
        rows = np.linspace(0, len(self) - 1, min(count, len(self))).astype(int)
        part = copy.copy(self)
        part.images = [self.images[row] for row in rows]
        part.points, part.poses, part.sets = self.points[rows], self.poses[rows], self.sets[rows]
        return part


class Crops:
    """Augmented crops with their targets, the same again for the same seed.

    A row of ``points`` holds the 136 coordinates, whether there is a face, and the weight of the coordinates: 1 over
    the eye distance, or 0. A row of ``pose`` holds the three angles and 1, or 0 where there is no face.

    Args:
        faces: To cut from.
        config: Of the run.
    """

    def __init__(self, faces: Faces, config: Config) -> None:
        self.faces, self.config = faces, config
        # Turned heads are rare: those of more than 10 degrees are drawn up to three times as often.
        turn = np.abs(faces.poses[:, :2]).max(axis=1)
        weights = 1 + 2 * np.clip((turn - 10) / 30, 0, 1)
        rng = np.random.default_rng(config.seed)
        self.order = rng.choice(len(faces), config.epoch_size or len(faces), p=weights / weights.sum())

    def __len__(self) -> int:
        return len(self.order)

    def make(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The crop of an index, and its rows of ``points`` and ``pose``."""
        rng = np.random.default_rng((self.config.seed, index))
        row = int(self.order[index])
        if rng.random() < ABSENT:
            return self.absent(self.faces.images[row], rng), np.zeros(138, np.float32), np.zeros(4, np.float32)
        return self._present(row, rng)

    def _present(self, row: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        image, points = self.faces.images[row], self.faces.points[row]
        image, points = self._surrounded(image, points, rng)
        augment = self.config.augment
        fitted = fitted_window(points, FRAMING)
        stretch = 1 + rng.uniform(-augment.aspect, augment.aspect)
        side = fitted.width * rng.uniform(*augment.zoom)
        window = Window(
            fitted.cx + rng.uniform(-augment.shift, augment.shift) * fitted.width,
            fitted.cy + rng.uniform(-augment.shift, augment.shift) * fitted.width,
            side * stretch,
            side / stretch,
            angle=fitted.angle + float(np.clip(rng.normal(0, augment.rotation), -60, 60)),
            mirror=rng.random() < augment.mirror,
        )
        inside, pose = targets_of(points, self.faces.poses[row], window)
        weight = 1 / eye_scale(inside)
        crop = augment.light(cut(image, window, self.config.input_size), rng)
        return crop, np.array([*inside.ravel(), 1, weight], np.float32), np.array([*pose, 1], np.float32)

    def _surrounded(
        self, image: np.ndarray, points: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """The image in the middle of a larger one, and its points there."""
        chance = rng.random()
        if chance < 0.3:
            return image, points  # `cut` repeats the edge
        height, width = image.shape[:2]
        pad = max(height, width) // 2
        if chance < 0.5:
            wide = cv2.copyMakeBorder(image, pad, pad, pad, pad, cv2.BORDER_REFLECT_101)
        else:
            size = (width + 2 * pad, height + 2 * pad)
            if chance < 0.65:
                wide = np.empty((size[1], size[0], 3), np.uint8)
                wide[:] = rng.integers(0, 256, 3)
            else:
                other = self.faces.images[int(rng.integers(len(self.faces)))]
                wide = cv2.resize(other, size, interpolation=cv2.INTER_LINEAR)
            wide[pad : pad + height, pad : pad + width] = image
        return wide, points + pad

    def absent(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A crop without a face: a corner of a face, one cut into tiles and shuffled, or noise."""
        size, chance = self.config.input_size, rng.random()
        whole = whole_window(image)
        if chance < 0.45:
            side = whole.width * rng.uniform(0.2, 0.4)
            corner = rng.choice((0.0, 1.0), 2) + rng.uniform(-0.1, 0.1, 2)
            crop = cut(
                image,
                Window(corner[0] * whole.width, corner[1] * whole.height, side, side, rng.uniform(-180, 180)),
                size,
            )
        elif chance < 0.9:
            count = int(rng.integers(3, 6))
            tile = size // count
            source = cut(
                image, Window(whole.cx, whole.cy, whole.width, whole.height, rng.uniform(-180, 180)), tile * count
            )
            tiles = source.reshape(count, tile, count, tile, 3).swapaxes(1, 2).reshape(-1, tile, tile, 3)
            tiles = tiles[rng.permutation(len(tiles))].reshape(count, count, tile, tile, 3).swapaxes(1, 2)
            crop = cv2.resize(tiles.reshape(tile * count, tile * count, 3), (size, size))
        else:
            small = rng.integers(0, 256, (*rng.integers(1, 16, 2), 3)).astype(np.uint8)
            crop = cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC)
        return self.config.augment.light(crop, rng)


def points_loss(target: KerasTensor, answer: KerasTensor) -> KerasTensor:
    """The mean distance of the coordinates in eye distances, and the cross-entropy of the presence."""
    coordinates, present, weight = target[:, :136], target[:, 136], target[:, 137]
    off = ops.mean(ops.abs(answer[:, :136] - coordinates), axis=-1) * weight
    return 10 * off + 0.3 * ops.binary_crossentropy(present, answer[:, 136], from_logits=True)


def pose_loss(target: KerasTensor, answer: KerasTensor) -> KerasTensor:
    """The mean distance of the angles, in tens of degrees."""
    return ops.mean(ops.abs(answer - target[:, :3]), axis=-1) * target[:, 3] / 10


def build(config: Config) -> keras.Model:
    """The network of a config, its weights random."""
    return networks.build(
        config.network,
        {head: len(HEADS[head]) for head in config.heads},
        input_size=config.input_size,
        dropout=config.dropout,
        linear=SCALES,
        **config.network_options,
    )


def held_out_crops(faces: Faces, config: Config) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The crops of a measurement, framed as a detector would with an error of its own, and their targets.

    Returns:
        ``(N, S, S, 3)`` crops, ``(N, 68, 2)`` points as fractions of each, ``(N, 3)`` poses.
    """
    rng = np.random.default_rng(config.seed)
    crops, points, poses = [], [], []
    for image, known, pose in zip(faces.images, faces.points, faces.poses, strict=True):
        fitted = fitted_window(known, FRAMING)
        shift, turn, zoom = rng.normal(0, 0.03, 2) * fitted.width, rng.normal(0, 4), 1 + rng.normal(0, 0.05)
        window = Window(
            fitted.cx + shift[0], fitted.cy + shift[1], fitted.width * zoom, fitted.width * zoom, fitted.angle + turn
        )
        inside, seen = targets_of(known, pose, window)
        crops.append(cut(image, window, config.input_size))
        points.append(inside)
        poses.append(seen)
    return np.stack(crops), np.stack(points), np.stack(poses)


def errors(answers: dict[str, np.ndarray], points: np.ndarray, poses: np.ndarray) -> dict[str, np.ndarray]:
    """How far answers lie from the mesh's: ``(N,)`` mean distances in eye distances, and ``(N, 3)`` degrees."""
    found = answers["points"][:, :136].reshape(-1, 68, 2)
    off = np.linalg.norm(found - points, axis=2).mean(axis=1)
    scales = np.array([eye_scale(face) for face in points])
    return {"points": off / scales, "pose": np.abs((answers["pose"] - poses + 180) % 360 - 180)}


@dataclass
class Learned:
    """What the frozen trunk sees of crops, and the targets.

    Attributes:
        maps: Its maps, ``(N, S, S, channels)`` float16 each.
        targets: Head to its rows.
    """

    maps: list[np.ndarray]
    targets: dict[str, np.ndarray]


def trunk_and_head(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """The two parts of a network, sharing its layers: crops to maps, and maps to answers."""
    maps = [model.get_layer(name).input for name in ("head_fine_conv", "head_coarse_conv")]
    return keras.Model(model.input, dict(zip(MAPS, maps, strict=True))), keras.Model(maps, model.output)


def seen_by(trunk: Interpreters, crops: np.ndarray) -> list[np.ndarray]:
    """The trunk's maps of crops, in half precision."""
    parts = [trunk.run(crops[at : at + BATCH].astype(np.float32)) for at in range(0, len(crops), BATCH)]
    return [np.concatenate([part[name] for part in parts]).astype(np.float16) for name in MAPS]


def learned(crops: Crops, trunk: Interpreters, folder: Path) -> Learned:
    """Every crop as the trunk sees it; parts of `PART` crops are kept in a folder, so that this can be interrupted."""
    folder.mkdir(parents=True, exist_ok=True)
    parts: list[list[np.ndarray]] = []
    for first in range(0, len(crops), PART):
        kept = folder / f"{first}.npz"
        if not kept.is_file():
            made = [crops.make(index) for index in range(first, min(first + PART, len(crops)))]
            images, points, poses = (np.stack(column) for column in zip(*made, strict=True))
            with kept.with_suffix(".unfinished").open("wb") as file:
                np.savez(file, *seen_by(trunk, images), points, poses)
            kept.with_suffix(".unfinished").replace(kept)
            log.info("%d of %d crops seen", first + len(made), len(crops))
        with np.load(kept, allow_pickle=False) as file:
            parts.append([file[name] for name in file.files])
    fine, coarse, points, poses = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Learned([fine, coarse], {"points": points, "pose": poses})


class Batches(keras.utils.PyDataset):
    """Batches of maps and their targets, shuffled anew each epoch."""

    def __init__(self, data: Learned, config: Config, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.data, self.config, self.epoch = data, config, -1
        self.on_epoch_end()

    def __len__(self) -> int:
        return len(self.order) // self.config.batch_size

    def on_epoch_end(self) -> None:
        self.epoch += 1
        self.order = np.random.default_rng((self.config.seed, self.epoch)).permutation(len(self.data.maps[0]))

    def __getitem__(self, step: int) -> tuple[tuple[np.ndarray, ...], dict[str, np.ndarray]]:
        rows = self.order[step * self.config.batch_size : (step + 1) * self.config.batch_size]
        maps = tuple(array[rows].astype(np.float32) for array in self.data.maps)
        return maps, {head: array[rows] for head, array in self.data.targets.items()}


class NewCrops(keras.utils.PyDataset):
    """Batches of crops and their targets, `Config.epoch_size` others in each epoch."""

    def __init__(self, faces: Faces, config: Config, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.crops = Crops(faces, replace(config, epoch_size=config.epoch_size * config.epochs))
        self.config, self.epoch = config, 0

    def __len__(self) -> int:
        return self.config.epoch_size // self.config.batch_size

    def on_epoch_end(self) -> None:
        self.epoch += 1

    def __getitem__(self, step: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        # Keras may call `on_epoch_end` more often than epochs end.
        first = (self.epoch * self.config.epoch_size + step * self.config.batch_size) % len(self.crops)
        made = [self.crops.make(index) for index in range(first, first + self.config.batch_size)]
        images, points, poses = (np.stack(column) for column in zip(*made, strict=True))
        return images.astype(np.float32), {"points": points, "pose": poses}


class Validate(keras.callbacks.Callback):
    """At each epoch's end, the median errors on the validation faces, into the epoch's log."""

    def __init__(self, inputs: np.ndarray | list[np.ndarray], points: np.ndarray, poses: np.ndarray) -> None:
        super().__init__()
        self.inputs, self.points, self.poses = inputs, points, poses

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        answers = self.model.predict(self.inputs, batch_size=256, verbose=0)
        found = errors(answers, self.points, self.poses)
        assert logs is not None
        logs["val_points"] = float(np.median(found["points"]))
        logs.update(zip(("val_yaw", "val_pitch", "val_roll"), np.median(found["pose"], axis=0).tolist(), strict=True))
        logs["val_error"] = logs["val_points"] * 100 + float(np.mean(np.median(found["pose"], axis=0)))
        log.info("epoch %d: %s", epoch + 1, "  ".join(f"{k} {v:.4f}" for k, v in logs.items()))


def compiled(model: keras.Model, folder: Path) -> Interpreters:
    """A network on LiteRT, several times faster than Keras on one processor."""
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        keras_file, lite_file = Path(temporary) / "model.keras", Path(temporary) / "model.tflite"
        model.save(keras_file)
        save_tflite(keras_file, lite_file)
        return Interpreters(lite_file.read_bytes(), threads=1)


def train(config: Config, data_folder: str | Path, run: Path, limit: int | None = None) -> keras.Model:
    """Train the network and leave it in a run folder; an unfinished run goes on where it was."""
    run.mkdir(parents=True, exist_ok=True)
    (run / "config.json").write_text(json.dumps(config.to_dict(), indent=2) + "\n")
    keras.utils.set_random_seed(config.seed)
    faces = Faces(config, "train", data_folder, run.parent / "answers", limit=limit)
    held_out = Faces(config, "validation", data_folder, run.parent / "answers", faces.generic, limit)
    log.info("%d faces to learn from, %d to validate", len(faces), len(held_out))
    np.save(run / "generic_face.npy", faces.generic)

    model = build(config)
    log.info("%d layers from %s", networks.load_trained(model, config.start), config.start)
    crops, points, poses = held_out_crops(held_out, config)
    if config.freeze_blocks < config.network_options["blocks"]:
        learning, batches = model, NewCrops(faces, config, workers=2, max_queue_size=16)
        freeze(model, config.freeze_blocks)
        validate = Validate(crops.astype(np.float32), points, poses)
    else:
        trunk, learning = trunk_and_head(model)
        lite = compiled(trunk, run)
        validate = Validate(seen_by(lite, crops), points, poses)
        data = learned(Crops(faces, config), lite, run / "maps")
        batches = Batches(data, config)
        # Every face is near the mean one: begin there.
        kernel, bias = model.get_layer("points_logits").get_weights()
        present = data.targets["points"][:, 136] > 0
        bias[:136] = data.targets["points"][present, :136].mean(axis=0) / SCALES["points"][0]
        model.get_layer("points_logits").set_weights([kernel, bias])
    learning.compile(optimizer_of(config, len(batches)), {"points": points_loss, "pose": pose_loss}, jit_compile=False)
    learning.fit(batches, epochs=config.epochs, callbacks=callbacks(config, run, validate), verbose=2)
    learning.load_weights(run / BEST)
    model.save(run / "model.keras")
    return model


def freeze(model: keras.Model, blocks: int) -> None:
    """Let the stem and the first blocks keep their weights, and every normalization its statistics."""
    networks.freeze(model, blocks)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m training.landmarks.train", description=__doc__.splitlines()[0])
    parser.add_argument("config", nargs="?", default="landmarks-efficientnet", help="a file of training/configs")
    parser.add_argument("--data", default=os.environ.get("FACEMODELS_DATA"), help="folder of the data sets")
    parser.add_argument("--run", type=Path, help="run folder (default: runs/<model>)")
    parser.add_argument("--epochs", type=int, help="instead of the config's")
    parser.add_argument("--limit", type=int, help="use only this many faces of each data set")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    config = load_config(options.config)
    if options.epochs:
        config = replace(config, epochs=options.epochs)
    train(config, options.data, options.run or Path("runs") / config.model, options.limit)


if __name__ == "__main__":
    main()
