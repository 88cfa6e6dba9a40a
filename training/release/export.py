"""Export a run folder to a release folder. No number is copied by hand."""

from __future__ import annotations

import csv
import json
import tempfile
from pathlib import Path
from typing import Any

import keras

from facemodels.hub.registry import SPEC_FILE, ModelSpec
from training.config import Config, config_from
from training.data import load
from training.release.calibrate import calibrate, correct_prior, label_priors, shift_logits
from training.release.compile import compile_serving_file, save_keras
from training.release.describe import describe
from training.train import build_network

MADE = ("config", "epochs", "chosen_epoch", "validation", "parameters", "temperatures", "prior", "serving")


def read_run(run: Path) -> tuple[Config, keras.Model]:
    """The config and the best weights of a run folder.

    Raises:
        FileNotFoundError: If the run is not finished.
    """
    for name in ("config.json", "model.keras"):
        if not (run / name).is_file():
            raise FileNotFoundError(f"{run / name} is missing: is this the folder of a finished training run?")
    config = config_from(json.loads((run / "config.json").read_text()))
    return config, keras.saving.load_model(run / "model.keras", compile=False)


def served(config: Config, model: keras.Model) -> keras.Model:
    """The network that is published: full precision, without the auxiliary heads."""
    keras.config.set_dtype_policy("float32")
    network = build_network(config, config.heads, mirrored=config.mirrored)
    for layer in network.layers:
        if layer.trainable_weights:  # fixed layers hold their weights from the start
            layer.set_weights(model.get_layer(layer.name).get_weights())
    return network


def history(run: Path, config: Config) -> dict[str, Any]:
    """How many epochs a run had, which one was selected, and its validation figures."""
    with (run / "log.csv").open(newline="") as file:
        epochs = list(csv.DictReader(file))
    name, mode = config.monitor
    values = [float(epoch[name]) for epoch in epochs]
    best = min(values) if mode == "min" else max(values)
    return {"epochs": len(epochs), "chosen_epoch": values.index(best) + 1, "validation": {name: round(best, 4)}}


def export(run: Path, target: Path, data_folder: str | Path, limit: int | None = None) -> ModelSpec:
    """Make a release folder from a run folder.

    Args:
        run: A finished run of `train.py`.
        target: Folder to make; an existing one is replaced at the end, only on success.
        data_folder: Where the data sets are (validation calibrates, test measures).
        limit: Use only this many images of each data set, for a quick try.

    Returns:
        The spec, with its measured figures.

    Raises:
        ValueError: If the two weights files disagree.
    """
    config, model = read_run(run)
    model = served(config, model)
    held_out = [load(name, "validation", data_folder, limit) for name in config.validated]
    priors = label_priors(config, data_folder, limit) if config.prior_correction or config.logit_adjustment else {}
    for head, prior in priors.items():
        # A temperature is found where scores are probabilities: under the prior of the data.
        shift_logits(model, head, prior, config.logit_adjustment)
    temperatures = calibrate(model, config, held_out)
    corrections = correct_prior(model, config, priors, held_out)
    made = {
        "config": config.to_dict(),
        **history(run, config),
        "parameters": int(model.count_params()),
        "temperatures": {
            head: temperature * corrections.get(head, {}).get("temperature", 1.0)
            for head, temperature in temperatures.items()
        },
        "prior": corrections,
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        folder = Path(temporary) / target.name
        folder.mkdir()
        save_keras(model, folder / "model.keras")
        made |= compile_serving_file(folder, config, data_folder, limit)
        describe(folder, made, data_folder, limit)
        put_in_place(folder, target)
    return ModelSpec.from_file(target / SPEC_FILE)


def put_in_place(folder: Path, target: Path) -> None:
    """Move a finished folder to its place; an older one there goes beside `folder`, which is temporary."""
    if target.exists():
        target.rename(folder.with_name(f"{folder.name}-before"))
    folder.rename(target)
