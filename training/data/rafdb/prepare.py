"""RAF-DB, basic emotions: 15,339 faces from the web, each judged by about 40 people, with one of seven emotions.

Download: request it (by e-mail, from an academic address) on the page "Real-world Affective Faces Database" of Weihong
Deng's group, Beijing University of Posts and Telecommunications, and unpack the folder `basic`:

    SOURCE/basic/EmoLabel/list_patition_label.txt      train_00001.jpg 5
    SOURCE/basic/Image/aligned/train_00001_aligned.jpg

Licence: research only, not to be passed on, as agreed on request.
Cite: Li, Deng and Du, Reliable Crowdsourcing and Deep Locality-Preserving Learning for Expression Recognition in the
Wild, CVPR 2017.

Splits: the set's own, train_ and test_ in the file names; `validation` is carved from training. Label: `emotion`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from facemodels.errors import DataError
from training.data.manifest import Sample
from training.data.preparing import LeftOut, build, command, find

EMOTIONS_FROM_ONE = ("surprise", "fear", "disgust", "happy", "sad", "angry", "neutral")
SPLITS = {"train": "train", "test": "test"}


def prepare(source: Path, target: Path, *, unified: bool = False) -> Path:
    """Write RAF-DB's manifest to a folder; see the module's docstring.

    Raises:
        DataError: If a file is missing or malformed.
    """
    return build(source, target, _read, unified)


def _read(source: Path, images: Path, left_out: LeftOut) -> Iterator[Sample]:
    labels = find(source, "basic/EmoLabel/list_patition_label.txt", "EmoLabel/list_patition_label.txt")
    folder = find(source, "basic/Image/aligned", "Image/aligned")
    try:
        lines = labels.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{labels}: is no text: {error}") from error
    for number, line in enumerate(lines, start=1):
        where, cells = f"{labels}:{number}", line.split()
        if not cells:
            continue
        name, split = Path(cells[0]).stem, SPLITS.get(cells[0].split("_")[0])
        if len(cells) != 2 or split is None:
            raise DataError(f"{where}: expected a line like 'train_00001.jpg 5', found {line!r}")
        if cells[1] not in map(str, range(1, len(EMOTIONS_FROM_ONE) + 1)):
            raise DataError(f"{where}: emotion {cells[1]!r} is out of range; known: 1..{len(EMOTIONS_FROM_ONE)}")
        label = EMOTIONS_FROM_ONE[int(cells[1]) - 1]
        yield Sample(folder / f"{name}_aligned.jpg", split, {"emotion": label}, name, where)


if __name__ == "__main__":
    command(prepare, __doc__)
