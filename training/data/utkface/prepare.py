"""UTKFace: 23,708 faces from the web, each with an age, a gender and one of five ethnicities.

Download: "Aligned&Cropped Faces" on the page "UTKFace - Large Scale Face Dataset" of Yang Song and Zhifei Zhang, and
unpack it; the labels are in the file names, [age]_[gender]_[race]_[date].jpg.chip.jpg:

    SOURCE/UTKFace/26_0_2_20170104023102422.jpg.chip.jpg      or the images in SOURCE itself

Licence: non-commercial research only; the copyright stays with the images' owners.
Cite: Zhang, Song and Qi, Age Progression/Regression by Conditional Adversarial Autoencoder, CVPR 2017.

Splits: the set has none, and does not identify people; copies stay together, and go by the hash of their first file
name, 10 % to `test`, 10 % to `validation`. Labels: `age`, `gender`, `ethnicity_five`. A few file names
of the public archive lack a label: they are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from facemodels.attributes import FIVE_GROUPS
from training.data.manifest import LABELS, Sample
from training.data.preparing import LeftOut, build, command, find

NAME = re.compile(r"(\d+)_([01])_([0-4])_\d+[ .]*jpg\.chip\.jpg")  # two have a blank or lack a dot
GENDERS_FROM_ZERO = ("male", "female")


def prepare(source: Path, target: Path, *, unified: bool = False) -> Path:
    """Write UTKFace's manifest to a folder; see the module's docstring.

    Raises:
        DataError: If there are no such images.
    """
    return build(source, target, _read, unified)


def _read(source: Path, images: Path, left_out: LeftOut) -> Iterator[Sample]:
    folder = find(source, "UTKFace", ".")
    for file in sorted(folder.glob("*.jpg")):
        match = NAME.fullmatch(file.name)
        if match is None or match[1] not in LABELS["age"]:
            left_out("images whose names are not [age]_[gender]_[race]_[date].jpg.chip.jpg", str(file))
            continue
        age, gender, race = match.groups()
        labels = {"age": age, "gender": GENDERS_FROM_ZERO[int(gender)], "ethnicity_five": FIVE_GROUPS[int(race)]}
        yield Sample(file, "", labels, file.name, str(folder))


if __name__ == "__main__":
    command(prepare, __doc__)
