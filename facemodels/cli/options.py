"""Options shared by several commands."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from facemodels.attributes import ATTRIBUTES, ON_REQUEST
from facemodels.errors import ArgumentError

if TYPE_CHECKING:
    from facemodels.analyzer import FaceAnalyzer


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the detector and the backend."""
    parser.add_argument(
        "--detector",
        default="auto",
        help="auto (the default), the name of a detector (an unknown one lists them), or a YuNet .onnx file",
    )
    parser.add_argument("--backend", default="litert", choices=("litert", "keras"), help="default: %(default)s")
    parser.add_argument(
        "--min-score", type=float, default=0.6, help="score threshold of a face, 0..1 (default: %(default)s)"
    )


def add_analyzer_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the settings of a `FaceAnalyzer`."""
    parser.add_argument(
        "--attributes",
        default=",".join(ATTRIBUTES),
        help=f"comma-separated (default: %(default)s); {', '.join(ON_REQUEST)} on request",
    )
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="ATTRIBUTE=MODEL",
        help="use this model for an attribute (repeatable)",
    )
    add_model_options(parser)
    parser.add_argument("--max-faces", type=int, metavar="N", help="keep only this many faces per photo, the largest")
    parser.add_argument(
        "--min-quality", type=float, default=0.0, metavar="Q", help="keep only faces of at least this quality, 0..1"
    )


def make_analyzer(options: argparse.Namespace, threads: int | None = None) -> FaceAnalyzer:
    """The analyzer that these options describe.

    Raises:
        FaceModelsError: If an option is wrong, or a model cannot be loaded.
    """
    from facemodels.analyzer import FaceAnalyzer

    if options.max_faces is not None and options.max_faces < 1:
        raise ArgumentError(f"--max-faces must be at least 1, not {options.max_faces}")
    return FaceAnalyzer(
        [name.strip() for name in options.attributes.split(",") if name.strip()],
        models=parse_models(options.model),
        detector=check_detector(options.detector),
        backend=options.backend,
        min_score=options.min_score,
        max_faces=options.max_faces,
        min_quality=options.min_quality,
        threads=threads,
    )


def parse_fps(text: str) -> float:
    """Parse frames per second; ``all`` becomes infinity.

    Raises:
        ArgumentTypeError: If it is not a number above 0.
    """
    try:
        number = math.inf if text == "all" else float(text)
    except ValueError:
        number = 0.0
    if not number > 0:
        raise argparse.ArgumentTypeError(f"it must be a number above 0, or all; got {text!r}")
    return number


def check_detector(name: str) -> str:
    """Check the name of a detector and return it.

    Raises:
        ArgumentError: If it is unknown.
    """
    from facemodels.detection import DETECTORS

    if name != "auto" and name not in DETECTORS and not name.endswith(".onnx"):
        raise ArgumentError(
            f"unknown detector {name!r}; known: auto, {', '.join(DETECTORS)}, or the path of YuNet's .onnx file"
        )
    return name


def parse_models(pairs: Iterable[str]) -> dict[str, str | Path] | None:
    """Parse ``["age=NAME"]`` into a dict; None if the list is empty.

    Raises:
        ArgumentError: If one has another form.
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
