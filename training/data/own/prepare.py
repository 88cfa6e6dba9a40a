"""Your own images: photos or face crops, labelled by folder names or in a csv.

    SOURCE/happy/*.jpg        or SOURCE/Emotion/happy/*.jpg, SOURCE/Gender/female/*.jpg, SOURCE/Age/31/*.jpg
    labels.csv                path,emotion,age,gender,ethnicity,person
    corrections.csv           path,x1,y1,x2,y2,emotion,age,gender,ethnicity

Of a photo the largest face is taken, or the one in the box that the csv names (as corrections from the app do), cut as
the emotion model sees it (a config with margin and offset 0, the defaults, fits); with `--crops` each image is one
face, used as it is. A csv needs `path` and one column of labels, ages in years; an empty cell is "not known". `person`
identifies the person: all images of one person go into one split.

Licence: for you to state. Ask the people in the images for their consent.

Splits: by the hash of the person, or of the file where there is none, 10 % to `test`, 10 % to `validation`; copies stay
together.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2

from facemodels.attributes import ETHNICITIES, FIVE_GROUPS
from facemodels.crops import cut, face_window
from facemodels.detection import FaceDetector, make_detector
from facemodels.errors import DataError, ImageError
from facemodels.evaluation.labels import LabelledImage, read_labels
from facemodels.images import read_image
from training.data.manifest import Sample
from training.data.preparing import LeftOut, build, write_image

SIDE = 160  # pixels of a face that is cut out
PERSON = "person"


def prepare(source: Path, target: Path, *, unified: bool = False, crops: bool = False) -> Path:
    """Write the manifest of your images, and the faces cut out of them, to a folder; see the module's docstring.

    Raises:
        DataError: If a label, a file or a folder is malformed; the message names it, and the line.
    """
    detector = None if crops else make_detector("auto")

    def read(source: Path, images: Path, left_out: LeftOut) -> Iterator[Sample]:
        return _read(source, images, left_out, detector)

    return build(source, target, read, unified)


def _read(source: Path, images: Path, left_out: LeftOut, detector: FaceDetector | None) -> Iterator[Sample]:
    samples, unused = read_labels(source)
    if PERSON in unused:
        samples, _ = read_labels(source, [PERSON])
    five = any(sample.labels.get("ethnicity") in set(FIVE_GROUPS) - set(ETHNICITIES) for sample in samples)
    for number, sample in enumerate(samples):
        where = sample.where or str(sample.path.parent)
        path = sample.path
        if detector is not None:
            face = _face(sample, detector)
            if face is None:
                left_out("photos in which no face was found", f"{where} {path.name}")
                continue
            path = write_image(images / f"{number:06d}_{path.stem}.jpg", face)
        name = os.path.relpath(sample.path, source if source.is_dir() else source.parent)
        yield Sample(path, "", _labels(sample, five), sample.groups.get(PERSON) or Path(name).as_posix(), where)


def _face(sample: LabelledImage, detector: FaceDetector) -> cv2.typing.MatLike | None:
    """The labelled face of a photo, upright, as BGR; None if there is none."""
    try:
        pixels = read_image(sample.path)
    except ImageError as error:
        raise DataError(f"{sample.where or sample.path.parent}: {error}; repair or remove it") from error
    face = sample.choose(detector.detect(pixels))
    if face is None:
        return None
    return cut(pixels, face_window(face.box, landmarks=face.landmarks), SIDE)[:, :, ::-1]


def _labels(sample: LabelledImage, five: bool) -> dict[str, str]:
    """The labels by the manifest's columns: five ethnicities have one of their own, ages are whole years."""
    labels = dict(sample.labels)
    if "age" in labels:
        labels["age"] = str(round(float(labels["age"])))
    if five and "ethnicity" in labels:
        labels["ethnicity_five"] = labels.pop("ethnicity")
    return labels


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, metavar="FOLDER_OR_CSV", help="your images with their labels")
    parser.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="where manifest.csv goes")
    parser.add_argument("--crops", action="store_true", help="the images are already cropped to one face each")
    parser.add_argument("--unified", action="store_true", help="also copy to unified/SPLIT/Emotion/Category/")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        print(prepare(options.source, options.to, unified=options.unified, crops=options.crops))
    except DataError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
