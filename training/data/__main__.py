"""What is there: `python -m training.data list FOLDER [--sheet PICTURE.png]`, counts and a contact sheet."""

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
from training.data.manifest import AGE_BIN_NAMES, LABELS, VOTES, Picture, find_manifests, read_manifest, read_picture

TILE = 72  # pixels
TILES = 10  # pictures of a class on the contact sheet
MARGIN = 150  # pixels, for the names of the classes
LINE = 28  # pixels, of a title


def classes(pictures: Sequence[Picture]) -> dict[str, dict[str, list[Picture]]]:
    """Label column to class to its pictures; ages in years are counted by bin, votes not at all."""
    found: dict[str, dict[str, list[Picture]]] = {}
    for column in LABELS:
        if column == VOTES or not any(column in picture.labels for picture in pictures):
            continue
        names = AGE_BIN_NAMES if is_numeric(column) else LABELS[column]
        found[column] = {name: [] for name in (*names, "not known")}
        for picture in pictures:
            value = picture.labels.get(column, "not known")
            if is_numeric(column) and value.isdecimal():
                value = AGE_BIN_NAMES[sum(int(value) >= first for first, _ in AGE_BINS) - 1]
            found[column][value].append(picture)
        if not found[column]["not known"]:
            del found[column]["not known"]
    return found


def table(pictures: Sequence[Picture]) -> str:
    """Counts per class and split, as text; a class without a picture shows as zeros."""
    splits = [split for split in SPLITS if any(picture.split == split for picture in pictures)]
    lines = []
    for column, members in classes(pictures).items():
        lines.append(f"  {column:<18}" + "".join(f"{split:>13}" for split in (*splits, "all")))
        for name, shown in [*members.items(), ("all", list(pictures))]:
            count = Counter(picture.split for picture in shown)
            lines.append(f"    {name:<16}" + "".join(f"{n:>13,}" for n in (*(count[s] for s in splits), len(shown))))
    return "\n".join(lines)


def contact_sheet(manifests: dict[str, list[Picture]]) -> Image.Image:
    """A picture with a row per class: `TILES` pictures spread evenly over it, and how many it has."""
    rows: list[tuple[str, list[Picture]]] = []
    for title, pictures in manifests.items():
        rows.append((f"{title}: {len(pictures):,} pictures", []))
        for column, members in classes(pictures).items():
            rows.append((column, []))
            rows += [(f"{name}\n{len(shown):,}", shown) for name, shown in members.items() if shown]
    height = sum(TILE if shown else LINE for _, shown in rows)
    sheet = Image.new("RGB", (MARGIN + TILES * TILE, height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    top = 0
    for text, shown in rows:
        draw.text((8, top + 6), text, fill="black", font=font)
        for place, index in enumerate(np.unique(np.linspace(0, len(shown) - 1, TILES).astype(int)) if shown else ()):
            tile = ImageOps.contain(Image.fromarray(read_picture(shown[index])), (TILE - 2, TILE - 2))
            sheet.paste(tile, (MARGIN + place * TILE, top + 1))
        top += TILE if shown else LINE
    return sheet


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training.data", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="counts per class and split of every manifest in a folder or below")
    listing.add_argument("folder", type=Path, nargs="?", default=Path(), metavar="FOLDER", help="default: here")
    listing.add_argument("--sheet", type=Path, metavar="PICTURE.png", help="draw a contact sheet")
    options = parser.parse_args(arguments)
    if options.sheet and options.sheet.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        parser.error(f"--sheet {options.sheet}: a contact sheet is a .png, .jpg or .webp")

    files = find_manifests(options.folder)
    if not files:
        sys.exit(f"error: {options.folder}: no manifest.csv here or below; make one with training.data.NAME.prepare")
    manifests, problems = {}, []
    for file in files:
        try:
            pictures = read_manifest(file)
        except DataError as error:
            problems.append(str(error))
            continue
        manifests[str(file.parent.relative_to(options.folder))] = pictures
        print(f"{file}: {len(pictures):,} pictures\n{table(pictures)}\n")
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
