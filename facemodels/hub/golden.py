"""Golden outputs: the outputs of a release for a few images made from seeds, for anybody to compare."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facemodels.errors import WeightsError
from facemodels.hub.fields import parse_json
from facemodels.hub.store import MAX_TEXT_BYTES
from facemodels.models import AttributeModel

SEEDS = (0, 1, 2)
MOST_SEEDS = 100


def golden_crops(size: int, seeds: Sequence[int] = SEEDS) -> np.ndarray:
    """Smooth images made from seeds, for comparing outputs anywhere: ``(len(seeds), size, size, 3)`` uint8."""
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
        if path.stat().st_size > MAX_TEXT_BYTES:
            raise ValueError(f"it is larger than {MAX_TEXT_BYTES:,} bytes")
        golden = parse_json(path.read_bytes())
        if len(golden["seeds"]) > MOST_SEEDS:
            raise ValueError(f"it has {len(golden['seeds']):,} seeds, and {MOST_SEEDS} are allowed")
        expected = {name: np.array(rows, np.float32) for name, rows in golden["outputs"].items()}
        outputs = model.probabilities(golden_crops(model.spec.input_size, golden["seeds"]))
        if set(outputs) != set(expected):
            raise ValueError(f"it has the outputs {sorted(expected)}, the model {sorted(outputs)}")
        return max(float(np.abs(outputs[name] - expected[name]).max()) for name in outputs)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path} does not hold the golden outputs of {model.spec.id}: {error}") from error
