"""FER2013: 35,887 grey faces of 48x48 pixels with one of seven emotions.

Download (free, with a Kaggle account), either
- from the competition "Challenges in Representation Learning: Facial Expression Recognition Challenge" on Kaggle:
  `fer2013.csv` (in fer2013.tar.gz) or `icml_face_data.csv`, the same table with its columns in another order; or
- the data set "FER-2013" on Kaggle: images in train/angry/ ... test/surprise/.
Beside the csv, if wanted, `fer2013new.csv` of Microsoft's FERPlus repository on GitHub (MIT licence): ten people's
votes per image.

    SOURCE/fer2013.csv | SOURCE/icml_face_data.csv     emotion,pixels,Usage
    SOURCE/fer2013new.csv                              Usage,Image name,neutral,happiness,...,unknown,NF
    SOURCE/{train,test}/{angry,...,surprise}/*.jpg     instead of the csv

Licence: no explicit one; the images were collected from the web, and the field uses them for research.
Cite: Goodfellow et al., Challenges in Representation Learning: A report on three machine learning contests, ICONIP
2013; Barsoum et al., Training Deep Networks for Facial Expression Recognition with Crowd-Sourced Label Distribution,
ICMI 2016.

Splits: Usage (Training, PublicTest = public_test, PrivateTest = test); of image folders the file names say it, and
test/ is `test` where they do not. Labels: `emotion`; with votes `emotion` is the FER+ majority, `emotion_votes` the
votes (single ones dropped), and `emotion_fer2013` the original label.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from facemodels.attributes import EMOTIONS
from facemodels.errors import DataError
from facemodels.evaluation.tables import read_table
from facemodels.image_formats import image_suffixes
from training.data.manifest import VOTES, Sample
from training.data.packed import FERPLUS_COLUMNS, FERPLUS_UNTRUSTED, ferplus_majority
from training.data.preparing import LeftOut, build, command, find, find_optional, pick, write_image

SIDE = 48
USAGES = {"Training": "train", "PublicTest": "public_test", "PrivateTest": "test"}
VOTE_COLUMNS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF")
OTHER_NAMES = {"disgusted": "disgust", "fearful": "fear", "surprised": "surprise"}  # in some copies of the folders


def prepare(source: Path, target: Path, *, unified: bool = False) -> Path:
    """Write FER2013's manifest (and its images, from a csv) to a folder; see the module's docstring.

    Raises:
        DataError: If a file is missing or malformed.
    """
    return build(source, target, _read, unified)


def _read(source: Path, images: Path, left_out: LeftOut) -> Iterator[Sample]:
    place = find(source, "fer2013.csv", "icml_face_data.csv", "fer2013/fer2013.csv", "train")
    votes = find_optional(source, "fer2013new.csv")
    if place.name != "train":
        yield from _from_csv(place, votes, images)
    elif votes:
        raise DataError(f"{votes}: votes go with the rows of fer2013.csv, not with image folders; add the csv")
    else:
        for part in (place, find(source, "test")):
            yield from _from_folders(part, left_out)


def _from_csv(file: Path, votes_file: Path | None, images: Path) -> Iterator[Sample]:
    votes = _read_votes(votes_file) if votes_file else []
    row = -1
    for row, (where, cells) in enumerate(read_table(file, ("emotion", "pixels", "Usage"))):
        if cells["Usage"] not in USAGES:
            raise DataError(f"{where}: unknown Usage {cells['Usage']!r}; known: {', '.join(USAGES)}")
        original = pick(EMOTIONS[:7], cells["emotion"], where, "emotion")
        labels = {"emotion": original}
        if votes_file:
            if row >= len(votes) or votes[row][0] != cells["Usage"]:
                raise DataError(f"{where}: {votes_file} has no row for it, or one of another Usage; are both complete?")
            labels = {"emotion_fer2013": original, **({} if row in FERPLUS_UNTRUSTED else votes[row][1])}
        path = write_image(images / f"fer{row:07d}.png", _pixels(cells["pixels"], where))
        yield Sample(path, USAGES[cells["Usage"]], labels, path.stem, where)
    if votes and len(votes) != row + 1:
        raise DataError(f"{votes_file}: {len(votes)} rows of votes, but {file} has {row + 1} rows; are both complete?")


def _pixels(text: str, where: str) -> np.ndarray:
    values = text.split()
    if len(values) != SIDE * SIDE or not all(value.isdecimal() and int(value) < 256 for value in values):
        raise DataError(f"{where}: pixels are not {SIDE * SIDE} numbers 0..255 ({len(values)} found)")
    return np.array([int(value) for value in values], np.uint8).reshape(SIDE, SIDE)


def _read_votes(file: Path) -> list[tuple[str, dict[str, str]]]:
    """Usage and labels of every row."""
    rows = []
    for where, cells in read_table(file, ("Usage", *VOTE_COLUMNS)):
        if not all(cells[name].isdecimal() for name in VOTE_COLUMNS):
            raise DataError(f"{where}: a vote is not a whole number")
        votes = np.array([[int(cells[name]) for name in VOTE_COLUMNS]])
        labels: dict[str, str] = {}
        if (majority := ferplus_majority(votes)[0]) >= 0:
            labels["emotion"] = EMOTIONS[majority]
        counted = np.where(votes > 1, votes, 0)[0, FERPLUS_COLUMNS]
        if counted.any() and votes[0, -1] <= 5:  # otherwise nobody agrees, or most see no face
            labels[VOTES] = " ".join(map(str, counted))
        rows.append((cells["Usage"], labels))
    return rows


def _from_folders(part: Path, left_out: LeftOut) -> Iterator[Sample]:
    for folder in sorted(entry for entry in part.iterdir() if entry.is_dir()):
        label = OTHER_NAMES.get(folder.name.lower(), folder.name.lower())
        if label not in EMOTIONS[:7]:
            raise DataError(f"{folder}: not an emotion of FER2013; known: {', '.join(EMOTIONS[:7])}")
        for file in sorted(folder.iterdir()):
            if file.suffix.lower() not in image_suffixes():
                left_out("files that are no images", str(file))
                continue
            split = USAGES.get(file.name.split("_")[0], "test") if part.name == "test" else "train"
            yield Sample(file, split, {"emotion": label}, f"{part.name}/{folder.name}/{file.name}", str(folder))


if __name__ == "__main__":
    command(prepare, __doc__)
