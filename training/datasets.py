"""The data sets, read into one form: face crops, what each head should answer, and what is scored.

A head's target is a row of weights over its outputs. It either sums to one (a distribution to match: votes, a smoothed
age) or is a set of ones (a partial label: "one of these", for example an age bin, or "Others"). All ones means "not
known". The loss in `losses.py` reads both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

import cv2
import numpy as np

from facemodels.attributes import EMOTIONS, ETHNICITIES, ETHNICITY_FIVE, GENDERS
from facemodels.errors import DataError

YEARS = 101  # the age head answers for 0..100 years; the last year stands for everything above
AGE_SIGMA = 2.0  # years; how sharply a known age is taken
SPLITS = ("train", "validation", "test", "public_test")
BOTH_TESTS = "both_tests"  # FER2013's two test sets together, on which four-class figures are published

# Head -> its labels. "emotion_fer2013" and "emotion4" answer the attribute "emotion" with FER2013's original labels:
# all seven, or the last four.
HEADS: dict[str, tuple[str, ...]] = {
    "emotion": EMOTIONS,
    "emotion_fer2013": EMOTIONS[:7],
    "emotion4": EMOTIONS[3:7],
    "age": tuple(str(year) for year in range(YEARS)),
    "gender": GENDERS,
    "ethnicity": ETHNICITIES,
}

AGE_BINS = ((0, 2), (3, 9), (10, 19), (20, 29), (30, 39), (40, 49), (50, 59), (60, 69), (70, YEARS - 1))


@dataclass
class FaceData:
    """Face crops of one split with their labels.

    Attributes:
        name: Data set and split, for messages.
        images: Crops, ``(H, W, 3)`` or ``(H, W)`` uint8 RGB, of any size.
        targets: Head to ``(N, outputs)`` float32, as the module's docstring says.
        labels: What is scored: name to ``(N,)``; -1 (or NaN for ages) where an image is not scored.
        groups: Name to ``(N,)`` labels for tables by group.
    """

    name: str
    images: list[np.ndarray]
    targets: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]
    groups: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.images)

    def take(self, keep: np.ndarray) -> FaceData:
        """The images at these indices (or where this mask is true)."""
        index = np.flatnonzero(keep) if keep.dtype == bool else keep
        return FaceData(
            self.name,
            [self.images[i] for i in index],
            {name: values[index] for name, values in self.targets.items()},
            {name: values[index] for name, values in self.labels.items()},
            {name: values[index] for name, values in self.groups.items()},
        )


def load(name: str, split: str, folder: str | Path, limit: int | None = None) -> FaceData:
    """Read one split of one data set.

    Args:
        name: A key of `DATASETS`.
        split: ``train``, ``validation``, ``test`` or (FER2013 only) ``public_test`` and ``both_tests``.
        folder: Where the packed parts are, or for ``folder`` a tree ``Emotion/Category/*.jpg``.
        limit: Take only this many, spread evenly over the split.

    Raises:
        DataError: If files are missing or malformed; the message names them.
        ValueError: If the data set or the split is unknown.
    """
    if name not in DATASETS:
        raise ValueError(f"unknown data set {name!r}; known: {', '.join(DATASETS)}")
    if split not in (*SPLITS, BOTH_TESTS):
        raise ValueError(f"unknown split {split!r}; known: {', '.join(SPLITS)}")
    data = DATASETS[name](Path(folder), split)
    if limit is not None and limit < len(data):
        data = data.take(np.linspace(0, len(data) - 1, limit).astype(int))
    if not len(data):
        raise DataError(f"{name}: no images in the split {split!r} under {folder}")
    return data


def target_for(head: str, data: FaceData) -> np.ndarray:
    """The head's targets, or "not known" for every image where the data set says nothing of it."""
    unknown = np.ones((1, len(HEADS[head])), np.float32)
    return data.targets.get(head, np.repeat(unknown, len(data), axis=0))


def digest(image: np.ndarray) -> str:
    """A hash of the pixels: equal for exact copies, whatever their file format."""
    return hashlib.sha256(str(image.shape).encode() + image.tobytes()).hexdigest()


# --- FER2013 ---------------------------------------------------------------------------------------------------------

# The columns of the FER+ votes, in the order of EMOTIONS, and the two that are no emotion.
FERPLUS_COLUMNS = [4, 5, 6, 1, 3, 2, 0, 7]
FERPLUS_UNTRUSTED = (5274, 33200)  # their votes belong to other images: nothing is learned from them


def fer2013(folder: Path, split: str) -> FaceData:
    """FER2013 with its original labels and the FER+ votes.

    ``test`` is PrivateTest, ``public_test`` is PublicTest, validation every tenth row (index % 10 == 7) of Training.
    Training has no copy of a picture of those three, validation none of a test set's. Constant images are dropped.
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


# --- UTKFace and FairFace --------------------------------------------------------------------------------------------

GENDER_FROM_DATA = np.array([1, 0])  # both sets write 0 male, 1 female; GENDERS is female, male
FAIRFACE_RACES = ("white", "black", "latino", "east_asian", "southeast_asian", "indian", "middle_eastern")
FIVE_GROUPS = ("white", "black", "asian", "indian", "other")  # UTKFace's order


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


def age_distribution(age: np.ndarray) -> np.ndarray:
    """``(N, 101)`` rows: a normal distribution of `AGE_SIGMA` years around each age, cut to 0..100, summing to one."""
    years = np.arange(YEARS, dtype=np.float32)
    centre = np.minimum(age, YEARS - 1)[:, None]
    density = np.exp(-(((years - centre) / AGE_SIGMA) ** 2) / 2)
    return (density / density.sum(1, keepdims=True)).astype(np.float32)


def _decade(age: np.ndarray) -> np.ndarray:
    decade = np.minimum(age.astype(int) // 10 * 10, 80)
    return np.array(["80+" if value == 80 else f"{value}-{value + 9}" for value in decade])


# --- a plain folder of pictures --------------------------------------------------------------------------------------


def folder(path: Path, split: str) -> FaceData:
    """Pictures in ``Emotion/Category/``, each already a face crop, the category being the name of an emotion.

    Every fifth picture of a category (by the hash of its bytes, so that copies stay together) is for validation; the
    split ``test`` takes them all.
    """
    root = path / "Emotion" if (path / "Emotion").is_dir() else path
    categories = sorted(entry for entry in root.iterdir() if entry.is_dir()) if root.is_dir() else []
    if not categories:
        raise DataError(f"{root}: expected one folder per emotion ({', '.join(EMOTIONS)}), found none")
    images, labels = [], []
    for category in categories:
        if category.name.lower() not in EMOTIONS:
            raise DataError(f"{category}: not an emotion; known: {', '.join(EMOTIONS)}")
        files = sorted(file for file in category.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
        if not files:
            raise DataError(f"{category}: holds no picture ({', '.join(IMAGE_SUFFIXES)})")
        for file in files:
            content = file.read_bytes()
            fold = crc32(content) % 5
            if split == "test" or (fold == 0) == (split == "validation"):
                image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB) if content else None
                if image is None:
                    raise DataError(f"{file}: not a picture that can be read")
                images.append(image)
                labels.append(EMOTIONS.index(category.name.lower()))
    index = np.array(labels, int)
    return FaceData(f"folder {split}", images, {"emotion": np.eye(8, dtype=np.float32)[index]}, {"emotion": index})


IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


# --- prepared data sets ----------------------------------------------------------------------------------------------


def manifest(path: Path, split: str) -> FaceData:
    """Every `manifest.csv` in a folder or below, as `training/data/` makes them."""
    from training.data.manifest import face_data  # which builds on this module

    return face_data(path, split)


# --- synthetic faces, for trying the machinery -----------------------------------------------------------------------


def synthetic(_: Path, split: str, count: int = 160) -> FaceData:
    """Drawn faces whose mouth, size, skin and hair follow their labels: learnable, and made in a moment."""
    rng = np.random.default_rng(SPLITS.index(split))
    emotion = rng.integers(0, len(EMOTIONS), count)
    gender = rng.integers(0, 2, count)
    race = rng.integers(0, len(ETHNICITIES), count)
    age = rng.integers(0, YEARS, count).astype(np.float32)
    images = [_drawn_face(*row, rng) for row in zip(emotion, gender, race, age, strict=True)]
    return FaceData(
        f"synthetic {split}",
        images,
        {
            "emotion": np.eye(len(EMOTIONS), dtype=np.float32)[emotion],
            "emotion_fer2013": np.eye(8, dtype=np.float32)[emotion][:, :7] + (emotion == 7)[:, None],
            "emotion4": np.eye(8, dtype=np.float32)[emotion][:, 3:7] + ((emotion < 3) | (emotion == 7))[:, None],
            "age": age_distribution(age),
            "gender": np.eye(2, dtype=np.float32)[gender],
            "ethnicity": np.eye(len(ETHNICITIES), dtype=np.float32)[race],
        },
        {
            "emotion": emotion,
            "emotion_fer2013": np.where(emotion < 7, emotion, -1),
            "emotion4": np.where((emotion >= 3) & (emotion < 7), emotion - 3, -1),
            "age": age,
            "gender": gender,
            "ethnicity": race,
        },
        {"gender": np.array(GENDERS)[gender]},
    )


def _drawn_face(emotion: int, gender: int, race: int, age: float, rng: np.random.Generator) -> np.ndarray:
    image = np.full((64, 64, 3), int(rng.integers(40, 90)), np.uint8)
    emotion, gender, race = int(emotion), int(gender), int(race)
    skin = (230 - 22 * race, 190 - 20 * race, 160 - 15 * race)
    if gender == 0:
        cv2.ellipse(image, (32, 30), (26, 28), 0, 0, 360, (60, 30, 20), -1)
    cv2.ellipse(image, (32, 34), (20, 26), 0, 0, 360, skin, -1)
    for x in (24, 40):
        cv2.circle(image, (x, 28), 3, (10, 10, 10), -1)
    for line in range(int(age // 20)):
        cv2.line(image, (22, 14 + 3 * line), (42, 14 + 3 * line), (90, 60, 50), 1)
    cv2.ellipse(image, (32, 46), (4 + emotion, 1 + emotion), 0, 0, 180 if emotion % 2 else 360, (150, 20, 40), 2)
    return image


DATASETS: dict[str, Callable[[Path, str], FaceData]] = {
    "fer2013": fer2013,
    "utkface": utkface,
    "fairface": fairface,
    "folder": folder,
    "manifest": manifest,
    "synthetic": synthetic,
}


# --- packed parts ----------------------------------------------------------------------------------------------------

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
