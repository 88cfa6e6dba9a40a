"""AffectNet: about 290,000 faces from the web, labelled by hand with one of eight emotions.

Download: request it on the page "AffectNet" of Mohammad H. Mahoor's laboratory, University of Denver (only laboratory
heads and professors may sign the agreement; students ask their supervisor). It comes in two forms; unpack either:

    SOURCE/Manually_Annotated_file_lists/{training,validation}.csv     subDirectory_filePath,face_x,...,expression,...
    SOURCE/Manually_Annotated_Images/1/xyz.jpg ...                     the two lists may also stand in SOURCE itself
or
    SOURCE/{train_set,val_set}/images/123.jpg
    SOURCE/{train_set,val_set}/annotations/123_exp.npy

Licence: the agreement you sign; research only, not to be passed on.
Cite: Mollahosseini, Hasani and Mahoor, AffectNet: A Database for Facial Expression, Valence, and Arousal Computing in
the Wild, IEEE Transactions on Affective Computing 10(1), 2019.

Splits: the set's validation part, which the field reports on, is `test`; `validation` is carved from training. Label:
`emotion`. Rows that carry no emotion (None, Uncertain, No-Face) are left out. From the lists, each face is
cropped by its box and written as a new file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from facemodels.errors import DataError
from facemodels.evaluation.tables import read_table
from training.data.manifest import Sample, read_sample
from training.data.preparing import LeftOut, build, command, find, find_optional, pick, write_image

EXPRESSIONS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt")
NO_EMOTION = ("None", "Uncertain", "No-Face")
BOX = ("face_x", "face_y", "face_width", "face_height")
# The list of the validation part comes without a header.
COLUMNS = ("subDirectory_filePath", *BOX, "facial_landmarks", "expression", "valence", "arousal")


def prepare(source: Path, target: Path, *, unified: bool = False) -> Path:
    """Write AffectNet's manifest to a folder; see the module's docstring.

    Raises:
        DataError: If a file is missing or malformed.
    """
    return build(source, target, _read, unified)


def _read(source: Path, images: Path, left_out: LeftOut) -> Iterator[Sample]:
    if find_optional(source, "train_set"):
        for part, split in (("train_set", "train"), ("val_set", "test")):
            yield from _from_annotations(find(source, part), split, left_out)
    else:
        folder = find(source, "Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images")
        for part, split in (("training.csv", "train"), ("validation.csv", "test")):
            file = find(source, f"Manually_Annotated_file_lists/{part}", part)
            yield from _from_list(file, split, folder, images, left_out)


def _from_list(file: Path, split: str, folder: Path, images: Path, left_out: LeftOut) -> Iterator[Sample]:
    for where, cells in read_table(file, ("subDirectory_filePath", *BOX, "expression"), names=COLUMNS):
        name = cells["subDirectory_filePath"]
        expression = pick((*EXPRESSIONS, *NO_EMOTION), cells["expression"], where, "expression")
        if expression in NO_EMOTION:
            left_out("rows without an emotion", where)
            continue
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise DataError(f"{where}: {name!r} lies outside of the image folder")
        sample = Sample(folder / name, split, {"emotion": expression}, name, where)
        if not sample.path.is_file():
            yield sample  # counted as missing
            continue
        try:
            x, y, width, height = (round(float(cells[column])) for column in BOX)
        except ValueError as error:
            raise DataError(f"{where}: the face box, {', '.join(BOX)}, is not four numbers") from error
        face = read_sample(sample)[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)]
        if not face.size:
            left_out("face boxes outside the image", where)
            continue
        path = write_image(images / Path(name).with_suffix(".jpg"), cv2.cvtColor(face, cv2.COLOR_RGB2BGR))
        yield Sample(path, split, sample.labels, name, where)


def _from_annotations(part: Path, split: str, left_out: LeftOut) -> Iterator[Sample]:
    annotations = find(part, "annotations")
    files = {file.stem: file for file in sorted(find(part, "images").iterdir())}
    for file in sorted(annotations.glob("*_exp.npy")):
        name = file.name.removesuffix("_exp.npy")
        try:
            code = str(np.load(file, allow_pickle=False).item())
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{file}: is not one number in NumPy's format: {error}") from error
        emotion = pick((*EXPRESSIONS, *NO_EMOTION), code, str(file), "expression")
        if emotion in NO_EMOTION:
            left_out("images without an emotion", str(file))
            continue
        path = files.pop(name, part / "images" / f"{name}.jpg")
        yield Sample(path, split, {"emotion": emotion}, f"{part.name}/{name}", str(file))
    for unlabelled in files.values():
        if not (annotations / f"{unlabelled.stem}_exp.npy").exists():
            left_out("images without an annotation", str(unlabelled))


if __name__ == "__main__":
    command(prepare, __doc__)
