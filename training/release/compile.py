"""The two weights files of a release: `model.keras`, and the `model.tflite` compiled from it."""

from __future__ import annotations

import functools
import io
import logging
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from facemodels.crops import cut_all, whole_window
from facemodels.models import AttributeModel
from training.config import Config
from training.data import load
from training.metrics import head_metrics
from training.networks import BOTH
from training.release.describe import spec_of

log = logging.getLogger("training")
EXAMPLES = 150  # training faces of each data set that show int8 the range of every activation; 60 left it to chance


def save_keras(model: keras.Model, path: Path) -> None:
    """Save with weights rounded to bfloat16's eight bits of precision and compressed, to a third of the size.

    The result is an ordinary `.keras` file.
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
    """float32 rounded to eight significant bits; other types as they are."""
    if values.dtype != np.float32:
        return values
    bits = values.view(np.uint32)
    return ((bits + np.uint32(1 << 15)) & np.uint32(0xFFFF0000)).view(np.float32)


def _squeezed(content: bytes) -> bytes:
    """An HDF5 file with its large arrays shuffled and compressed, which every HDF5 reader handles."""
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

    Compiled as it is, one view after the other, it would store every second layer twice, rounded differently.
    """
    both = model.get_layer(BOTH)
    trunk, heads = keras.Model(model.input, both.input[0]), keras.Model(both.output, model.output)

    def answer(image: Any) -> dict[str, Any]:
        views = keras.ops.concatenate([image, keras.ops.flip(image, axis=2)], axis=0)
        seen, turned = keras.ops.split(trunk(views, training=False), 2, axis=0)
        return heads((seen + turned) / 2, training=False)

    return answer


def compile_serving_file(folder: Path, config: Config, data_folder: str | Path, limit: int | None) -> dict[str, Any]:
    """Compile `model.tflite`: int8 if it costs next to nothing on validation, half precision otherwise.

    Returns:
        The decision and the validation figures of both.
    """
    half, whole, path = folder / "float16.tflite", folder / "int8.tflite", folder / "model.tflite"
    save_tflite(folder / "model.keras", half)
    shown = [image for name in config.datasets for image in load(name, "train", data_folder, EXAMPLES).images]
    save_tflite(folder / "model.keras", whole, _crops(shown, config))
    held_out = [load(name, "validation", data_folder, limit) for name in config.validated]
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
    """Whether int8 costs at most 0.30 points of accuracy and 0.05 years, each on average over what was measured.

    A single figure is too noisy: a handful of borderline faces move it by more than that, either way.
    """
    for ending, least in (("accuracy", -0.003), ("mae", -0.05)):
        gains = [int8[name] - value for name, value in float16.items() if name.endswith(ending)]
        if gains and round(float(np.mean(gains)) * (-1 if ending == "mae" else 1), 4) < least:
            return False
    return True


def _crops(images: list[np.ndarray], config: Config) -> np.ndarray:
    """Crops as in evaluation."""
    return cut_all(images, [whole_window(image) for image in images], config.input_size)
