"""Shared by every `prepare.py`: atomic output, counts of what was left out, folders, the command line."""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from tqdm import tqdm

from facemodels.attributes import ATTRIBUTES
from facemodels.errors import DataError
from training.data.face_data import digest
from training.data.manifest import (
    MANIFEST,
    TEST_SPLITS,
    Sample,
    assign_splits,
    read_manifest,
    read_sample,
    write_manifest,
)

log = logging.getLogger(__name__)

OUTPUTS = ("images", "unified")  # the folders that a preparation may make beside its manifest
STAGING = ".partial"
# Label column -> its folder among the unified ones.
UNIFIED = {**{name: name.capitalize() for name in ATTRIBUTES}, "age_bin": "Age", "ethnicity_five": "Ethnicity"}


class LeftOut:
    """Counts what a preparation leaves out, by reason, with an example of each: nothing is dropped silently."""

    def __init__(self) -> None:
        self.reasons: dict[str, list[str]] = {}

    def __call__(self, reason: str, what: str) -> None:
        self.reasons.setdefault(reason, []).append(what)

    def __str__(self) -> str:
        return "; ".join(f"left out {len(what)} {reason}, such as {what[0]}" for reason, what in self.reasons.items())


# A data set's reader: its folder, a folder for new images, and a counter of what is left out.
Reader = Callable[[Path, Path, LeftOut], Iterable[Sample]]


class Prepare(Protocol):
    """The function that every `prepare.py` defines."""

    def __call__(self, source: Path, target: Path, *, unified: bool = False) -> Path: ...


def build(source: Path, target: Path, read: Reader, unified: bool) -> Path:
    """Read a data set, assign its splits, and write its manifest (and folders) into `target`.

    Everything is written to a hidden folder and moved into place at the end, the manifest last: a folder without one
    is not a result. A run that fails before that leaves an earlier result unchanged.

    Returns:
        The path of the manifest.

    Raises:
        DataError: If the source is missing or malformed, or the target cannot be written.
    """
    source, target = Path(source), Path(target)
    if not source.exists():
        raise DataError(f"{source}: no such folder; run the command with --help to see what to download")
    _check_target(source, target)
    staging, left_out = target / STAGING, LeftOut()
    try:
        shutil.rmtree(staging, ignore_errors=True)  # of a run that was killed
        staging.mkdir(parents=True)
        samples, digests = _readable(read(source, staging / "images", left_out), left_out)
        if not samples:
            raise DataError(f"{source}: no usable image found; {left_out or 'is this the right folder?'}")
        settled = assign_splits(samples, digests, left_out)
        if unified:
            write_unified(settled, staging / "unified", left_out)
        write_manifest(staging / MANIFEST, settled)
        for name in (MANIFEST, *OUTPUTS):
            if (target / name).exists():
                (target / name).replace(staging / f"old-{name}")
        for name in (*OUTPUTS, MANIFEST):
            if (staging / name).exists():
                (staging / name).replace(target / name)
    except OSError as error:
        raise DataError(f"{target}: could not be prepared: {error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        with suppress(OSError):
            target.rmdir()  # only goes where nothing was made
    for reason, what in left_out.reasons.items():
        log.warning("%s: left out %d %s, such as %s", source, len(what), reason, ", ".join(what[:3]))
    copies = len(samples) - len(set(digests))
    log.info("%s: %d images, %d of them exact copies", target / MANIFEST, len(read_manifest(target)), copies)
    return target / MANIFEST


def _check_target(source: Path, target: Path) -> None:
    """Refuse a target whose `images` or `unified` may hold other data."""
    if target.is_file() or source.resolve().is_relative_to(target.resolve()):
        raise DataError(f"{target}: is a file, or holds the data set itself; give another folder with --to")
    foreign = [name for name in OUTPUTS if (target / name).exists() and not (target / MANIFEST).is_file()]
    if foreign:
        raise DataError(f"{target / foreign[0]}: is not of a finished run; remove it, or give another folder with --to")


def _readable(samples: Iterable[Sample], left_out: LeftOut) -> tuple[list[Sample], list[str]]:
    """The images that exist, and the hashes of their pixels."""
    found: list[Sample] = []
    digests: list[str] = []
    for sample in tqdm(samples, unit=" images", disable=None):
        if not sample.path.is_file():
            left_out("images that are listed but do not exist", f"{sample.where} {sample.path}")
            continue
        image = read_sample(sample)
        if sample.split not in TEST_SPLITS and image.min() == image.max():
            left_out("training images of one colour", f"{sample.where} {sample.path.name}")
            continue
        found.append(sample)
        digests.append(digest(image))
    return found, digests


def write_unified(samples: Sequence[Sample], folder: Path, left_out: LeftOut) -> None:
    """Copy the images to ``folder/SPLIT/Attribute/category/``, for example ``train/Emotion/happy/``.

    Validation goes into ``train``: those who train on folders split off a validation part themselves, but must never
    train on a test part.
    """
    for number, sample in enumerate(samples):
        split = sample.split if sample.split in TEST_SPLITS else "train"
        categories = [(UNIFIED[column], value) for column, value in sample.labels.items() if column in UNIFIED]
        for attribute, category in categories:
            place = folder / split / attribute / category
            place.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(sample.path, place / f"{number:06d}_{sample.path.name}")
        if not categories:
            left_out("images without a category from unified/ (the manifest has them)", f"{sample.where}")


# --- for the readers -------------------------------------------------------------------------------------------------


def find(source: Path, *names: str) -> Path:
    """The first of these files or folders that the data set has.

    Raises:
        DataError: If it has none.
    """
    for name in names:
        if (source / name).exists():
            return source / name
    raise DataError(f"{source}: holds no {' or '.join(names)}; run the command with --help to see the layout")


def find_optional(source: Path, *names: str) -> Path | None:
    """The first of these files or folders that the data set has, if any."""
    return next((source / name for name in names if (source / name).exists()), None)


def pick(labels: Sequence[str], code: str, where: str, what: str) -> str:
    """The label with this number.

    Raises:
        DataError: If it is no whole number, or there is no such label; the message begins with `where`.
    """
    if not code.isdecimal() or int(code) >= len(labels):
        raise DataError(f"{where}: {what} {code!r} is out of range; known: 0..{len(labels) - 1}")
    return labels[int(code)]


def write_image(path: Path, image: np.ndarray) -> Path:
    """Write a grey or BGR image, in the format of its suffix; a full disk is an OSError (`cv2.imwrite` hides it)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = [cv2.IMWRITE_JPEG_QUALITY, 95] if path.suffix.lower() in (".jpg", ".jpeg") else []
    path.write_bytes(cv2.imencode(path.suffix, image, options)[1].tobytes())
    return path


def command(prepare: Prepare, description: str | None, arguments: Sequence[str] | None = None) -> None:
    """The command line of a `prepare.py`: ``SOURCE --to FOLDER [--unified]``."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, metavar="SOURCE", help="the downloaded data set, unpacked")
    parser.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="where manifest.csv goes")
    parser.add_argument("--unified", action="store_true", help="also copy to unified/SPLIT/Emotion/Category/")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        print(prepare(options.source, options.to, unified=options.unified))
    except DataError as error:
        sys.exit(f"error: {error}")
