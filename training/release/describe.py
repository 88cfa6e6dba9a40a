"""Everything in a release but its weights: the spec, the measurements, golden outputs, figures and the card."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from facemodels.attributes import ALL_ATTRIBUTES
from facemodels.crops import cut_all, whole_window
from facemodels.hub.golden import SEEDS, golden_crops
from facemodels.hub.registry import SPEC_FILE, Head, ModelSpec, WeightsFile
from facemodels.models import AttributeModel
from training.config import Config, config_from
from training.data import load
from training.data.face_data import HEADS
from training.evaluate import evaluate, headline
from training.release.card import DATASET_CARDS, licence_of, write_card
from training.release.figures import write_figures

OWNER = "facemodels"
OWN = {"synthetic", "manifest"}  # have no test set that others know; `python -m facemodels evaluate` measures
COMPARED = 200  # validation faces of each data set on which the two weights files are compared
# An export whose two files differ by more is refused: in any probability, and on average.
TOLERANCE = {"float16": (0.02, 0.002), "int8": (0.6, 0.02)}


def spec_of(config: Config, folder: Path, priors: Mapping[str, Mapping[str, Any]] = MappingProxyType({})) -> ModelSpec:
    """The spec of a folder that holds the two weights files; metrics and tolerance come later.

    Args:
        config: What was trained.
        folder: Holds the weights.
        priors: As from `correct_prior`.
    """
    heads = tuple(
        Head(
            attribute=attribute,
            output=head,
            kind=ALL_ATTRIBUTES[attribute].kind.name,
            labels=HEADS[head],
            views=ALL_ATTRIBUTES[attribute].views,
            prior=tuple(priors[head]["prior"]) if head in priors else (),
            prior_strength=priors[head]["strength"] if head in priors else 0.0,
        )
        for head in config.heads
        for attribute in ("emotion" if head.startswith("emotion") else head,)
    )
    files = {
        name: WeightsFile(hashlib.sha256((folder / name).read_bytes()).hexdigest(), (folder / name).stat().st_size)
        for name in ("model.keras", "model.tflite")
    }
    licence, licence_name = licence_of(config)
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
        license=licence,
        license_name=licence_name,
        datasets=tuple(DATASET_CARDS[name]["title"] for name in config.datasets),
        folder=folder,
    )


def describe(folder: Path, made: dict[str, Any], data_folder: str | Path, limit: int | None = None) -> None:
    """Measure the two weights files of a folder and write the rest of the release beside them.

    Args:
        folder: Holds `model.keras` and `model.tflite`.
        made: How they were made, by the names in `MADE`. It is kept in `metrics.json`.
        data_folder: Where the data sets are.
        limit: Use only this many images of each data set.

    Raises:
        ValueError: If the two files disagree.
    """
    config = config_from(made["config"])
    spec = spec_of(config, folder, made.get("prior", {}))
    golden = golden_crops(config.input_size)
    lite, exact = AttributeModel(spec, trusted=True), AttributeModel(spec, backend="keras", trusted=True)
    outputs = exact.probabilities(golden)
    faces = [image for name in config.datasets for image in load(name, "validation", data_folder, COMPARED).images]
    crops = np.concatenate([golden, cut_all(faces, [whole_window(face) for face in faces], config.input_size)])
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
    write_json(folder / "metrics.json", measured, indent=0)  # half the size
    answers = {name: np.round(rows, 6).tolist() for name, rows in outputs.items()}
    write_json(folder / "golden.json", {"seeds": SEEDS, "outputs": answers})
    write_figures(measured, folder)
    # Other images may differ slightly more than those compared here.
    write_spec_and_card(folder, replace(spec, tolerance=round(1.5 * largest + 1e-4, 4)), config, measured)


def write_spec_and_card(folder: Path, spec: ModelSpec, config: Config, measured: dict[str, Any]) -> None:
    """Write the spec of a release with its measurements, and the card from the spec and the figures in the folder."""
    write_json(folder / SPEC_FILE, replace(spec, metrics=tuple(headline(measured))).to_dict())
    figures = sorted(path.name for path in folder.glob("*.png"))
    card = write_card(ModelSpec.from_file(folder / SPEC_FILE), config, measured, figures)
    (folder / "README.md").write_text(card, encoding="utf-8")


def card_elsewhere(release: Path, folder: Path) -> str:
    """The card of a release for another folder, with links to the figures in the release."""
    text = (release / "README.md").read_text(encoding="utf-8")
    return re.sub(r"\]\((?=[\w-]+\.png\))", f"]({Path(os.path.relpath(release, folder)).as_posix()}/", text)


def write_json(path: Path, data: Any, indent: int = 2) -> None:
    """Write JSON, a line for each value, with a newline at the end."""
    path.write_text(json.dumps(data, indent=indent) + "\n", encoding="utf-8")
