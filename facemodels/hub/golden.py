"""Golden outputs: a release carries its answers for a few pictures made from seeds, so that anybody can compare."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facemodels.errors import WeightsError
from facemodels.models import AttributeModel

SEEDS = (0, 1, 2)


def golden_crops(size: int, seeds: Sequence[int] = SEEDS) -> np.ndarray:
    """Smooth pictures made from a seed, for comparing outputs anywhere: ``(len(seeds), size, size, 3)`` uint8."""
    ramp = np.linspace(0, 1, size)
    crops = []
    for seed in seeds:
        a, b, c, d = np.random.default_rng(seed).uniform(1, 5, (4, 1, 1, 3))
        wave = np.sin(a * 3 * ramp[:, None, None] + c) * np.cos(b * 3 * ramp[None, :, None] + d)
        crops.append(np.round(127.5 + 120 * wave).astype(np.uint8))
    return np.stack(crops)


def golden_difference(model: AttributeModel, path: Path) -> float:
    """How far a model's probabilities are from those in a `golden.json`.

    Args:
        model: The model, loaded.
        path: The file: seeds, and per output the probabilities.

    Returns:
        The largest absolute difference.

    Raises:
        WeightsError: If the file cannot be read or names other outputs.
    """
    try:
        golden = json.loads(path.read_text(encoding="utf-8"))
        expected = {name: np.array(rows, np.float32) for name, rows in golden["outputs"].items()}
        outputs = model.probabilities(golden_crops(model.spec.input_size, golden["seeds"]))
        if set(outputs) != set(expected):
            raise ValueError(f"it has the outputs {sorted(expected)}, the model {sorted(outputs)}")
        return max(float(np.abs(outputs[name] - expected[name]).max()) for name in outputs)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{path} does not hold the golden outputs of {model.spec.id}: {error}") from error
