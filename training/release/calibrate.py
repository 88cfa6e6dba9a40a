"""Calibrated scores: temperatures and the prior correction, folded into the logits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from facemodels.attributes import is_numeric
from facemodels.evaluation.metrics import accuracy
from training.config import Config
from training.data import load
from training.data.face_data import HEADS, FaceData, target_for
from training.drawing import adjusted, label_frequencies
from training.evaluate import DISTURBANCES, disturbed
from training.metrics import (
    best_prior_correction,
    best_temperature,
    classifications,
    interval_temperature,
    macro_recall_of_common,
    tempered,
    without_prior,
)
from training.train import predict


def calibrate(model: keras.Model, config: Config, held_out: list[FaceData]) -> dict[str, float]:
    """Fold each head's best validation temperature into its logits; returns the temperatures.

    Ages get the temperature at which the 80 % interval holds 80 % of the known ages; other heads the most likely one,
    every data set counting the same.
    """
    predictions = [predict(model, data, config) for data in held_out]
    temperatures = {}
    for head in config.heads:
        aged = [(data, p[head]) for data, p in zip(held_out, predictions, strict=True) if head in data.labels]
        if is_numeric(head) and aged:
            temperatures[head] = interval_temperature(
                np.concatenate([data.labels[head] for data, _ in aged]), np.concatenate([p for _, p in aged])
            )
        else:
            truths, answers, weights = [], [], []
            for data, predicted in zip(held_out, predictions, strict=True):
                sets = _truth_sets(head, data)
                known = sets.sum(1) < sets.shape[1]
                truths.append(sets[known])
                answers.append(predicted[head][known])
                weights.append(np.full(known.sum(), 1 / max(known.sum(), 1)))
            temperatures[head] = best_temperature(
                np.concatenate(truths), np.concatenate(answers), np.concatenate(weights)
            )
        temper_logits(model, head, temperatures[head])
    return temperatures


def _truth_sets(head: str, data: FaceData) -> np.ndarray:
    """Targets of the calibration: the scored label where there is one, else the head's set of possible labels."""
    if head in data.labels:
        truth = data.labels[head]
        index = np.clip(truth, 0, len(HEADS[head]) - 1).astype(int)
        sets = np.eye(len(HEADS[head]))[index]
        return np.where((truth >= 0)[:, None], sets, 1.0)
    return target_for(head, data)


def label_priors(config: Config, data_folder: str | Path, limit: int | None = None) -> dict[str, np.ndarray]:
    """The label frequencies in training for each published emotion head: the mean of those of its data sets.

    Not of all faces together: they would follow the largest data set, and the correction is for all of them.
    """
    parts = [load(name, "train", data_folder, limit) for name in config.datasets]
    priors = {}
    for head in filter(adjusted, config.heads):
        rows = [target_for(head, part) for part in parts]
        # A data set without this label says nothing of it.
        prior = np.mean([label_frequencies(one) for one in rows if (one.sum(1) < 1.5).any()], axis=0)
        priors[head] = np.round(prior / prior.sum(), 6)
    return priors


def temper_logits(model: keras.Model, head: str, temperature: float) -> None:
    """Divide a head's logits by a temperature."""
    layer = model.get_layer(f"{head}_logits")
    layer.set_weights([weight / temperature for weight in layer.get_weights()])


def shift_logits(model: keras.Model, head: str, prior: np.ndarray, power: float) -> None:
    """Multiply a head's probabilities by ``prior ** power`` (before normalization), through its bias."""
    layer = model.get_layer(f"{head}_logits")
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel, bias + power * np.log(prior)])


def correct_prior(
    model: keras.Model, config: Config, priors: dict[str, np.ndarray], held_out: list[FaceData]
) -> dict[str, Any]:
    """Correct the logits for the label prior, by the strength chosen on validation (`metrics.best_prior_correction`).

    Its images count as they are and under each of `DISTURBANCES`.

    Returns:
        For each head its prior, the strength, the temperature that comes before it, and accuracy and macro recall on
        validation without and with the correction.
    """

    def answered(parts: list[FaceData]) -> list[tuple[FaceData, dict[str, np.ndarray]]]:
        return [(data, predict(model, data, config)) for data in parts]

    worse = [
        replace(data, images=disturbed(data.images, name, np.random.default_rng(0)))
        for data in (held_out if priors else ())
        for name in DISTURBANCES
    ]
    plain_answers, worse_answers = answered(held_out), answered(worse)
    corrected = {}
    for head, prior in priors.items():
        scored, worse_scored = (
            [(data.name, classifications(data, predicted)[head]) for data, predicted in answers if head in data.labels]
            for answers in (plain_answers, worse_answers)
        )
        strength, temperature = best_prior_correction(
            prior, [one for _, one in scored], [one for _, one in worse_scored]
        )
        temper_logits(model, head, temperature)
        shift_logits(model, head, prior, -strength)
        corrected[head] = {
            "prior": prior.tolist(),
            "strength": strength,
            "temperature": temperature,
            "validation": {
                name: {
                    key: [
                        round(measure(truth, without_prior(tempered(answers, temperature), prior, power)), 4)
                        for power in (0.0, strength)
                    ]
                    for key, measure in (("accuracy", accuracy), ("macro_recall", macro_recall_of_common))
                }
                for name, (truth, answers) in scored
            },
        }
    return corrected
