"""FairFace: 97,698 faces from Flickr, balanced over seven ethnicities, with a gender and an age bin.

Download: the images with "Padding=0.25" and the two tables of labels, linked from the repository "joojs/fairface" on
GitHub, and unpack:

    SOURCE/fairface_label_train.csv     file,age,gender,race,service_test
    SOURCE/fairface_label_val.csv
    SOURCE/train/1.jpg ...
    SOURCE/val/1.jpg ...

Licence: CC BY 4.0.
Cite: Karkkainen and Joo, FairFace: Face Attribute Dataset for Balanced Race, Gender, and Age for Bias Measurement and
Mitigation, WACV 2021.

Splits: val, which the field reports on, is `test`; `validation` is carved from train. Labels: `age_bin`, `gender`,
`ethnicity`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from facemodels.evaluation.tables import read_table
from training.data.manifest import Sample, check_label
from training.data.preparing import LeftOut, build, command, find

TABLES = (("fairface_label_train.csv", "train"), ("fairface_label_val.csv", "test"))
OTHER_NAMES = {"more than 70": "70+", "latino_hispanic": "latino"}


def prepare(source: Path, target: Path, *, unified: bool = False) -> Path:
    """Write FairFace's manifest to a folder; see the module's docstring.

    Raises:
        DataError: If a file is missing or malformed.
    """
    return build(source, target, _read, unified)


def _read(source: Path, images: Path, left_out: LeftOut) -> Iterator[Sample]:
    for table, split in TABLES:
        for where, cells in read_table(find(source, table), ("file", "age", "gender", "race")):
            labels = {}
            for column, name in (("age_bin", "age"), ("gender", "gender"), ("ethnicity", "race")):
                value = OTHER_NAMES.get(cells[name].lower(), cells[name].lower().replace(" ", "_"))
                labels[column] = check_label(column, value or "(nothing)", where)
            yield Sample(source / cells["file"], split, labels, cells["file"], where)


if __name__ == "__main__":
    command(prepare, __doc__)
