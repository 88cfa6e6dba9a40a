"""CK+ (Extended Cohn-Kanade): 593 sequences of 123 people, from neutral to the peak; 327 with an emotion.

Download: request it on the page "Cohn-Kanade" of the Affect Analysis Group, University of Pittsburgh, and unpack
cohn-kanade-images.zip, Emotion_labels.zip and, to have the faces cut out, Landmarks.zip:

    SOURCE/cohn-kanade-images/S005/001/S005_001_00000011.png
    SOURCE/Emotion/S005/001/S005_001_00000011_emotion.txt         3.0000000e+00
    SOURCE/Landmarks/S005/001/S005_001_00000011_landmarks.txt     68 lines "x y"

Licence: the agreement you sign; research only, not to be passed on.
Cite: Lucey, Cohn, Kanade, Saragih, Ambadar and Matthews, The Extended Cohn-Kanade Dataset (CK+): A complete dataset for
action unit and emotion-specified expression, CVPR Workshops 2010.

The last three frames of a sequence carry its emotion, its first is neutral; sequences without an emotion are left out.
Splits: the set has none; people go by the hash of their number, 10 % to `test`, 10 % to `validation`. Label: `emotion`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from facemodels.errors import DataError
from training.data.manifest import Sample, read_sample
from training.data.preparing import LeftOut, build, command, find, find_optional, write_image

log = logging.getLogger(__name__)

EMOTIONS_FROM_ZERO = ("neutral", "angry", "contempt", "disgust", "fear", "happy", "sad", "surprise")
PEAK_FRAMES = 3
MARGIN = 0.15  # of the landmarks' longer side, on each side: they begin at the eyebrows and end at the chin


def prepare(source: Path, target: Path, *, unified: bool = False) -> Path:
    """Write CK+'s manifest (and the faces, where there are landmarks) to a folder; see the module's docstring.

    Raises:
        DataError: If a file is missing or malformed.
    """
    return build(source, target, _read, unified)


def _read(source: Path, images: Path, left_out: LeftOut) -> Iterator[Sample]:
    frames_folder = find(source, "cohn-kanade-images", "extended-cohn-kanade-images/cohn-kanade-images")
    labels_folder = find(source, "Emotion", "Emotion_labels/Emotion")
    landmarks = find_optional(source, "Landmarks", "Landmarks/Landmarks")
    if landmarks is None:
        log.warning("%s: no Landmarks folder, so whole frames are taken; faces should be cut out of them", source)
    sequences = sorted(folder for folder in frames_folder.glob("S*/*") if folder.is_dir())
    for sequence in sequences:
        place = sequence.relative_to(frames_folder)
        files = sorted((labels_folder / place).glob("*_emotion.txt"))
        frames = sorted(sequence.glob("*.png"))
        if not files:
            left_out("sequences without an emotion", str(sequence))
            continue
        emotion = _emotion(files[0])
        peak = files[0].name.removesuffix("_emotion.txt")
        if len(frames) <= PEAK_FRAMES or frames[-1].stem != peak:
            left_out("sequences that lack frames", f"{sequence} (up to {peak})")
            continue
        for frame in (frames[0], *frames[-PEAK_FRAMES:]):
            label = "neutral" if frame == frames[0] else emotion
            sample = Sample(frame, "", {"emotion": label}, place.parts[0], str(files[0]))
            if landmarks is None:
                yield sample
            elif (points := landmarks / place / f"{frame.stem}_landmarks.txt").is_file():
                face = _cut(read_sample(sample), points)
                path = write_image(images / place / frame.name, cv2.cvtColor(face, cv2.COLOR_RGB2BGR))
                yield Sample(path, "", sample.labels, sample.group, sample.where)
            else:
                left_out("frames without landmarks", str(frame))
    known = {sequence.relative_to(frames_folder) for sequence in sequences}
    for file in sorted(labels_folder.glob("S*/*/*_emotion.txt")):
        if file.parent.relative_to(labels_folder) not in known:
            left_out("emotions whose sequence is missing", str(file))


def _emotion(file: Path) -> str:
    try:
        code = float(file.read_text(encoding="ascii"))
        return {float(i): name for i, name in enumerate(EMOTIONS_FROM_ZERO)}[code]
    except (ValueError, KeyError) as error:
        raise DataError(f"{file}:1: expected one number 0..{len(EMOTIONS_FROM_ZERO) - 1}") from error


def _cut(frame: np.ndarray, file: Path) -> np.ndarray:
    """The square around the landmarks, cut to the frame."""
    try:
        points = np.array(file.read_text(encoding="ascii").split(), float).reshape(-1, 2)
        low, high = points.min(0), points.max(0)
        half = float((high - low).max()) * (0.5 + MARGIN)
        (left, top), (right, bottom) = (np.rint((low + high) / 2 + move).astype(int) for move in (-half, half))
    except (ValueError, OverflowError) as error:
        raise DataError(f"{file}: expected lines of two numbers, x and y") from error
    face = frame[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    if not face.size:
        raise DataError(f"{file}: its points lie outside the frame")
    return face


if __name__ == "__main__":
    command(prepare, __doc__)
