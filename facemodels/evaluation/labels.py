"""Labelled images: a folder per label, or a CSV file with a row per image.

Category/*.jpg                  happy/1.jpg
Attribute/Category/*.jpg        Emotion/happy/1.jpg, Gender/female/2.jpg
faces.csv                       path,emotion,age,gender,ethnicity
faces.csv, several to a photo   path,x1,y1,x2,y2,emotion,age,gender,ethnicity
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from facemodels.attributes import ATTRIBUTES
from facemodels.errors import ArgumentError, DataError
from facemodels.evaluation.tables import all_problems, read_table
from facemodels.image_formats import image_suffixes
from facemodels.types import Box, Face
from facemodels.values import normalize_label

BOX = ("x1", "y1", "x2", "y2")  # columns of a csv that select a face of a photo
SAME_FACE = 0.4  # intersection over union of a box and a face that was found


@dataclass(frozen=True)
class LabelledImage:
    """An image and its true labels.

    Attributes:
        path: The image.
        labels: Attribute to label; ages are years, as text.
        groups: Group column to this image's value.
        box: Position of the labelled face, in pixels; None if it is the largest one.
        where: ``file:line`` of its row, empty for an image found in a folder.
    """

    path: Path
    labels: dict[str, str]
    groups: dict[str, str] = field(default_factory=dict)
    where: str = ""
    box: Box | None = None

    def choose(self, found: Sequence[Face]) -> Face | None:
        """The labelled face among the detected ones, largest first; None if there is none.

        If the labels have a box, it is the face that overlaps it most, or the box itself if none does.
        """
        box = self.box
        if box is None:
            return found[0] if found else None
        best = max(found, key=lambda face: face.box.iou(box), default=None)
        return best if best is not None and best.box.iou(box) >= SAME_FACE else Face(box)


def read_labels(source: str | os.PathLike[str], groups: Sequence[str] = ()) -> tuple[list[LabelledImage], list[str]]:
    """Read and check the images of a folder or csv with their labels, in order.

    Args:
        source: See `evaluate`.
        groups: Columns of the csv to keep as groups.

    Returns:
        The images, and the columns of the csv that were not used.

    Raises:
        DataError: If something is missing or is not a label; the message names the file and the line.
        ArgumentError: If groups are given for a folder.
    """
    path = Path(source)
    if not path.is_dir():
        return _from_csv(path, groups)
    if groups:
        raise ArgumentError(f"--group {groups[0]}: only a csv has columns, and {path} is a folder")
    return _from_folder(path), []


def _from_folder(folder: Path) -> list[LabelledImage]:
    inside = _folders(folder)
    attributes = [entry for entry in inside if normalize_label(entry.name) in ATTRIBUTES]
    if attributes and len(attributes) < len(inside):
        other = next(entry for entry in inside if entry not in attributes)
        raise DataError(
            f"{other}: is not an attribute; beside {attributes[0].name}/ only {', '.join(ATTRIBUTES)} can be"
        )
    trees = {normalize_label(entry.name): _folders(entry) for entry in attributes} or {
        _attribute_of(folder, inside): inside
    }
    images = []
    for attribute, categories in trees.items():
        if not categories:
            raise DataError(f"{folder}: {attribute} has no folder per label; known: {ATTRIBUTES[attribute].label_text}")
        for category in categories:
            label = _label(attribute, category.name, str(category))
            files = sorted(path for path in category.rglob("*") if _is_image(path, category))
            if not files:
                raise DataError(f"{category}: contains no images; add some, or remove the folder")
            images += [LabelledImage(file, {attribute: label}) for file in files]
    return images


def _folders(folder: Path) -> list[Path]:
    """The folders directly inside, by name.

    Raises:
        DataError: If images lie beside or instead of them: they would have no label.
    """
    inside = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    if stray := [entry for entry in inside if _is_image(entry, folder)]:
        raise DataError(
            f"{stray[0]}: has no label; put it into a folder named after its label, or name it in a CSV file"
        )
    return [entry for entry in inside if entry.is_dir()]


def _is_image(path: Path, root: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
    return path.suffix.lower() in image_suffixes() and path.is_file() and not hidden


def _attribute_of(folder: Path, categories: Sequence[Path]) -> str:
    """The attribute that folder names are labels of.

    Raises:
        DataError: If they are labels of none; the message names the first that fits least.
    """
    fits = {name: sum(_fits(name, entry.name) for entry in categories) for name in ATTRIBUTES}
    best = max(fits, key=lambda name: fits[name])
    if not fits[best]:
        choices = "; ".join(f"{name}: {row.label_text}" for name, row in ATTRIBUTES.items())
        found = ", ".join(entry.name for entry in categories[:5]) or "no folder"
        raise DataError(f"{folder}: expected a folder per label, found {found}. Known labels: {choices}")
    return best


def _from_csv(file: Path, groups: Sequence[str]) -> tuple[list[LabelledImage], list[str]]:
    images: list[LabelledImage] = []
    seen: dict[tuple[Path, Box | None], str] = {}
    unused: list[str] = []
    problems: list[str] = []
    for where, row in read_table(file, ("path", *groups), problems=problems):
        columns = [name for name in ATTRIBUTES if name in row]
        if not columns:
            raise DataError(f"{file}:1: no column of labels ({', '.join(ATTRIBUTES)}); it has: {', '.join(row)}")
        unused = [name for name in row if name not in ("path", *columns, *groups, *BOX)]
        path = file.parent / row["path"]
        try:
            box = _box(row, where)
        except DataError as error:
            problems.append(str(error))
            continue
        if not row["path"] or not path.is_file():
            problems.append(f"{where}: no such image: {path}")
        elif (path, box) in seen:
            problems.append(f"{where}: {row['path']} is already listed in {seen[path, box]}")
        seen.setdefault((path, box), where)
        labels: dict[str, str] = {}
        for name in columns:
            try:
                labels |= {name: _label(name, row[name], where)} if row[name] else {}
            except DataError as error:
                problems.append(str(error))
        images.append(LabelledImage(path, labels, {name: row[name] for name in groups}, where, box))
    if problems:
        raise all_problems(problems)
    if not any(image.labels for image in images):
        raise DataError(f"{file}: no image has a label")
    return images, unused


def _box(row: Mapping[str, str], where: str) -> Box | None:
    """The box of a row; None if it has none.

    Raises:
        DataError: If its columns are not four numbers that make a box.
    """
    cells = [row.get(name, "") for name in BOX]
    if not any(cells):
        return None
    try:
        box = Box(*map(float, cells))
    except ValueError as error:
        raise DataError(f"{where}: {', '.join(BOX)} must be four numbers; got {', '.join(cells)}") from error
    if not all(map(math.isfinite, (box.x1, box.y1, box.x2, box.y2))) or box.width <= 0 or box.height <= 0:
        raise DataError(f"{where}: the box {', '.join(cells)} is empty")
    return box


def _label(attribute: str, text: str, where: str) -> str:
    """Parse a label.

    Raises:
        DataError: If it is unknown; the message begins with `where`.
    """
    try:
        return ATTRIBUTES[attribute].parse(text)
    except ValueError as error:
        raise DataError(f"{where}: {attribute} {text!r} is out of range; {error}") from error


def _fits(attribute: str, text: str) -> bool:
    try:
        ATTRIBUTES[attribute].parse(text)
    except ValueError:
        return False
    return True
