"""The common form of prepared data sets: `manifest.csv`, a row per image.

    path,split,emotion,group
    images/fer0000000.png,train,angry,fer0000000
    /data/RAF-DB/basic/Image/aligned/test_0001_aligned.jpg,test,surprise,test_0001

`path` is relative to the manifest's folder, or absolute. `split` is one of `SPLITS`. Then come label columns out of
`LABELS`, an empty cell meaning "not known". Images that must stay together (one person, copies of one image)
share a `group`, and no group is in more than one of training, validation and test.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from zlib import crc32

import cv2
import numpy as np

from facemodels.attributes import ATTRIBUTES, EMOTIONS, ETHNICITIES, ETHNICITY_FIVE, FIVE_GROUPS, GENDERS, is_numeric
from facemodels.errors import DataError
from facemodels.evaluation.tables import read_table
from facemodels.kinds import Numeric
from training.data.face_data import AGE_BINS, SPLITS, YEARS, FaceData, age_distribution

MANIFEST = "manifest.csv"
TEST_SPLITS = ("test", "public_test")
_AGE = ATTRIBUTES["age"].kind
MAX_AGE = int(_AGE.maximum) if isinstance(_AGE, Numeric) else 0
AGE_BIN_NAMES = tuple(f"{first}-{last}" if last < YEARS - 1 else f"{first}+" for first, last in AGE_BINS)
VOTES = "emotion_votes"  # a number per emotion, separated by blanks, in the order of EMOTIONS

# Label column -> what is allowed in it.
LABELS: dict[str, tuple[str, ...]] = {
    **{name: attribute.labels for name, attribute in ATTRIBUTES.items() if attribute.labels},
    "emotion_fer2013": EMOTIONS[:7],
    VOTES: (),
    "age": tuple(str(year) for year in range(MAX_AGE + 1)),
    "age_bin": AGE_BIN_NAMES,
    "ethnicity_five": FIVE_GROUPS,
}


@dataclass(frozen=True)
class Sample:
    """One row of a manifest.

    Attributes:
        path: The image, one face crop.
        split: One of `SPLITS`. From a reader, ``train`` is the set's own training part, and an empty string says that
            the set has no split of its own; `assign_splits` settles both.
        labels: Label column to value; what is not known is absent.
        group: Images of one group are in one split.
        where: ``file:line`` of its row, for messages.
    """

    path: Path
    split: str
    labels: dict[str, str]
    group: str
    where: str = ""


# --- reading and writing ---------------------------------------------------------------------------------------------


def read_manifest(path: str | Path) -> list[Sample]:
    """Read and check a manifest.

    Args:
        path: A `manifest.csv`, or its folder.

    Raises:
        DataError: If it is missing, lacks a column, names an image that is not there, a split or a label that does not
            exist, or splits a group; the message names the file and the line.
    """
    file = Path(path)
    file = file / MANIFEST if file.is_dir() else file
    samples: list[Sample] = []
    seen: dict[Path, str] = {}
    sides: dict[str, tuple[str, str]] = {}
    for where, row in read_table(file, ("path", "split", "group"), known=LABELS):
        columns = [column for column in row if column in LABELS]
        if not columns:
            raise DataError(f"{file}: no column of labels; known: {', '.join(LABELS)}")
        if not row["path"] or not row["group"]:
            raise DataError(f"{where}: path and group must not be empty")
        if row["split"] not in SPLITS:
            raise DataError(f"{where}: unknown split {row['split']!r}; known: {', '.join(SPLITS)}")
        for column in columns:
            check_label(column, row[column], where)
        path = file.parent / row["path"]
        if not path.is_file():
            raise DataError(f"{where}: no such image: {path}; was it moved? Then prepare the data set again")
        if path in seen:
            raise DataError(f"{where}: {row['path']} is already listed in {seen[path]}")
        side = "test" if row["split"] in TEST_SPLITS else row["split"]
        first_side, first_where = sides.setdefault(row["group"], (side, where))
        if side != first_side:
            raise DataError(f"{where}: group {row['group']!r} is in {side} here and in {first_side} in {first_where}")
        seen[path] = where
        labels = {column: row[column] for column in columns if row[column]}
        samples.append(Sample(path, row["split"], labels, row["group"], where))
    if not samples:
        raise DataError(f"{file}: lists no images")
    return samples


def write_manifest(file: Path, samples: Sequence[Sample]) -> None:
    """Write a manifest atomically; paths of images under its folder are relative to it."""
    columns = [column for column in LABELS if any(column in sample.labels for sample in samples)]
    folder = file.parent.resolve()
    partial = file.with_name(f".{file.name}.partial")
    try:
        with partial.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(["path", "split", *columns, "group"])
            for sample in samples:
                path = sample.path.resolve()
                path = path.relative_to(folder) if path.is_relative_to(folder) else path
                labels = (sample.labels.get(column, "") for column in columns)
                writer.writerow([path.as_posix(), sample.split, *labels, sample.group])
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def check_label(column: str, value: str, where: str) -> str:
    """Check a value of a label column (empty is "not known") and return it.

    Raises:
        DataError: If it may not; the message begins with `where`.
    """
    if column == VOTES:
        votes = value.split()
        if value and (len(votes) != len(EMOTIONS) or not all(vote.isdecimal() for vote in votes)):
            raise DataError(f"{where}: {column} {value!r} is not {len(EMOTIONS)} whole numbers")
    elif value and value not in LABELS[column]:
        known = f"0..{MAX_AGE}" if is_numeric(column) else ", ".join(LABELS[column])
        raise DataError(f"{where}: {column} {value!r} is out of range; known: {known}")
    return value


def read_sample(sample: Sample) -> np.ndarray:
    """Read the image of a row, ``(H, W, 3)`` uint8 RGB.

    Raises:
        DataError: If it cannot be read; the message names the image and the line that lists it.
    """
    try:
        content = np.frombuffer(sample.path.read_bytes(), np.uint8)
    except OSError as error:
        raise DataError(f"{sample.where}: {sample.path} cannot be read: {error}") from error
    image = cv2.imdecode(content, cv2.IMREAD_COLOR_RGB) if len(content) else None
    if image is None:
        raise DataError(f"{sample.where}: {sample.path} is not a readable image; repair or remove it")
    return image


# --- splits ----------------------------------------------------------------------------------------------------------


def assign_splits(
    samples: Sequence[Sample], digests: Sequence[str], leave_out: Callable[[str, str], None]
) -> list[Sample]:
    """Assign every image to a split, so that no group and no exact copy is in two.

    Images of one group, and copies of one image, are joined; what is joined goes together by the hash of its first
    group's name, ``crc32 % 10``: 1 validates, and 0 tests where the data set has no test part of its own. A data set's
    own test parts are kept whole: images for training that are joined to them are left out.

    Args:
        samples: With splits ``train``, ``test``, ``public_test``, or empty for "by hash".
        digests: Of their pixels.
        leave_out: Called with the reason and the image for each that is left out.
    """
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        while parent.setdefault(key, key) != key:
            parent[key] = key = parent[parent[key]]
        return key

    by_digest: dict[str, str] = {}
    for sample, pixels in zip(samples, digests, strict=True):
        one, other = sorted((root(sample.group), root(by_digest.setdefault(pixels, sample.group))))
        parent[other] = one  # the first name in order leads
    tested = {root(sample.group) for sample in samples if sample.split in TEST_SPLITS}

    settled = []
    for sample in samples:
        group, split = root(sample.group), sample.split
        if split not in TEST_SPLITS:
            if group in tested:
                leave_out("training images that are also in a test part", f"{sample.where} {sample.path.name}")
                continue
            fold = crc32(group.encode()) % 10
            split = "test" if fold == 0 and not split else "validation" if fold == 1 else "train"
        settled.append(replace(sample, split=split, group=group))
    return settled


# --- as training data ------------------------------------------------------------------------------------------------

LOADED_SIDE = 128  # pixels; larger images are shrunk to it, so that a large data set fits in memory


def face_data(folder: str | Path, split: str) -> FaceData:
    """One split of every manifest under a folder, in the form of `training.data.load`.

    Raises:
        DataError: If there is no manifest, or one is malformed.
    """
    manifests = find_manifests(folder)
    if not manifests:
        raise DataError(f"{folder}: no {MANIFEST} here or below; make one with python -m training.data.NAME.prepare")
    samples = [sample for file in manifests for sample in read_manifest(file) if sample.split == split]
    columns = {column: [sample.labels.get(column, "") for sample in samples] for column in LABELS}
    labels = {name: _index(columns[name], LABELS[name]) for name in LABELS if LABELS[name] and name != "age"}
    age = np.array([float(value) if value else np.nan for value in columns["age"]], np.float32)
    targets = {
        **{name: _one_hot(labels[name], len(one.labels)) for name, one in ATTRIBUTES.items() if one.labels},
        "emotion": _emotion_targets(labels["emotion"], columns[VOTES]),
        "emotion_fer2013": _one_hot(labels["emotion_fer2013"], 7),
        "age": _age_targets(age, labels["age_bin"]),
        "ethnicity": _ethnicity_targets(labels["ethnicity"], labels["ethnicity_five"]),
    }
    groups = {
        "gender": _names(labels["gender"], GENDERS),
        "ethnicity": np.array(
            [a or b or "" for a, b in zip(columns["ethnicity"], columns["ethnicity_five"], strict=True)]
        ),
        "age": _names(_with_years(labels["age_bin"], age), AGE_BIN_NAMES),
    }
    # Ages are scored where every image has one: in years, or else (UTKFace beside FairFace) by bin.
    if np.isfinite(age).all():
        labels["age"] = age
    else:
        labels["age_bin"] = _with_years(labels["age_bin"], age)
    if (labels["age_bin"] < 0).any():
        del labels["age_bin"]
    return FaceData(
        f"manifest {split}",
        [_shrunk(read_sample(sample)) for sample in samples],
        {name: rows for name, rows in targets.items() if (rows != 1).any()},
        {name: values for name, values in labels.items() if (values >= 0).any()},
        {name: values for name, values in groups.items() if (values != "").any()},
    )


def find_manifests(folder: str | Path) -> list[Path]:
    """Every `manifest.csv` in a folder or below, sorted; hidden folders (of a preparation in progress) are skipped."""
    found = (file.relative_to(folder) for file in Path(folder).rglob(MANIFEST))
    return sorted(Path(folder) / file for file in found if not any(part.startswith(".") for part in file.parts))


def _index(values: Sequence[str], names: Sequence[str]) -> np.ndarray:
    """Place of each value among the names, -1 where it is empty."""
    place = {name: i for i, name in enumerate(names)}
    return np.array([place.get(value, -1) for value in values], int)


def _names(index: np.ndarray, names: Sequence[str]) -> np.ndarray:
    return np.array([*names, ""])[index]


def _with_years(bins: np.ndarray, age: np.ndarray) -> np.ndarray:
    """The age bins, those of known ages filled in."""
    of_years = np.searchsorted([first for first, _ in AGE_BINS], np.nan_to_num(age), side="right") - 1
    return np.where(np.isfinite(age), of_years, bins)


def _one_hot(index: np.ndarray, count: int) -> np.ndarray:
    """``(N, count)`` rows with one 1, or all ones ("not known") where the index is -1."""
    return np.vstack([np.eye(count), np.ones(count)]).astype(np.float32)[index]


def _emotion_targets(index: np.ndarray, votes: Sequence[str]) -> np.ndarray:
    targets = _one_hot(index, len(EMOTIONS))
    for row, text in enumerate(votes):
        if sum(counts := [float(vote) for vote in text.split()]):
            targets[row] = np.array(counts) / sum(counts)
    return targets


def _age_targets(age: np.ndarray, bins: np.ndarray) -> np.ndarray:
    years = np.arange(YEARS)
    inside = np.array([(years >= first) & (years <= last) for first, last in AGE_BINS] + [years >= 0], np.float32)
    known = np.isfinite(age)
    return np.where(known[:, None], age_distribution(np.where(known, age, 0)), inside[bins]).astype(np.float32)


def _ethnicity_targets(seven: np.ndarray, five: np.ndarray) -> np.ndarray:
    members = [[ETHNICITY_FIVE[label] == group for label in ETHNICITIES] for group in FIVE_GROUPS]
    partial = np.array([*members, [True] * len(ETHNICITIES)], np.float32)[five]
    return np.where(seven[:, None] >= 0, _one_hot(seven, len(ETHNICITIES)), partial).astype(np.float32)


def _shrunk(image: np.ndarray) -> np.ndarray:
    scale = LOADED_SIDE / max(image.shape[:2])
    return image if scale >= 1 else cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
