"""Accuracy of models on your own labelled faces: `python -m facemodels evaluate FOLDER_OR_CSV`.

Labels come from folder names or a csv (`labels`), predictions from `FaceAnalyzer`, figures from `metrics`; every model
predicts the same faces. `report` turns the result into tables and figures.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from facemodels import __version__
from facemodels.analyzer import FaceAnalyzer
from facemodels.attributes import ATTRIBUTES, is_numeric
from facemodels.detection import FaceDetector, make_detector
from facemodels.errors import ArgumentError, DataError, ImageError
from facemodels.evaluation import metrics
from facemodels.evaluation.labels import LabelledImage, read_labels
from facemodels.evaluation.tables import all_problems
from facemodels.hub import store
from facemodels.hub.registry import DEFAULT_MODELS, ModelSpec
from facemodels.images import read_image
from facemodels.types import Classification, Estimate, Face

SCHEMA = 1
POSE = "pose"  # a group that is not a column: the yaw of the head by the landmarks model
POSES = ("0-14", "15-29", "30-44", "45 or more")  # degrees
MAX_GROUPS = 50  # a column with more values holds names, not groups

Answered = tuple[LabelledImage, dict[str, Face]]  # an image, and its face as each model perceives it


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation.

    Attributes:
        report: Plain data, as in ``report.json``.
        answers: One dict per face, attribute and model: the true label, the prediction, and its score (for
            ages, the expected error).
    """

    report: dict[str, Any]
    answers: list[dict[str, Any]]


def evaluate(
    source: str | os.PathLike[str],
    models: Sequence[str | Path] = (),
    *,
    crops: bool = False,
    groups: Sequence[str] = (),
    detector: str | Path | FaceDetector = "auto",
    min_score: float = 0.6,
    backend: str = "litert",
    skip_unreadable: bool = False,
    progress: Callable[[Sequence[LabelledImage]], Iterable[LabelledImage]] = iter,
) -> Evaluation:
    """Measure models on labelled images.

    Args:
        source: A folder ``Category/*.jpg`` or ``Attribute/Category/*.jpg`` (subfolders too), or a csv file with a
            column `path` (relative to it) and one or more of `emotion`, `age` (years), `gender`, `ethnicity`; an empty
            cell is "not known". Columns `x1`, `y1`, `x2` and `y2` select a face of a photo.
        models: See `FaceAnalyzer`; none means the default models. Each is measured on every attribute that it
            answers and that is labelled.
        crops: Whether the images are already cropped to one face. Otherwise they are photos, and the largest face is
            used, unless the csv selects one.
        groups: More columns of the csv to make tables by; ``pose`` makes one by how many degrees heads are turned
            sideways. Labelled attributes are always taken.
        detector: See `FaceAnalyzer`.
        min_score: Score threshold of the detector, 0..1.
        backend: ``litert`` or ``keras``.
        skip_unreadable: Count images that cannot be read; without it they are an error, which lists them.
        progress: Wraps the list of images, to show progress.

    Returns:
        The figures, and every single prediction.

    Raises:
        DataError: If a folder, column, label or image is malformed; the message names the file and the line.
        ArgumentError: If an argument does not fit, or no model answers what is labelled.
        UnknownModelError: If a model is not known.

    Example:
        >>> evaluate("faces/", ["emotion-efficientnet"], crops=True).report["pictures"]      # doctest: +SKIP
        240
    """
    references = list(models) or list(dict.fromkeys(DEFAULT_MODELS.values()))
    specs = [store.resolve(reference) for reference in references]
    columns = [name for name in groups if name != POSE]
    images, unused = read_labels(source, columns)
    for name in columns:
        if len(values := {image.groups[name] for image in images}) > MAX_GROUPS:
            raise DataError(f"{source}:1: the column {name} has {len(values)} values; groups are at most {MAX_GROUPS}")
    labelled = [name for name in ATTRIBUTES if any(name in image.labels for image in images)]
    chosen = {
        name: (reference, spec)
        for name, reference, spec in zip(_names(references, specs), references, specs, strict=True)
        if set(spec.attributes) & set(labelled)
    }
    if not chosen:
        asked = ", ".join(map(str, references))
        raise ArgumentError(f"{source} labels {', '.join(labelled)}; none of these models answers that: {asked}")
    analyzers = {}
    for name, (reference, spec) in chosen.items():
        wanted = [attribute for attribute in labelled if attribute in spec.attributes]
        of_all = dict.fromkeys(wanted, reference)
        analyzers[name] = FaceAnalyzer(wanted, models=of_all, detector=None, backend=backend, min_score=min_score)
    finder = None if crops else make_detector(detector)
    poser = FaceAnalyzer([POSE], detector=None, backend=backend) if POSE in groups else None

    faces: list[Answered] = []
    without_face, unreadable = [], []
    for image in progress(images):
        try:
            pixels = read_image(image.path)
        except ImageError as error:
            message = f"{image.where}: {error}" if image.where else str(error)
            unreadable.append(message)
            continue
        if unreadable and not skip_unreadable:
            continue  # only to name all of those that cannot be read
        face = None if finder is None else image.choose(finder.detect(pixels, min_score))
        if finder is not None and face is None:
            without_face.append(str(image.path))
            continue

        def answer(one: FaceAnalyzer, pixels: np.ndarray = pixels, face: Face | None = face) -> Face:
            return one.analyze_crops([pixels])[0] if face is None else one.analyze(pixels, boxes=[face]).faces[0]

        if poser is not None:
            image = replace(image, groups={**image.groups, POSE: _turned(answer(poser))})
        faces.append((image, {name: answer(one) for name, one in analyzers.items()}))
    if unreadable and not skip_unreadable:
        raise DataError(f"{all_problems(unreadable)}. Repair or remove them, or use --skip-unreadable")
    if not faces:
        hint = "are they already cropped to one face? Then use --crops" if without_face else "none could be read"
        raise DataError(f"{source}: no face in any of {len(images)} images; {hint}")

    measured: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    for attribute in labelled:
        labels = {
            name: spec.head(attribute).labels for name, (_, spec) in chosen.items() if attribute in spec.attributes
        }
        scored = [(image, answers) for image, answers in faces if attribute in image.labels]
        if labels and scored:
            measured[attribute], more = measure(attribute, scored, labels)
            rows += more
    report = {
        "schema": SCHEMA,
        "facemodels": __version__,
        "source": str(source),
        "models": list(chosen),
        "backend": backend,
        "crops": crops,
        "detector": None if finder is None else getattr(finder, "name", type(finder).__name__),
        "min_score": None if crops else min_score,
        "pictures": len(images),
        "faces": len(faces),
        "without_face": without_face,
        "unreadable": unreadable,
        "columns_not_used": unused,
        "labels_not_measured": [name for name in labelled if name not in measured],
        "attributes": measured,
    }
    return Evaluation(report, rows)


def _names(references: Sequence[str | Path], specs: Sequence[ModelSpec]) -> list[str]:
    """The name of each model, ``name@version#head``, with its origin where two names would be equal."""
    ids = [spec.answering for spec in specs]
    names = [
        spec.answering if ids.count(spec.answering) == 1 else f"{spec.answering} ({reference})"
        for reference, spec in zip(references, specs, strict=True)
    ]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ArgumentError(f"the model {twice[0]} was given twice")
    return names


# --- figures ---------------------------------------------------------------------------------------------------------


def measure(
    attribute: str, scored: Sequence[Answered], labels_of: Mapping[str, Sequence[str]]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The figures of one attribute, from faces that were already analyzed.

    Args:
        attribute: The attribute.
        scored: Images with a label of it, each with its face as each model perceives it.
        labels_of: Model to the labels of its head.

    Returns:
        The content of ``report["attributes"]``, with a result per model, and every prediction behind it.
    """
    images = [image for image, _ in scored]
    truth = [image.labels[attribute] for image in images]
    answers = {name: [getattr(faces[name], attribute) for _, faces in scored] for name in labels_of}
    numeric = is_numeric(attribute)
    labels: tuple[str, ...] = ()
    if not numeric:
        truth, answers, labels = comparable(attribute, truth, answers, list(labels_of.values()))
    groups = _groups(images, attribute)
    results, rights = [], {}
    for name in labels_of:
        if numeric:
            result, right = _measure_numbers(np.array(truth, float), answers[name])
        else:
            result, right = _measure_classes(truth, answers[name], labels)
        rights[name] = right
        results.append({"model": name, "count": len(truth), **result, "groups": _by_group(groups, right, numeric)})
    first, *others = labels_of
    measured = {
        "kind": ATTRIBUTES[attribute].kind.name,
        "labels": list(labels),
        "results": results,
        # On the same faces, so what both get right or wrong cancels out.
        "differences": [
            {
                "model": name,
                "against": first,
                "difference": float((rights[name] - rights[first]).mean()),
                "interval": metrics.mean_interval(rights[name] - rights[first]),
            }
            for name in others
        ],
    }
    return measured, list(_rows(attribute, images, truth, answers))


def comparable(
    attribute: str, truth: list[str], answers: dict[str, list[Classification]], answered: Sequence[Sequence[str]]
) -> tuple[list[str], dict[str, list[Classification]], tuple[str, ...]]:
    """Truth and predictions in one set of labels: in a view's groups if the labels or a model have only those."""
    row = ATTRIBUTES[attribute]
    used = {*truth, *(label for labels in answered for label in labels)}
    for groups in row.views.values():
        if used & (set(groups.values()) - set(row.labels)):
            view = {**groups, **{label: label for label in used if label not in groups}}
            regrouped = {name: [answer.regroup(view) for answer in values] for name, values in answers.items()}
            return [view[label] for label in truth], regrouped, tuple(dict.fromkeys(view.values()))
    return truth, answers, row.labels


def _measure_classes(
    truth: Sequence[str], answers: Sequence[Classification], labels: tuple[str, ...]
) -> tuple[dict[str, Any], np.ndarray]:
    """Figures, and per face whether the prediction is right. A label unknown to a model has probability 0."""
    index = np.array([labels.index(label) for label in truth])
    probabilities = np.array([[answer.scores.get(label, 0.0) for label in labels] for answer in answers])
    table = metrics.class_table(index, probabilities, labels)
    present = [row for row in table.values() if row["support"]]
    fraction = metrics.accuracy(index, probabilities)
    return {
        "accuracy": fraction,
        "accuracy_interval": metrics.wilson_interval(fraction, len(index)),
        "macro_f1": float(np.mean([row["f1"] for row in present])),
        "balanced_accuracy": metrics.macro_recall(index, probabilities),
        "calibration_error": metrics.calibration_error(index, probabilities),
        "calibration": metrics.calibration(index, probabilities),
        "classes": table,
        "confusion": metrics.confusion(index, probabilities),
        "cannot_answer": sorted(set(truth) - set(answers[0].scores), key=labels.index),
    }, (probabilities.argmax(1) == index).astype(float)


def _measure_numbers(truth: np.ndarray, answers: Sequence[Estimate]) -> tuple[dict[str, Any], np.ndarray]:
    """Figures in the attribute's unit, and the error per face."""
    values = np.array([answer.value for answer in answers])
    off = np.abs(values - truth)
    return {
        "mae": float(off.mean()),
        "mae_interval": metrics.mean_interval(off),
        "median_error": float(np.median(off)),
        "bias": float((values - truth).mean()),
        "expected_error": float(np.mean([answer.error for answer in answers])),
    }, off


def _groups(images: Sequence[LabelledImage], attribute: str) -> dict[str, list[str]]:
    """Group name to each image's value (empty where unknown): labelled attributes first, numbers by tens.

    The attribute itself is left out, unless it is numeric: its table of classes has the same content.
    """
    groups: dict[str, list[str]] = {}
    for name in ATTRIBUTES:
        numeric = is_numeric(name)
        values = [image.labels.get(name, "") for image in images]
        if len(set(values)) > 1 and (numeric or name != attribute):
            groups[name] = [_decade(value) for value in values] if numeric else values
    for name in images[0].groups:
        groups[name] = [image.groups[name] for image in images]
    return groups


def _turned(face: Face) -> str:
    """One of POSES."""
    assert face.pose is not None
    return POSES[min(int(abs(face.pose.yaw) // 15), len(POSES) - 1)]


def _decade(age: str) -> str:
    first = int(float(age or 0)) // 10 * 10
    return f"{first}-{first + 9}" if age else ""


def _by_group(groups: dict[str, list[str]], values: np.ndarray, numeric: bool) -> dict[str, dict[str, dict[str, Any]]]:
    """In every group the mean of `values` (one per face), its interval and its count."""
    tables: dict[str, dict[str, dict[str, Any]]] = {}
    for name, members in groups.items():
        tables[name] = {}
        for group in sorted(set(members) - {""}, key=_natural):
            inside = values[np.array(members) == group]
            mean, count = float(inside.mean()), len(inside)
            interval = metrics.mean_interval(inside) if numeric else metrics.wilson_interval(mean, count)
            tables[name][group] = {"value": mean, "interval": interval, "count": count}
    return tables


def _natural(group: str) -> tuple[int, str]:
    """Sorts "0-9" before "10-19", and both before words."""
    number = re.match(r"\d+", group)
    return (int(number.group()) if number else 10**9), group


def _rows(
    attribute: str, images: Sequence[LabelledImage], truth: Sequence[str], answers: dict[str, list[Any]]
) -> Iterable[dict[str, Any]]:
    for name, values in answers.items():
        for image, label, answer in zip(images, truth, values, strict=True):
            said, score = (answer.value, answer.error) if isinstance(answer, Estimate) else (answer.label, answer.score)
            yield {
                **{"path": str(image.path), "attribute": attribute, "model": name},
                **{"truth": label, "answer": said, "score": score},
            }
