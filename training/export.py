"""From a run folder to a release: `python -m training.export runs/emotion-efficientnet --data DIR --to
facemodels/weights`.

Calibrates on the validation split, writes `model.keras` and the `model.tflite` compiled from it, proves them equal,
measures the test sets once, and writes the spec (`config.json`), `metrics.json`, golden outputs and the card. No number
is copied by hand.
"""

from __future__ import annotations

import argparse
import csv
import functools
import hashlib
import io
import json
import logging
import os
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from facemodels.attributes import ETHNICITY_FIVE
from facemodels.crops import cut_all, whole_window
from facemodels.errors import FaceModelsError
from facemodels.hub.golden import SEEDS, golden_crops
from facemodels.hub.registry import SPEC_FILE, Head, ModelSpec, WeightsFile
from facemodels.models import AttributeModel
from training.card import DATASET_CARDS, write_card
from training.config import Config, config_from
from training.datasets import HEADS, FaceData, load, target_for
from training.evaluate import evaluate, headline
from training.metrics import best_temperature, head_metrics, interval_temperature
from training.networks import BOTH
from training.pictures import write_pictures
from training.train import build_network, predict

log = logging.getLogger("training")

OWNER = "facemodels"
OWN = {"synthetic", "folder", "manifest"}  # have no test set that others know; `python -m facemodels evaluate` measures
COMPARED = 200  # validation faces of each data set on which the two weights files are compared
EXAMPLES = 150  # training faces of each data set that show int8 the range of every activation; 60 left it to chance
MADE = ("config", "epochs", "chosen_epoch", "validation", "parameters", "temperatures", "serving")
# An export whose two files differ by more is refused: in any probability, and on average.
TOLERANCE = {"float16": (0.02, 0.002), "int8": (0.6, 0.02)}


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
    """Fold each head's best validation temperature into its logits; returns the temperatures.

    Ages get the temperature at which the 80 % interval holds 80 % of the known ages; other heads the most likely one,
    every data set counting the same.
    """
    predictions = [predict(model, data, config) for data in held_out]
    temperatures = {}
    for head in config.heads:
        aged = [(data, p[head]) for data, p in zip(held_out, predictions, strict=True) if head in data.labels]
        if head == "age" and aged:
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


def served(config: Config, model: keras.Model) -> keras.Model:
    """The network that is published: full precision, without the heads that only helped to learn."""
    keras.config.set_dtype_policy("float32")
    network = build_network(config, config.heads, mirrored=config.mirrored)
    for layer in network.layers:
        if layer.trainable_weights:  # fixed layers hold their weights from the start
            layer.set_weights(model.get_layer(layer.name).get_weights())
    return network


def save_keras(model: keras.Model, path: Path) -> None:
    """Save with weights rounded to bfloat16's eight bits of precision and compressed, to less than half of the size.

    The file stays an ordinary `.keras`.
    """
    for variable in model.weights:
        variable.assign(_rounded(np.array(variable)))
    model.save(path)
    packed = path.with_suffix(".packed")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as target:
        for entry in source.namelist():
            content = source.read(entry)
            # A fixed date makes the same weights the same bytes.
            content = _squeezed(content) if entry.endswith(".h5") else content
            target.writestr(zipfile.ZipInfo(entry), content, zipfile.ZIP_DEFLATED, 9)
    packed.replace(path)


def _rounded(values: np.ndarray) -> np.ndarray:
    """float32 rounded to the nearest bfloat16; other types as they are."""
    if values.dtype != np.float32:
        return values
    bits = values.view(np.uint32)
    return ((bits + np.uint32(1 << 15)) & np.uint32(0xFFFF0000)).view(np.float32)


def _squeezed(content: bytes) -> bytes:
    """An HDF5 file with its large arrays shuffled and compressed, which every reader undoes by itself."""
    packed = io.BytesIO()
    with h5py.File(io.BytesIO(content)) as source, h5py.File(packed, "w") as target:

        def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Dataset):
                large = {"chunks": item.shape, "compression": "gzip", "compression_opts": 9, "shuffle": True}
                made = target.create_dataset(name, data=item[()], **(large if item.size > 64 else {}))
            else:
                made = target.require_group(name)
            made.attrs.update(item.attrs)

        target.attrs.update(source.attrs)
        source.visititems(copy)
    return packed.getvalue()


def save_tflite(keras_file: Path, path: Path, examples: np.ndarray | None = None) -> None:
    """Compile the `.keras` file for LiteRT, for any batch size.

    Args:
        keras_file: What to compile.
        path: The file to write.
        examples: ``(N, S, S, 3)`` training crops that show the range of every activation: weights and activations
            then become int8, except in the heads, whose many small probabilities need full precision. Without them,
            half-precision weights and full-precision arithmetic.
    """
    import tensorflow as tf

    model = keras.saving.load_model(keras_file, compile=False)
    size = model.input_shape[1]
    signature = tf.TensorSpec((None, size, size, 3), tf.float32, name="image")

    mirrored = any(layer.name == BOTH for layer in model.layers)
    answer = in_one_batch(model) if mirrored else functools.partial(model, training=False)
    serve = tf.function(answer, input_signature=[signature])

    with tempfile.TemporaryDirectory() as folder:
        module = tf.Module()
        # Named one by one, or the saved model would hold the graph without its weights.
        module.weights, module.serve = [variable.value for variable in model.variables], serve
        tf.saved_model.save(module, folder, signatures={"serving_default": serve})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if examples is None:
            converter.target_spec.supported_types = [tf.float16]
            path.write_bytes(converter.convert())
            return

        def show() -> Iterator[list[np.ndarray]]:
            for example in examples:
                yield [example[None].astype(np.float32)]

        converter.representative_dataset = show
        options = tf.lite.experimental.QuantizationDebugOptions(denylisted_ops=["FULLY_CONNECTED", "SOFTMAX"])
        quantizer = tf.lite.experimental.QuantizationDebugger(
            converter=converter, debug_dataset=show, debug_options=options
        )
        path.write_bytes(quantizer.get_nondebug_quantized_model())


def in_one_batch(model: keras.Model) -> Callable[[Any], dict[str, Any]]:
    """A mirrored network that sends both views through its trunk in one batch.

    Compiled as it stands, one view after the other, it would have every second layer stored twice, in two roundings.
    """
    both = model.get_layer(BOTH)
    trunk, heads = keras.Model(model.input, both.input[0]), keras.Model(both.output, model.output)

    def answer(image: Any) -> dict[str, Any]:
        views = keras.ops.concatenate([image, keras.ops.flip(image, axis=2)], axis=0)
        seen, turned = keras.ops.split(trunk(views, training=False), 2, axis=0)
        return heads((seen + turned) / 2, training=False)

    return answer


def compile_serving_file(folder: Path, config: Config, data_folder: str | Path, limit: int | None) -> dict[str, Any]:
    """Compile `model.tflite`: int8 where validation loses next to nothing by it, half precision otherwise.

    Returns:
        What was decided and why: the validation figures of both.
    """
    half, whole, path = folder / "float16.tflite", folder / "int8.tflite", folder / "model.tflite"
    save_tflite(folder / "model.keras", half)
    shown = [image for name in config.datasets for image in load(name, "train", data_folder, EXAMPLES).images]
    save_tflite(folder / "model.keras", whole, _crops(shown, config))
    held_out = [load(name, "validation", data_folder, limit) for name in config.datasets]
    figures: dict[str, dict[str, float]] = {}
    for candidate in (half, whole):
        candidate.replace(path)
        model = AttributeModel(spec_of(config, folder), trusted=True)
        figures[candidate.stem] = {
            f"{data.name} {name}": value
            for data in held_out
            for name, value in head_metrics(data, model.probabilities(_crops(data.images, config))).items()
        }
        path.replace(candidate)
    kept = "int8" if int8_is_as_good(**figures) else "float16"
    (folder / f"{kept}.tflite").replace(path)
    for rest in (half, whole):
        rest.unlink(missing_ok=True)
    log.info("serving file: %s; validation %s", kept, figures)
    return {"serving": {"file": kept, "validation": figures}}


def int8_is_as_good(float16: dict[str, float], int8: dict[str, float]) -> bool:
    """Whether int8 costs at most 0.3 points of accuracy and 0.05 years, each on average over what was measured.

    One figure alone says less: a handful of borderline faces move it by more than that, either way.
    """
    for ending, least in (("accuracy", -0.003), ("mae", -0.05)):
        gains = [int8[name] - value for name, value in float16.items() if name.endswith(ending)]
        if gains and np.mean(gains) * (-1 if ending == "mae" else 1) < least:
            return False
    return True


def _crops(images: list[np.ndarray], config: Config) -> np.ndarray:
    """Crops as evaluation makes them."""
    return cut_all(images, [whole_window(image) for image in images], config.input_size)


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
            attribute="emotion" if head.startswith("emotion") else head,
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
    model = served(config, model)
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
        made.update(compile_serving_file(folder, config, data_folder, limit))
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
    lite, exact = AttributeModel(spec, trusted=True), AttributeModel(spec, backend="keras", trusted=True)
    outputs = exact.probabilities(golden)
    faces = [image for name in config.datasets for image in load(name, "validation", data_folder, COMPARED).images]
    crops = np.concatenate([golden, _crops(faces, config)])
    ours, theirs = lite.probabilities(crops), exact.probabilities(crops)
    differences = [np.abs(ours[name] - theirs[name]) for name in ours]
    largest, mean = max(float(d.max()) for d in differences), max(float(d.mean()) for d in differences)
    allowed = TOLERANCE[made["serving"]["file"]]
    if not (largest <= allowed[0] and mean <= allowed[1]):  # so written that NaN is refused too
        raise ValueError(
            f"model.tflite differs from model.keras by up to {largest}, on average {mean} in a probability "
            f"(at most {allowed[0]} and {allowed[1]})"
        )

    measured: dict[str, Any] = {"tests": []}
    if not set(config.datasets) <= OWN:
        measured = evaluate(spec, data_folder, limit=limit, disturb=True)
        measured["float_tests"] = headline(evaluate(spec, data_folder, backend="keras", limit=limit))
    measured.update(keras_litert_difference=largest, keras_litert_mean_difference=mean, **made)
    write_json(folder / "metrics.json", measured)
    answers = {name: np.round(rows, 6).tolist() for name, rows in outputs.items()}
    write_json(folder / "golden.json", {"seeds": SEEDS, "outputs": answers})
    write_pictures(measured, folder)
    # Other pictures may differ a little more than those compared here.
    write_spec_and_card(folder, replace(spec, tolerance=round(1.5 * largest + 1e-4, 4)), config, measured)


def write_spec_and_card(folder: Path, spec: ModelSpec, config: Config, measured: dict[str, Any]) -> None:
    """Write the spec of a release with the figures that were measured, and the card from it and the pictures there."""
    write_json(folder / SPEC_FILE, replace(spec, metrics=tuple(headline(measured))).to_dict())
    pictures = sorted(path.name for path in folder.glob("*.png"))
    card = write_card(ModelSpec.from_file(folder / SPEC_FILE), config, measured, pictures)
    (folder / "README.md").write_text(card, encoding="utf-8")


def card_elsewhere(release: Path, folder: Path) -> str:
    """The card of a release for another folder: its pictures stay where they are."""
    text = (release / "README.md").read_text(encoding="utf-8")
    return re.sub(r"\]\((?=[\w-]+\.png\))", f"]({Path(os.path.relpath(release, folder)).as_posix()}/", text)


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
    parser.add_argument("--card-only", action="store_true", help="write only spec and card anew, measuring nothing")
    parser.add_argument("--limit", type=int, help="use only this many images of each data set")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")

    again = (options.folder / "metrics.json").is_file()
    if again:
        measured = json.loads((options.folder / "metrics.json").read_text())
        made = {key: measured[key] for key in MADE}
    else:
        made = {"config": json.loads((options.folder / "config.json").read_text())}
    config = config_from(made["config"])
    if options.card_only and not again:
        parser.error(f"{options.folder} holds no metrics.json: only a release has a card")
    if not options.data and not options.card_only and config.datasets != ("synthetic",):
        parser.error("give the folder of the data sets with --data or FACEMODELS_DATA")
    target = options.folder if again else (options.to or options.folder / "release") / config.model
    try:
        if options.card_only:
            write_spec_and_card(target, ModelSpec.from_file(target / SPEC_FILE), config, measured)
        elif again:
            describe(target, made, options.data or ".", options.limit)
        else:
            export(options.folder, target, options.data or ".", options.limit)
    except FaceModelsError as error:
        sys.exit(f"error: {error}")
    if options.cards:
        (options.cards / f"{config.model}.md").write_text(card_elsewhere(target, options.cards), encoding="utf-8")
    for row in ModelSpec.from_file(target / SPEC_FILE).metrics:
        log.info("%s %s %s %.4f (%d)", row["dataset"], row["label"], row["metric"], row["value"], row["count"])
    log.info("%s", target)


if __name__ == "__main__":
    main()
