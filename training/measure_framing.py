"""Measure how a data set's crops sit around a detected face: `python -m training.measure_framing utkface --data DIR`.

Serving must frame faces as the training crops do. This detects the faces in a sample of the training split with the
default detector and prints the `margin` and `offset` (medians) that reproduce the training crop, for the config.
"""

from __future__ import annotations

import argparse
import os

import cv2
import numpy as np

from facemodels.detection import DETECTORS, make_detector
from training.data import DATASETS, load


def framing(name: str, folder: str, detector: str, count: int) -> dict[str, float]:
    """The framing of a data set.

    Args:
        name: Data set.
        folder: Folder of the data sets.
        detector: A key of `facemodels.detection.DETECTORS`.
        count: Images to measure.

    Returns:
        Medians and quartiles of margin and offset, and the fraction of images in which a face was found.
    """
    finder = make_detector(detector)
    assert finder is not None
    margins, offsets = [], []
    for image in load(name, "train", folder, count).images:
        colour = image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)
        big = cv2.resize(colour, (224, 224), interpolation=cv2.INTER_CUBIC)
        faces = finder.detect(cv2.copyMakeBorder(big, 112, 112, 112, 112, cv2.BORDER_CONSTANT), 0.8)
        if faces:
            box = faces[0].box
            long_side = max(box.width, box.height)
            margins.append((224 / long_side - 1) / 2)
            offsets.append((224 - (box.y1 + box.y2) / 2) / long_side)
    measured = {"found": len(margins) / count}
    for key, values in (("margin", margins), ("offset", offsets)):
        low, middle, high = np.percentile(values, (25, 50, 75))
        measured.update({f"{key}_q1": low, key: middle, f"{key}_q3": high})
    return measured


def main() -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m training.measure_framing", description=__doc__.splitlines()[0])
    parser.add_argument("dataset", choices=DATASETS)
    parser.add_argument("--data", default=os.environ.get("FACEMODELS_DATA", "."), help="folder of the data sets")
    parser.add_argument("--detector", default="libfacedetection", choices=DETECTORS)
    parser.add_argument("--count", type=int, default=500, help="images to measure")
    options = parser.parse_args()
    for key, value in framing(options.dataset, options.data, options.detector, options.count).items():
        print(f"{key:10} {value:7.3f}")


if __name__ == "__main__":
    main()
