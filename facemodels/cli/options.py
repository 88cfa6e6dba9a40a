"""Options that several commands have."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from facemodels.errors import ArgumentError


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Declare how faces are found and models run."""
    parser.add_argument("--detector", default="auto", help="auto, libfacedetection, yunet, haar, or a YuNet .onnx file")
    parser.add_argument("--backend", default="litert", choices=("litert", "keras"), help="default: %(default)s")
    parser.add_argument(
        "--min-score", type=float, default=0.6, help="score threshold of a face, 0..1 (default: %(default)s)"
    )


def check_detector(name: str) -> str:
    """The name of a detector, if there is one of it.

    Raises:
        ArgumentError: If there is none.
    """
    from facemodels.detection import DETECTORS

    if name != "auto" and name not in DETECTORS and not name.endswith(".onnx"):
        raise ArgumentError(
            f"unknown detector {name!r}; known: auto, {', '.join(DETECTORS)}, or the path of YuNet's .onnx file"
        )
    return name


def parse_models(pairs: Iterable[str]) -> dict[str, str | Path] | None:
    """``["age=NAME"]`` as a dict; None if there is nothing.

    Raises:
        ArgumentError: If one of them is written otherwise.
    """
    from facemodels.hub.registry import DEFAULT_MODELS, get_spec

    models: dict[str, str | Path] = {}
    for pair in pairs:
        attribute, separator, model = pair.partition("=")
        if not separator or not model:
            example = get_spec(DEFAULT_MODELS["age"]).id
            raise ArgumentError(f"--model {pair}: write ATTRIBUTE=MODEL, for example age={example}")
        models[attribute] = model
    return models or None
