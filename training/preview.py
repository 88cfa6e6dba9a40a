"""Preview augmented training crops: `python -m training.preview CONFIG --data DIR --out preview.png`.

Also the faces of each label, and the training curves of a run, for the notebooks.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from facemodels.attributes import FIVE_GROUPS, is_numeric
from facemodels.crops import cut, whole_window
from facemodels.errors import DataError
from training.config import Config, load_config
from training.data import load
from training.data.face_data import AGE_BINS, HEADS, FaceData

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TILE = 80  # pixels
MARGIN = 130  # pixels, for the captions of the rows


def grid(rows: Sequence[Sequence[np.ndarray]], captions: Sequence[str] | None = None, tile: int = TILE) -> Image.Image:
    """Images in rows, each brought to a square tile.

    Args:
        rows: Per row its images, ``(H, W, 3)`` or ``(H, W)`` uint8.
        captions: A word or two per row, written on its left.
        tile: Side of a tile, pixels.

    Example:
        >>> grid([[np.zeros((48, 48, 3), np.uint8)] * 3], tile=50).size
        (150, 50)
    """
    left = MARGIN if captions else 0
    sheet = Image.new("RGB", (left + tile * max(len(row) for row in rows), tile * len(rows)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for line, row in enumerate(rows):
        if captions:
            draw.text((6, line * tile + 6), captions[line], fill="black", font=font)
        for column, image in enumerate(row):
            square = cut(image, whole_window(image), tile - 2)
            sheet.paste(Image.fromarray(square), (left + column * tile, line * tile))
    return sheet


def augmented(config: Config, faces: Sequence[np.ndarray], copies: int = 8, tile: int = TILE) -> Image.Image:
    """A row per face: the original image, then the augmented crops of as many epochs.

    Args:
        config: Its augmentation, input size, grey and seed are shown.
        faces: Face crops.
        copies: Augmented crops per face.
        tile: Side of a tile, pixels.
    """
    rng = np.random.default_rng(config.seed)
    rows = []
    for face in faces:
        seen = [config.augment(face, config.input_size, rng) for _ in range(copies)]
        rows.append([face, *([cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY) for crop in seen] if config.grey else seen)])
    return grid(rows, tile=tile)


def examples(data: FaceData, label: str, each: int = 8, tile: int = TILE) -> Image.Image:
    """A row per class, with its number of faces; ages by bin.

    Args:
        data: From `training.data.load`.
        label: What is labelled, a key of ``data.labels``.
        each: Faces per class, the first ones.
        tile: Side of a tile, pixels.

    Raises:
        ValueError: If the data set does not label it.
    """
    if label not in data.labels:
        raise ValueError(f"{data.name} does not label {label!r}; it labels: {', '.join(data.labels)}")
    values = data.labels[label]
    if is_numeric(label):
        classes = {f"{first} to {last}": (values >= first) & (values <= last) for first, last in AGE_BINS}
    else:
        names = FIVE_GROUPS if label == "ethnicity_five" else HEADS[label]
        classes = {name.replace("_", " "): values == index for index, name in enumerate(names)}
    present = {f"{name}\n{members.sum():,}": np.flatnonzero(members)[:each] for name, members in classes.items()}
    shown = {caption: rows for caption, rows in present.items() if len(rows)}
    return grid([[data.images[row] for row in rows] for rows in shown.values()], list(shown), tile)


def curves(run: str | Path, columns: Sequence[str]) -> Figure:
    """The training curves of a run.

    Args:
        run: Its folder.
        columns: Out of its `log.csv`; those whose names end alike (``loss``, ``val_loss``) share a plot.

    Raises:
        DataError: If the run has no log, or the log no such column.
    """
    from matplotlib.figure import Figure

    file = Path(run) / "log.csv"
    if not file.is_file():
        raise DataError(f"{file}: no such file; is this the folder of a training run?")
    with file.open(newline="") as stream:
        epochs = list(csv.DictReader(stream))
    if missing := [column for column in columns if not epochs or column not in epochs[0]]:
        raise DataError(f"{file}: lacks {', '.join(missing)}; it has: {', '.join(epochs[0] if epochs else ())}")
    plots: dict[str, list[str]] = {}
    for column in columns:
        plots.setdefault(column.removeprefix("val_"), []).append(column)
    figure = Figure((4 * len(plots), 3), layout="constrained")
    for axes, (name, members) in zip(figure.subplots(1, len(plots), squeeze=False)[0], plots.items(), strict=True):
        for column in members:
            axes.plot(range(1, len(epochs) + 1), [float(epoch[column]) for epoch in epochs], label=column)
        axes.set(xlabel="epoch", title=name.replace("_", " "))
        axes.legend()
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m training.preview", description=__doc__)
    parser.add_argument("config", help="a file of training/configs, or your own")
    parser.add_argument("--data", default=os.environ.get("FACEMODELS_DATA"), help="folder of the data sets")
    parser.add_argument("--out", type=Path, default=Path("preview.png"), help="image to write (default: %(default)s)")
    parser.add_argument("--faces", type=int, default=6, help="rows (default: %(default)s)")
    parser.add_argument("--copies", type=int, default=8, help="augmented crops in a row (default: %(default)s)")
    parser.add_argument("--smoke", action="store_true", help="synthetic faces instead of the data sets")
    options = parser.parse_args(arguments)
    if options.faces < 1 or options.copies < 1:
        parser.error("--faces and --copies must be at least 1")
    if options.out.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        parser.error(f"--out {options.out}: the preview must be a .png, .jpg or .webp")
    if not options.smoke and not options.data:
        parser.error("give the folder of the data sets with --data or FACEMODELS_DATA (or --smoke)")
    try:
        config = load_config(options.config)
        name = "synthetic" if options.smoke else config.datasets[0]
        faces = load(name, "train", options.data or ".", options.faces).images
        augmented(config, faces, options.copies).save(options.out)
    except (DataError, OSError, TypeError) as error:
        sys.exit(f"error: {error}")
    print(options.out)


if __name__ == "__main__":
    main()
