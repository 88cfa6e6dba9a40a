"""From a run folder to a release: `python -m training.export runs/emotion-efficientnet --data DIR --to
facemodels/weights`.

Calibrates on the validation split, writes `model.keras` and the `model.tflite` compiled from it, proves them equal,
measures the test sets once, and writes the spec (`config.json`), `metrics.json`, golden outputs and the card. No number
is copied by hand.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import logging
import os
import shutil
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from facemodels.crops import cut_all, whole_window
from facemodels.golden import SEEDS, golden_crops
from facemodels.models import AttributeModel
from facemodels.registry import ETHNICITY_FIVE, SPEC_FILE, Head, ModelSpec, WeightsFile
from training.card import DATASET_CARDS, write_card
from training.config import Config, config_from
from training.datasets import HEADS, FaceData, load, target_for
from training.evaluate import evaluate, headline
from training.metrics import best_temperature
from training.train import predict

log = logging.getLogger("training")

OWNER = "facemodels"
COMPARED = 200  # validation faces of each data set on which the two weights files are compared
MADE = ("config", "epochs", "chosen_epoch", "validation", "parameters", "temperatures")
TOLERANCE = 0.02  # an export whose two files differ by more, in any probability, is refused


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


def calibrate(model: keras.Model, config: Config, held_out: list[FaceData]) -> dict[str, float]:
    """Fold each head's best validation temperature into its logits; returns the temperatures."""
    predictions = [predict(model, data, config) for data in held_out]
    temperatures = {}
    for head in config.heads:
        truths, answers = [], []
        for data, predicted in zip(held_out, predictions, strict=True):
            sets = _truth_sets(head, data)
            known = sets.sum(1) < sets.shape[1]
            truths.append(sets[known])
            answers.append(predicted[head][known])
        temperatures[head] = best_temperature(np.concatenate(truths), np.concatenate(answers))
        layer = model.get_layer(f"{head}_logits")
        layer.set_weights([weight / temperatures[head] for weight in layer.get_weights()])
    return temperatures


def _truth_sets(head: str, data: FaceData) -> np.ndarray:
    """What calibration holds true: the scored label where there is one, else the head's set of possible labels."""
    if head in data.labels:
        truth = data.labels[head]
        index = np.clip(truth, 0, len(HEADS[head]) - 1).astype(int)
        sets = np.eye(len(HEADS[head]))[index]
        return np.where((truth >= 0)[:, None], sets, 1.0)
    return target_for(head, data)


def save_keras(model: keras.Model, path: Path) -> None:
    """Save with weights rounded to half precision and compressed, which halves the file; the file stays an ordinary
    `.keras`.
    """
    for variable in model.weights:
        # Moving variances may lie below what half precision holds; they are few, and stay exact.
        if "moving" not in variable.path:
            variable.assign(np.asarray(variable, np.float16).astype(np.float32))
    model.save(path)
    packed = path.with_suffix(".packed")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as target:
        for entry in source.namelist():
            # A fixed date makes the same weights the same bytes.
            target.writestr(zipfile.ZipInfo(entry), source.read(entry), zipfile.ZIP_DEFLATED, 9)
    packed.replace(path)


def save_tflite(keras_file: Path, path: Path) -> None:
    """Compile the `.keras` file for LiteRT: half-precision weights, full-precision arithmetic, any batch size."""
    import tensorflow as tf

    model = keras.saving.load_model(keras_file, compile=False)
    size = model.input_shape[1]
    signature = tf.TensorSpec((None, size, size, 3), tf.float32, name="image")

    @tf.function(input_signature=[signature])
    def serve(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return model(image, training=False)

    with tempfile.TemporaryDirectory() as folder:
        module = tf.Module()
        # Named one by one, or the saved model would hold the graph without its weights.
        module.weights, module.serve = [variable.value for variable in model.variables], serve
        tf.saved_model.save(module, folder, signatures={"serving_default": serve})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
        path.write_bytes(converter.convert())


def history(run: Path, config: Config) -> dict[str, Any]:
    """How many epochs a run had, which one was taken, and what validation said of it."""
    with (run / "log.csv").open(newline="") as file:
        epochs = list(csv.DictReader(file))
    name, mode = config.monitor
    values = [float(epoch[name]) for epoch in epochs]
    best = min(values) if mode == "min" else max(values)
    return {"epochs": len(epochs), "chosen_epoch": values.index(best) + 1, "validation": {name: round(best, 4)}}


def spec_of(config: Config, folder: Path) -> ModelSpec:
    """The spec of a folder that holds the two weights files; metrics and tolerance come later."""
    views = {"ethnicity": {"five": ETHNICITY_FIVE}}
    heads = tuple(
        Head(
            attribute=head.split("_")[0],
            output=head,
            kind="age" if head == "age" else "classification",
            labels=HEADS[head],
            views=views.get(head, {}),
        )
        for head in config.heads
    )
    files = {
        name: WeightsFile(hashlib.sha256((folder / name).read_bytes()).hexdigest(), (folder / name).stat().st_size)
        for name in ("model.keras", "model.tflite")
    }
    return ModelSpec(
        name=config.model,
        version=config.version,
        kind="attributes",
        heads=heads,
        input_size=config.input_size,
        margin=config.margin,
        offset=config.offset,
        align=True,
        repo_id=f"{OWNER}/{config.model}",
        revision=None,
        files=files,
        license="other",
        license_name="non-commercial-research",
        datasets=tuple(DATASET_CARDS[name]["title"] for name in config.datasets),
        folder=folder,
    )


def export(run: Path, target: Path, data_folder: str | Path, limit: int | None = None) -> ModelSpec:
    """Make a release folder from a run folder.

    Args:
        run: A finished run of `train.py`.
        target: Folder to make; an existing one is replaced at the end, when everything succeeded.
        data_folder: Where the data sets are (validation calibrates, test measures).
        limit: Use only this many images of each data set (for trying).

    Returns:
        The spec, with its measured figures.

    Raises:
        ValueError: If the two weights files do not agree.
    """
    config, model = read_run(run)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        folder = Path(temporary) / target.name
        folder.mkdir()
        held_out = [load(name, "validation", data_folder, limit) for name in config.datasets]
        made = {
            "config": config.to_dict(),
            **history(run, config),
            "parameters": int(model.count_params()),
            "temperatures": calibrate(model, config, held_out),
        }
        save_keras(model, folder / "model.keras")
        save_tflite(folder / "model.keras", folder / "model.tflite")
        describe(folder, made, data_folder, limit)
        if target.exists():
            shutil.rmtree(target)
        folder.rename(target)
    return ModelSpec.from_file(target / SPEC_FILE)


def describe(folder: Path, made: dict[str, Any], data_folder: str | Path, limit: int | None = None) -> None:
    """Measure the two weights files of a folder and write everything else of the release beside them.

    Args:
        folder: Holds `model.keras` and `model.tflite`.
        made: How they were made, by the names in `MADE`. It is kept in `metrics.json`.
        data_folder: Where the data sets are.
        limit: Use only this many images of each data set.

    Raises:
        ValueError: If the two files do not agree.
    """
    config = config_from(made["config"])
    spec = spec_of(config, folder)
    golden = golden_crops(config.input_size)
    lite, exact = AttributeModel(spec), AttributeModel(spec, backend="keras")
    outputs = exact.probabilities(golden)
    faces = [image for name in config.datasets for image in load(name, "validation", data_folder, COMPARED).images]
    crops = np.concatenate([golden, cut_all(faces, [whole_window(face) for face in faces], config.input_size)])
    ours, theirs = lite.probabilities(crops), exact.probabilities(crops)
    difference = max(float(np.abs(ours[name] - theirs[name]).max()) for name in ours)
    if not difference <= TOLERANCE:  # so written that NaN is refused too
        raise ValueError(
            f"model.tflite differs from model.keras by {difference} in a probability (at most {TOLERANCE})"
        )

    synthetic = config.datasets == ("synthetic",)
    measured = {"tests": []} if synthetic else evaluate(spec, data_folder, limit=limit)
    measured.update(keras_litert_difference=difference, **made)
    # Other pictures may differ a little more than those compared here.
    spec = replace(spec, metrics=tuple(headline(measured)), tolerance=round(1.5 * difference + 1e-4, 4))
    write_json(folder / SPEC_FILE, spec.to_dict())
    write_json(folder / "metrics.json", measured)
    answers = {name: np.round(rows, 6).tolist() for name, rows in outputs.items()}
    write_json(folder / "golden.json", {"seeds": SEEDS, "outputs": answers})
    (folder / "README.md").write_text(write_card(spec, config, measured), encoding="utf-8")


def write_json(path: Path, data: Any) -> None:
    """Write JSON, indented, with a newline at the end."""
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m training.export", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a finished training run; or a release, to measure it again")
    parser.add_argument("--data", default=os.environ.get("FACEMODELS_DATA"), help="folder of the data sets")
    parser.add_argument("--to", type=Path, help="parent of the release folder (default: RUN/release)")
    parser.add_argument("--cards", type=Path, help="also copy the card here, as <model>.md")
    parser.add_argument("--limit", type=int, help="use only this many images of each data set")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")

    again = (options.folder / "metrics.json").is_file()
    if again:
        made = json.loads((options.folder / "metrics.json").read_text())
        made = {key: made[key] for key in MADE}
    else:
        made = {"config": json.loads((options.folder / "config.json").read_text())}
    config = config_from(made["config"])
    if not options.data and config.datasets != ("synthetic",):
        parser.error("give the folder of the data sets with --data or FACEMODELS_DATA")
    target = options.folder if again else (options.to or options.folder / "release") / config.model
    if again:
        describe(target, made, options.data or ".", options.limit)
    else:
        export(options.folder, target, options.data or ".", options.limit)
    if options.cards:
        shutil.copyfile(target / "README.md", options.cards / f"{config.model}.md")
    for row in ModelSpec.from_file(target / SPEC_FILE).metrics:
        log.info("%s %s %s %.4f (%d)", row["dataset"], row["label"], row["metric"], row["value"], row["count"])
    log.info("%s", target)


if __name__ == "__main__":
    main()
