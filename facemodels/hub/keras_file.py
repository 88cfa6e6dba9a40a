"""Inspect a `.keras` file without Keras: whether loading it could run code or exhaust the memory."""

from __future__ import annotations

import io
import reprlib
import zipfile
from collections.abc import Iterator
from typing import Any

from facemodels.hub.fields import parse_json

# What a .keras file is made of, and how large that may be when unpacked.
KERAS_PARTS = ["config.json", "metadata.json", "model.weights.h5"]
MAX_UNPACKED_BYTES = 2**30

# Where layers and what belongs to them come from. Keras finds more under its name, functions that download files too.
MODULES = {
    *("keras", "keras.activations", "keras.constraints", "keras.dtype_policies", "keras.initializers", "keras.layers"),
    *("keras.models", "keras.regularizers", "keras.src.models.functional", "keras.src.models.sequential"),
}
TOP_LEVEL = {"DTypePolicy", "Functional", "Input", "Model", "Sequential"}
REFUSED = {
    *("Lambda", "__lambda__", "function", "FlaxLayer", "JaxLayer", "TFSMLayer", "TorchModuleWrapper"),  # run code
    *("IntegerLookup", "StringLookup", "TextVectorization"),  # read vocabularies from files
}


def keras_problems(content: bytes) -> Iterator[str]:
    """The parts of a `.keras` file that could run code, or exhaust the memory, when it is loaded."""
    try:
        objects = _read(content)
    except ValueError as error:
        yield str(error)
        return
    for part in objects:
        name, module = str(part["class_name"]), str(part.get("module") or "")
        if name == "__keras_tensor__":
            continue
        if module not in MODULES or name in REFUSED or (module == "keras" and name not in TOP_LEVEL):
            yield (
                f"holds {reprlib.repr(name)} of module {reprlib.repr(module)}, "
                "which is not built into Keras, or can run code or open files"
            )


def _read(content: bytes) -> list[dict[str, Any]]:
    """The serialized objects in the config of a `.keras` file; ValueError if it is none."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            names, size = sorted(entry.filename for entry in entries), sum(entry.file_size for entry in entries)
            if names != KERAS_PARTS or size > MAX_UNPACKED_BYTES:
                raise ValueError(f"holds {reprlib.repr(names)} ({size:,} bytes), not what Keras saves")
            return list(_objects(parse_json(archive.read("config.json"))))
    except ValueError:
        raise
    except Exception as error:  # what zipfile and its decompressors raise for a damaged archive is an open list
        raise ValueError(f"is not a Keras file: {error}") from error


def _objects(config: Any) -> Iterator[dict[str, Any]]:
    """Every serialized object inside a Keras config."""
    if isinstance(config, dict):
        if "class_name" in config:
            yield config
        for value in config.values():
            yield from _objects(value)
    elif isinstance(config, list):
        for value in config:
            yield from _objects(value)
