"""Distillation: predictions of teachers for every training crop, mixed into the targets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import keras
import numpy as np

from facemodels.crops import cut_all, whole_window
from facemodels.hub import store
from training import networks
from training.config import Config, config_from
from training.drawing import adjusted


def taught(config: Config, images: Sequence[np.ndarray], folder: Path | None = None) -> dict[str, np.ndarray]:
    """The mean prediction of a config's teachers for every crop and its mirror image.

    Args:
        config: Of the run.
        images: Crops.
        folder: Where predictions are cached, a file for each teacher and set of images.

    Returns:
        ``(N, outputs)`` for each learned head, averaged over those teachers that have it.
    """
    answers: dict[str, list[np.ndarray]] = {}
    for reference in config.teachers:
        for head, probabilities in answers_of(reference, images, folder).items():
            answers.setdefault(head, []).append(probabilities)
    found = {head: np.mean(rows, axis=0) for head, rows in answers.items()}
    return {head: rows for head, rows in found.items() if head in config.learned}


def answers_of(reference: str, images: Sequence[np.ndarray], folder: Path | None = None) -> dict[str, np.ndarray]:
    """The mean prediction of one teacher for every crop and its mirror image; `folder` as in `taught`."""
    teacher = networks.open_trained(reference)
    kept = None
    if folder is not None:
        digest = hashlib.sha256()
        for array in (*teacher.get_weights(), *images):
            digest.update(str(array.shape).encode() + array.tobytes())
        kept = folder / f"{Path(reference).name}-{digest.hexdigest()[:16]}.npz"
        if kept.is_file():
            with np.load(kept, allow_pickle=False) as file:
                return dict(file)
    mirrored = any(layer.name == networks.BOTH for layer in teacher.layers)  # has seen the mirror image already
    answers: dict[str, list[np.ndarray]] = {}
    for turned in (False,) if mirrored else (False, True):
        seen = [np.fliplr(image) if turned else image for image in images]
        crops = cut_all(seen, [whole_window(image) for image in seen], teacher.input_shape[1])
        predicted = teacher.predict(crops, batch_size=128, verbose=0)
        if "emotion_fer2013" in predicted:
            # Four of the seven, renormalized.
            four = predicted["emotion_fer2013"][:, 3:]
            predicted.setdefault("emotion4", four / four.sum(1, keepdims=True))
        for head, probabilities in predicted.items():
            answers.setdefault(head, []).append(probabilities)
    found = {head: np.mean(rows, axis=0) for head, rows in answers.items()}
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        unfinished = kept.with_name(f"unfinished-{kept.name}")
        np.savez(unfinished, **found)
        unfinished.replace(kept)
    return found


def answering(config: Config) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """A function from augmented crops, ``(N, H, W, 3)`` RGB 0..255, to the mean prediction of a config's teachers.

    See `Config.consistent`; its result is like that of `taught`.
    """
    models = [networks.open_trained(reference) for reference in config.teachers]

    def answer(crops: np.ndarray) -> dict[str, np.ndarray]:
        answers: dict[str, list[np.ndarray]] = {}
        for teacher in models:
            size = teacher.input_shape[1]
            seen = crops if crops.shape[1] == size else np.stack([cv2.resize(crop, (size, size)) for crop in crops])
            for head, rows in teacher(seen, training=False).items():
                answers.setdefault(head, []).append(keras.ops.convert_to_numpy(rows))
        return {head: np.mean(rows, axis=0) for head, rows in answers.items() if head in config.learned}

    return answer


def prior_strength(reference: str, head: str) -> float:
    """How far the predictions of a trained network are without the label prior: 0 not at all, 1 entirely.

    Args:
        reference: As of `networks.open_trained`.
        head: One of its heads.
    """
    run = Path(reference)
    if (run / "metrics.json").is_file() or not (run / "config.json").is_file():  # a release
        return next((one.prior_strength for one in store.resolve(reference).heads if one.output == head), 0.0)
    config = config_from(json.loads((run / "config.json").read_text("utf-8")))
    return config.logit_adjustment if adjusted(head) else 0.0


def teachers_leave_prior_out(config: Config, head: str) -> bool:
    """Whether the predictions of a config's teachers are without the label prior, as with its `logit_adjustment`.

    Raises:
        ValueError: If they differ in that, or fit neither: their mean would be meaningless.
    """
    strengths = {prior_strength(reference, head) for reference in config.teachers}
    if strengths not in ({0.0}, {config.logit_adjustment}):
        raise ValueError(
            f"{config.model}: of {head}, its teachers leave out the prior by {', '.join(map(str, sorted(strengths)))}; "
            f"take such that all leave out none of it, or {config.logit_adjustment:g}"
        )
    return strengths != {0.0}


def with_prior(answers: np.ndarray, log_prior: np.ndarray) -> np.ndarray:
    """Put the label prior back into predictions, ``(N, outputs)``; `log_prior` has a row for each."""
    rows = answers * np.exp(log_prior)
    return rows / rows.sum(1, keepdims=True)


def distilled(targets: dict[str, np.ndarray], answers: dict[str, np.ndarray], share: float) -> dict[str, np.ndarray]:
    """Targets mixed with the teachers' predictions, weighted by `share`.

    A set of possible labels is replaced by the prediction within it; "not known" stays as it is.
    """
    mixed = dict(targets)
    for head, answer in answers.items():
        target = targets[head]
        sets = target.sum(1, keepdims=True) > 1.5
        within = target * answer
        within /= np.maximum(within.sum(1, keepdims=True), 1e-9)
        known = target.sum(1, keepdims=True) < target.shape[1] - 0.5
        mixed[head] = np.where(sets, np.where(known, within, target), (1 - share) * target + share * answer).astype(
            np.float32
        )
    return mixed
