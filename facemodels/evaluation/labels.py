"""Pictures and what is true of them: a folder per label, or a csv file with a line per picture.

Category/*.jpg                  happy/1.jpg
Attribute/Category/*.jpg        Emotion/happy/1.jpg, Gender/female/2.jpg
faces.csv                       path,emotion,age,gender,ethnicity
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from facemodels.errors import ArgumentError, DataError
from facemodels.evaluation.tables import read_table
from facemodels.hub.registry import EMOTIONS, ETHNICITIES, ETHNICITY_FIVE, GENDERS, ModelSpec
from facemodels.types import ATTRIBUTES

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
MAX_AGE = 130  # years
FIVE_GROUPS = tuple(dict.fromkeys(ETHNICITY_FIVE.values()))

Known = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class LabelledPicture:
    """One picture and what is true of it.

    Attributes:
        path: The picture.
        labels: Attribute to label; ages are years, as text.
        groups: Group column to this picture's value.
        where: ``file:line`` that named it, empty for a picture found in a folder.
    """

    path: Path
    labels: dict[str, str]
    groups: dict[str, str] = field(default_factory=dict)
    where: str = ""


def known_labels(specs: Iterable[ModelSpec]) -> dict[str, tuple[str, ...]]:
    """Attribute to the labels it can have: those of facemodels, and what models answer besides. Ages are numbers."""
    known = {
        "emotion": EMOTIONS,
        "gender": GENDERS,
        "ethnicity": tuple(dict.fromkeys((*ETHNICITIES, *FIVE_GROUPS))),
    }
    for spec in specs:
        for head in spec.heads:
            if head.kind == "classification":
                known[head.attribute] = tuple(dict.fromkeys((*known[head.attribute], *head.labels)))
    return known


def read_labels(
    source: str | os.PathLike[str], groups: Sequence[str] = (), known: Known | None = None
) -> tuple[list[LabelledPicture], list[str]]:
    """The pictures of a folder or csv with their labels, checked, in order.

    Args:
        source: As of `evaluate`.
        groups: Columns of the csv to keep as groups.
        known: Attribute to its labels; those of facemodels by default.

    Returns:
        The pictures, and the columns of the csv that were not used.

    Raises:
        DataError: If something is missing or not a label; the message names the file and the line.
        ArgumentError: If groups are asked of a folder.
    """
    known = known_labels(()) if known is None else known
    path = Path(source)
    if not path.is_dir():
        return _from_csv(path, groups, known)
    if groups:
        raise ArgumentError(f"--group {groups[0]}: only a csv has columns, and {path} is a folder")
    return _from_folder(path, known), []


def _from_folder(folder: Path, known: Known) -> list[LabelledPicture]:
    inside = _folders(folder)
    attributes = [entry for entry in inside if _plain(entry.name) in ATTRIBUTES]
    if attributes and len(attributes) < len(inside):
        other = next(entry for entry in inside if entry not in attributes)
        raise DataError(
            f"{other}: is not an attribute; beside {attributes[0].name}/ only {', '.join(ATTRIBUTES)} can be"
        )
    trees = {_plain(entry.name): _folders(entry) for entry in attributes} or {
        _attribute_of(folder, inside, known): inside
    }
    pictures = []
    for attribute, categories in trees.items():
        if not categories:
            raise DataError(f"{folder}: {attribute} has no folder per label; known: {_shown(attribute, known)}")
        for category in categories:
            label = _label(attribute, category.name, str(category), known)
            files = sorted(path for path in category.rglob("*") if _is_picture(path, category))
            if not files:
                raise DataError(f"{category}: holds no picture ({', '.join(IMAGE_SUFFIXES)}); fill or remove it")
            pictures += [LabelledPicture(file, {attribute: label}) for file in files]
    return pictures


def _folders(folder: Path) -> list[Path]:
    """The folders directly inside, by name.

    Raises:
        DataError: If pictures lie beside or instead of them: they would have no label.
    """
    inside = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    if stray := [entry for entry in inside if _is_picture(entry, folder)]:
        raise DataError(f"{stray[0]}: has no label; pictures belong into a folder named by theirs, or into a csv")
    return [entry for entry in inside if entry.is_dir()]


def _is_picture(path: Path, root: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
    return path.suffix.lower() in IMAGE_SUFFIXES and path.is_file() and not hidden


def _attribute_of(folder: Path, categories: Sequence[Path], known: Known) -> str:
    """The attribute that folder names are labels of.

    Raises:
        DataError: If they are labels of none; the message names the first that fits least.
    """
    names = [_plain(entry.name) for entry in categories]
    fits = {name: sum(entry in labels for entry in names) for name, labels in known.items()}
    fits["age"] = sum(_is_age(entry) for entry in names)
    best = max(fits, key=lambda name: fits[name])
    if not fits[best]:
        choices = "; ".join(f"{name}: {_shown(name, known)}" for name in ATTRIBUTES)
        found = ", ".join(entry.name for entry in categories[:5]) or "no folder"
        raise DataError(f"{folder}: expected a folder per label, found {found}. Known labels: {choices}")
    return best


def _from_csv(file: Path, groups: Sequence[str], known: Known) -> tuple[list[LabelledPicture], list[str]]:
    pictures: list[LabelledPicture] = []
    seen: dict[Path, str] = {}
    unused: list[str] = []
    for where, row in read_table(file, ("path", *groups)):
        columns = [name for name in ATTRIBUTES if name in row]
        if not columns:
            raise DataError(f"{file}:1: no column of labels ({', '.join(ATTRIBUTES)}); it has: {', '.join(row)}")
        unused = [name for name in row if name not in ("path", *columns, *groups)]
        path = file.parent / row["path"]
        if not row["path"] or not path.is_file():
            raise DataError(f"{where}: no such picture: {path}")
        if path in seen:
            raise DataError(f"{where}: {row['path']} already stands in {seen[path]}")
        seen[path] = where
        labels = {name: _label(name, row[name], where, known) for name in columns if row[name]}
        pictures.append(LabelledPicture(path, labels, {name: row[name] for name in groups}, where))
    if not any(picture.labels for picture in pictures):
        raise DataError(f"{file}: labels no picture")
    return pictures, unused


def _label(attribute: str, text: str, where: str, known: Known) -> str:
    """The label that a word means.

    Raises:
        DataError: If it means none; the message begins with `where`.
    """
    label = _plain(text)
    if not (_is_age(label) if attribute == "age" else label in known[attribute]):
        raise DataError(f"{where}: {attribute} {text!r} is out of range; known: {_shown(attribute, known)}")
    return label


def _plain(name: str) -> str:
    """``East Asian`` and ``east-asian`` are ``east_asian``."""
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def _is_age(text: str) -> bool:
    return re.fullmatch(r"\d{1,3}(\.\d+)?", text) is not None and float(text) <= MAX_AGE


def _shown(attribute: str, known: Known) -> str:
    return f"years, 0..{MAX_AGE}" if attribute == "age" else ", ".join(known[attribute])
