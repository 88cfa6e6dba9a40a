"""List data sets: `python -m training.data list FOLDER [--sheet IMAGE.png]` prints counts and draws a contact sheet."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from facemodels.attributes import is_numeric
from facemodels.errors import DataError
from training.data.face_data import AGE_BINS, SPLITS
from training.data.manifest import AGE_BIN_NAMES, LABELS, VOTES, Sample, find_manifests, read_manifest, read_sample

TILE = 72  # pixels
TILES = 10  # images of a class on the contact sheet
MARGIN = 150  # pixels, for the names of the classes
LINE = 28  # pixels, of a title


def classes(samples: Sequence[Sample]) -> dict[str, dict[str, list[Sample]]]:
    """Label column to class to its images; ages in years are counted by bin, votes not at all."""
    found: dict[str, dict[str, list[Sample]]] = {}
    for column in LABELS:
        if column == VOTES or not any(column in sample.labels for sample in samples):
            continue
        names = AGE_BIN_NAMES if is_numeric(column) else LABELS[column]
        found[column] = {name: [] for name in (*names, "not known")}
        for sample in samples:
            value = sample.labels.get(column, "not known")
            if is_numeric(column) and value.isdecimal():
                value = AGE_BIN_NAMES[sum(int(value) >= first for first, _ in AGE_BINS) - 1]
            found[column][value].append(sample)
        if not found[column]["not known"]:
            del found[column]["not known"]
    return found


def table(samples: Sequence[Sample]) -> str:
    """Counts per class and split, as text; a class without an image shows as zeros."""
    splits = [split for split in SPLITS if any(sample.split == split for sample in samples)]
    lines = []
    for column, members in classes(samples).items():
        lines.append(f"  {column:<18}" + "".join(f"{split:>13}" for split in (*splits, "all")))
        for name, shown in [*members.items(), ("all", list(samples))]:
            count = Counter(sample.split for sample in shown)
            lines.append(f"    {name:<16}" + "".join(f"{n:>13,}" for n in (*(count[s] for s in splits), len(shown))))
    return "\n".join(lines)


def contact_sheet(manifests: dict[str, list[Sample]]) -> Image.Image:
    """An image with a row per class: `TILES` images spread evenly over it, and its size."""
    rows: list[tuple[str, list[Sample]]] = []
    for title, samples in manifests.items():
        rows.append((f"{title}: {len(samples):,} images", []))
        for column, members in classes(samples).items():
            rows.append((column, []))
            rows += [(f"{name}\n{len(shown):,}", shown) for name, shown in members.items() if shown]
    height = sum(TILE if shown else LINE for _, shown in rows)
    sheet = Image.new("RGB", (MARGIN + TILES * TILE, height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    top = 0
    for text, shown in rows:
        draw.text((8, top + 6), text, fill="black", font=font)
        for place, index in enumerate(np.unique(np.linspace(0, len(shown) - 1, TILES).astype(int)) if shown else ()):
            tile = ImageOps.contain(Image.fromarray(read_sample(shown[index])), (TILE - 2, TILE - 2))
            sheet.paste(tile, (MARGIN + place * TILE, top + 1))
        top += TILE if shown else LINE
    return sheet


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training.data", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="counts per class and split of every manifest below a folder")
    listing.add_argument("folder", type=Path, nargs="?", default=Path(), metavar="FOLDER", help="default: here")
    listing.add_argument("--sheet", type=Path, metavar="IMAGE.png", help="draw a contact sheet")
    options = parser.parse_args(arguments)
    if options.sheet and options.sheet.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        parser.error(f"--sheet {options.sheet}: the contact sheet must be a .png, .jpg or .webp")

    files = find_manifests(options.folder)
    if not files:
        sys.exit(f"error: {options.folder}: no manifest.csv here or below; make one with training.data.NAME.prepare")
    manifests, problems = {}, []
    for file in files:
        try:
            samples = read_manifest(file)
        except DataError as error:
            problems.append(str(error))
            continue
        manifests[str(file.parent.relative_to(options.folder))] = samples
        print(f"{file}: {len(samples):,} images\n{table(samples)}\n")
    if options.sheet and manifests:
        try:
            contact_sheet(manifests).save(options.sheet)
            print(options.sheet)
        except (DataError, OSError) as error:
            problems.append(str(error))
    if problems:
        sys.exit("\n".join(f"error: {problem}" for problem in problems))


if __name__ == "__main__":
    main()
