"""The packed data sets that the published models were trained on, with the splits of the protocol.

Image i of a part is ``blob[offset[i]:offset[i + 1]]``, an encoded image; the other arrays are a column per label.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import cv2
import numpy as np

from facemodels.attributes import EMOTIONS, ETHNICITIES, ETHNICITY_FIVE, FIVE_GROUPS, GENDERS
from facemodels.crops import cut, face_window
from facemodels.errors import DataError
from facemodels.types import Box
from training.data.face_data import AGE_BINS, BOTH_TESTS, YEARS, FaceData, age_distribution, digest

# --- FER2013 ---------------------------------------------------------------------------------------------------------

# The columns of the FER+ votes, in the order of EMOTIONS, and the two that are no emotion.
FERPLUS_COLUMNS = [4, 5, 6, 1, 3, 2, 0, 7]
FERPLUS_UNTRUSTED = (5274, 33200)  # their votes belong to other images: nothing is learned from them


def fer2013(folder: Path, split: str) -> FaceData:
    """FER2013 with its original labels and the FER+ votes.

    ``test`` is PrivateTest, ``public_test`` is PublicTest, validation every tenth row (index % 10 == 7) of Training.
    No training image is a copy of one of those three, no validation image of one in a test set. Constant images are
    dropped.
    """
    parts = _packed(folder, "fer2013_48", ("emotion", "usage", "ferplus"))
    usage, original = _column(parts, "usage"), _column(parts, "emotion").astype(int)
    votes = _column(parts, "ferplus").astype(np.float32)
    images = _decoded(parts, cv2.IMREAD_GRAYSCALE)

    held_out = (usage == 0) & (np.arange(len(images)) % 10 == 7)
    digests = np.array([digest(image) for image in images])
    varied = np.array([int(image.max()) > int(image.min()) for image in images])
    usable = varied & ~np.isin(digests, digests[usage > 0])
    keep = {
        "train": (usage == 0) & usable & ~np.isin(digests, digests[held_out]),
        "validation": held_out & usable,
        "public_test": usage == 1,
        "test": usage == 2,
        BOTH_TESTS: usage > 0,
    }[split]

    majority = ferplus_majority(votes)
    targets = {"emotion": _vote_distribution(votes), "emotion_fer2013": np.eye(7, dtype=np.float32)[original]}
    targets["emotion"][list(FERPLUS_UNTRUSTED)] = 1.0
    four = np.where(original >= 3, original - 3, -1)
    targets["emotion4"] = np.where(four[:, None] >= 0, np.eye(4, dtype=np.float32)[four], np.float32(1))
    labels = {"emotion": majority, "emotion_fer2013": original, "emotion4": four}
    data = FaceData(f"fer2013 {split}", images, targets, labels)
    return data.take(keep)


def ferplus_majority(votes: np.ndarray) -> np.ndarray:
    """The FER+ paper's majority label: index in `EMOTIONS`, or -1 where the row is not scored.

    Args:
        votes: ``(N, 10)`` votes, columns as published. An emotion with a single vote counts none; a row is scored where
            one of the eight emotions then has more than half of the votes left.
    """
    left = np.where(votes > 1, votes, 0)
    emotions = left[:, FERPLUS_COLUMNS]
    return np.where(emotions.max(1) > left.sum(1) / 2, emotions.argmax(1), -1)


def _vote_distribution(votes: np.ndarray) -> np.ndarray:
    """``(N, 8)`` shares of the votes, single ones dropped; "not known" where none is left or most see no face."""
    emotions = np.where(votes > 1, votes, 0)[:, FERPLUS_COLUMNS]
    total = emotions.sum(1, keepdims=True)
    known = (total > 0) & (votes[:, 9:] <= 5)
    return np.where(known, emotions / np.maximum(total, 1), 1.0).astype(np.float32)


# --- LFW with expressions --------------------------------------------------------------------------------------------

LFW_SIZE = 96  # px; about the side of a face's box in the packed images
LFW_TRUST = 0.85  # weight of one rater's label in a target; the rest is spread by the frequency of each label
LFW_FOLDS = {"train": (4, 5, 6, 7), "validation": (8,), "test": (9,)}


def lfw_expressions(folder: Path, split: str) -> FaceData:
    """Expressions on grey news photos (Labeled Faces in the Wild), by one rater an image.

    Split by person, ``crc32(person) % 10``: 9 tests, 8 validates, 4 to 7 train. The images are cut as serving cuts
    them: by box and eye line, without a margin.
    """
    parts = _packed(folder, "lfw_expressions_128", ("emotion", "box", "landmarks", "person"))
    fold = np.array([crc32(person) % 10 for person in _column(parts, "person")])
    keep = np.isin(fold, LFW_FOLDS.get(split, ()))
    boxes, landmarks = _column(parts, "box")[keep], _column(parts, "landmarks")[keep]
    images = []
    for image, box, points in zip(_decoded(parts, cv2.IMREAD_GRAYSCALE, keep), boxes, landmarks, strict=True):
        window = face_window(Box(*map(float, box)), landmarks=[(float(x), float(y)) for x, y in points])
        images.append(cut(image, window, LFW_SIZE)[:, :, 0])
    emotion = _column(parts, "emotion")[keep].astype(int)
    shares = np.bincount(emotion, minlength=len(EMOTIONS)) + 1.0
    # Spread evenly, the rest would be nearly all that is said of rare labels, and drown what the others say of them.
    target = LFW_TRUST * np.eye(len(EMOTIONS))[emotion] + (1 - LFW_TRUST) * shares / shares.sum()
    return FaceData(f"lfw_expressions {split}", images, {"emotion": target.astype(np.float32)}, {"emotion": emotion})


# --- UTKFace and FairFace --------------------------------------------------------------------------------------------

GENDER_FROM_DATA = np.array([1, 0])  # both sets write 0 male, 1 female; GENDERS is female, male
FAIRFACE_RACES = ("white", "black", "latino", "east_asian", "southeast_asian", "indian", "middle_eastern")


def utkface(folder: Path, split: str) -> FaceData:
    """UTKFace: age in years, gender, five ethnicities. Splits by a hash of the duplicate group or the name."""
    parts = _packed(folder, "utkface_112", ("age", "gender", "ethnicity", "name", "duplicate_group"))
    groups, names = _column(parts, "duplicate_group"), _column(parts, "name")
    keys = [b"g%d" % group if group >= 0 else name for group, name in zip(groups, names, strict=True)]
    fold = np.array([crc32(key) % 10 for key in keys])
    keep = {"test": fold == 0, "validation": fold == 1, "train": fold > 1}.get(split, fold < 0)

    age = _column(parts, "age")[keep].astype(np.float32)
    gender = GENDER_FROM_DATA[_column(parts, "gender")[keep]]
    five = _column(parts, "ethnicity")[keep].astype(int)
    members = np.array([[ETHNICITY_FIVE[label] == group for label in ETHNICITIES] for group in FIVE_GROUPS])
    return FaceData(
        f"utkface {split}",
        _decoded(parts, cv2.IMREAD_COLOR_RGB, keep),
        {
            "age": age_distribution(age),
            "gender": np.eye(2, dtype=np.float32)[gender],
            "ethnicity": members[five].astype(np.float32),
        },
        {"age": age, "gender": gender, "ethnicity_five": five},
        {"gender": np.array(GENDERS)[gender], "ethnicity": np.array(FIVE_GROUPS)[five], "age": _decade(age)},
    )


def fairface(folder: Path, split: str) -> FaceData:
    """FairFace: an age bin, gender, seven ethnicities.

    Its figures are reported on ``crc32(name) % 20 == 1``, which therefore chooses nothing and is ``test`` here;
    ``validation`` is ``== 2``, held back from training.
    """
    parts = _packed(folder, "fairface_96", ("age_bin", "gender", "race", "name"))
    fold = np.array([crc32(name) % 20 for name in _column(parts, "name")])
    keep = {
        "test": fold == 1,
        "validation": fold == 2,
        "train": (fold != 1) & (fold != 2),
    }.get(split, fold < 0)

    bins = _column(parts, "age_bin")[keep].astype(int)
    gender = GENDER_FROM_DATA[_column(parts, "gender")[keep]]
    race = np.array([ETHNICITIES.index(name) for name in FAIRFACE_RACES])[_column(parts, "race")[keep]]
    years = np.arange(YEARS)
    inside = np.array([(years >= first) & (years <= last) for first, last in AGE_BINS], np.float32)
    return FaceData(
        f"fairface {split}",
        _decoded(parts, cv2.IMREAD_COLOR_RGB, keep),
        {
            "age": inside[bins],
            "gender": np.eye(2, dtype=np.float32)[gender],
            "ethnicity": np.eye(len(ETHNICITIES), dtype=np.float32)[race],
        },
        {"age_bin": bins, "gender": gender, "ethnicity": race},
        {
            "gender": np.array(GENDERS)[gender],
            "ethnicity": np.array(ETHNICITIES)[race],
            "age": np.array([f"{first}-{last}" if last < YEARS - 1 else f"{first}+" for first, last in AGE_BINS])[bins],
        },
    )


def _decade(age: np.ndarray) -> np.ndarray:
    decade = np.minimum(age.astype(int) // 10 * 10, 80)
    return np.array(["80+" if value == 80 else f"{value}-{value + 9}" for value in decade])


# --- reading parts ---------------------------------------------------------------------------------------------------

PACKED = ("blob", "offset")


def _packed(folder: Path, stem: str, columns: Sequence[str]) -> list[np.lib.npyio.NpzFile]:
    """Open the parts of a packed data set: image i of a part is ``blob[offset[i]:offset[i + 1]]``, an encoded image."""
    paths = sorted(folder.glob(f"{stem}-*.npz"))
    if not paths:
        raise DataError(
            f"no {stem}-*.npz in {folder}; give the folder of the packed parts with --data or FACEMODELS_DATA"
        )
    parts = []
    for path in paths:
        part = np.load(path, allow_pickle=False)
        missing = [column for column in (*PACKED, *columns) if column not in part.files]
        if missing:
            raise DataError(f"{path}: lacks {', '.join(missing)}")
        parts.append(part)
    return parts


def _column(parts: Sequence[np.lib.npyio.NpzFile], name: str) -> np.ndarray:
    """One column of all parts, in order."""
    return np.concatenate([part[name] for part in parts])


def _decoded(parts: Sequence[np.lib.npyio.NpzFile], flags: int, keep: np.ndarray | None = None) -> list[np.ndarray]:
    """Decode the images of all parts, in order (of those in `keep` alone, where given)."""
    images, start = [], 0
    for part in parts:
        blob, offset = part["blob"], part["offset"]
        for i in range(len(offset) - 1):
            if keep is not None and not keep[start + i]:
                continue
            image = cv2.imdecode(blob[offset[i] : offset[i + 1]], flags)
            if image is None:
                raise DataError(f"image {i} of {getattr(part.fid, 'name', 'a part')} cannot be decoded")
            images.append(image)
        start += len(offset) - 1
    return images
