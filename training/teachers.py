"""Distillation: what teachers answer to every training crop, and targets with their answers mixed in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facemodels.crops import cut_all, whole_window
from facemodels.hub import store
from training import networks
from training.config import Config, config_from
from training.drawing import adjusted


def taught(config: Config, images: Sequence[np.ndarray], folder: Path | None = None) -> dict[str, np.ndarray]:
    """What the teachers of a config say of every crop, on average over them and over the crop and its mirror image.

    Args:
        config: Of the run.
        images: Crops.
        folder: Where answers are kept, a file for each teacher and set of images.

    Returns:
        ``(N, outputs)`` for each learned head, averaged over those teachers that answer it.
    """
    answers: dict[str, list[np.ndarray]] = {}
    for reference in config.teachers:
        for head, probabilities in answers_of(reference, images, folder).items():
            answers.setdefault(head, []).append(probabilities)
    found = {head: np.mean(rows, axis=0) for head, rows in answers.items()}
    return {head: rows for head, rows in found.items() if head in config.learned}


def answers_of(reference: str, images: Sequence[np.ndarray], folder: Path | None = None) -> dict[str, np.ndarray]:
    """One teacher's answers to every crop and its mirror image, on average; `folder` as in `taught`."""
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
        said = teacher.predict(crops, batch_size=128, verbose=0)
        if "emotion_fer2013" in said:
            # The four of the seven, given that it is one of them.
            four = said["emotion_fer2013"][:, 3:]
            said.setdefault("emotion4", four / four.sum(1, keepdims=True))
        for head, probabilities in said.items():
            answers.setdefault(head, []).append(probabilities)
    found = {head: np.mean(rows, axis=0) for head, rows in answers.items()}
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        unfinished = kept.with_name(f"unfinished-{kept.name}")
        np.savez(unfinished, **found)
        unfinished.replace(kept)
    return found


def prior_strength(reference: str, head: str) -> float:
    """How far a trained network leaves the prior of the labels out of its answers: 0 not at all, 1 wholly.

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
    """Whether a config's teachers leave the prior out of their answers, as its `logit_adjustment` wants it left out.

    Raises:
        ValueError: If they leave out some of it, or only some of them do: their mean says nothing then.
    """
    strengths = {prior_strength(reference, head) for reference in config.teachers}
    if strengths not in ({0.0}, {config.logit_adjustment}):
        raise ValueError(
            f"{config.model}: of {head}, its teachers leave out the prior by {', '.join(map(str, sorted(strengths)))}; "
            f"take such that all leave out none of it, or {config.logit_adjustment:g}"
        )
    return strengths != {0.0}


def with_prior(answers: np.ndarray, log_prior: np.ndarray) -> np.ndarray:
    """Answers that leave the prior out, ``(N, outputs)``, as they are with it; `log_prior` has a row for each."""
    rows = answers * np.exp(log_prior)
    return rows / rows.sum(1, keepdims=True)


def distilled(targets: dict[str, np.ndarray], answers: dict[str, np.ndarray], share: float) -> dict[str, np.ndarray]:
    """Targets with a share of the teacher's answers mixed in.

    Of a set of possible labels the teacher's answer within it is taken whole; what is not known stays so.
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
