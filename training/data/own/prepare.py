"""Your own pictures: photos, or faces that are cut already, labelled by folder names or in a csv.

    SOURCE/happy/*.jpg        or SOURCE/Emotion/happy/*.jpg, SOURCE/Gender/female/*.jpg, SOURCE/Age/31/*.jpg
    labels.csv                path,emotion,age,gender,ethnicity,person
    corrections.csv           path,x1,y1,x2,y2,emotion,age,gender,ethnicity

Of a photo the largest face is taken, or the one in the box that the csv names (as corrections from the app do), cut as
the emotion model sees it (a config with margin and offset 0, the defaults, fits); with `--crops` each picture is one
face, taken whole. A csv needs `path` and one column of labels, ages in years; an empty cell is "not known". `person`
says who it is: all pictures of one person go together.

Licence: yours to state. Ask the people in the pictures.

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
from training.data.manifest import Picture
from training.data.preparing import LeftOut, build, write_picture

SIDE = 160  # pixels of a face that is cut out
PERSON = "person"


def prepare(source: Path, target: Path, *, unified: bool = False, crops: bool = False) -> Path:
    """Write the manifest of your pictures, and the faces cut out of them, to a folder; see the module's docstring.

    Raises:
        DataError: If a label, a file or a folder is not in order; the message names it, and the line.
    """
    detector = None if crops else make_detector("auto")

    def read(source: Path, images: Path, left_out: LeftOut) -> Iterator[Picture]:
        return _read(source, images, left_out, detector)

    return build(source, target, read, unified)


def _read(source: Path, images: Path, left_out: LeftOut, detector: FaceDetector | None) -> Iterator[Picture]:
    pictures, unused = read_labels(source)
    if PERSON in unused:
        pictures, _ = read_labels(source, [PERSON])
    five = any(picture.labels.get("ethnicity") in set(FIVE_GROUPS) - set(ETHNICITIES) for picture in pictures)
    for number, picture in enumerate(pictures):
        where = picture.where or str(picture.path.parent)
        path = picture.path
        if detector is not None:
            face = _face(picture, detector)
            if face is None:
                left_out("photos in which no face was found", f"{where} {path.name}")
                continue
            path = write_picture(images / f"{number:06d}_{path.stem}.jpg", face)
        name = os.path.relpath(picture.path, source if source.is_dir() else source.parent)
        yield Picture(path, "", _labels(picture, five), picture.groups.get(PERSON) or Path(name).as_posix(), where)


def _face(picture: LabelledImage, detector: FaceDetector) -> cv2.typing.MatLike | None:
    """The labelled face of a photo, upright, as BGR; None if there is none."""
    try:
        pixels = read_image(picture.path)
    except ImageError as error:
        raise DataError(f"{picture.where or picture.path.parent}: {error}; repair or remove it") from error
    face = picture.choose(detector.detect(pixels))
    if face is None:
        return None
    return cut(pixels, face_window(face.box, landmarks=face.landmarks), SIDE)[:, :, ::-1]


def _labels(picture: LabelledImage, five: bool) -> dict[str, str]:
    """The labels by the manifest's columns: five ethnicities have one of their own, ages are whole years."""
    labels = dict(picture.labels)
    if "age" in labels:
        labels["age"] = str(round(float(labels["age"])))
    if five and "ethnicity" in labels:
        labels["ethnicity_five"] = labels.pop("ethnicity")
    return labels


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, metavar="FOLDER_OR_CSV", help="your pictures with their labels")
    parser.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="where manifest.csv goes")
    parser.add_argument("--crops", action="store_true", help="each picture is one face already")
    parser.add_argument("--unified", action="store_true", help="also copy to unified/SPLIT/Emotion/Category/")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        print(prepare(options.source, options.to, unified=options.unified, crops=options.crops))
    except DataError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
