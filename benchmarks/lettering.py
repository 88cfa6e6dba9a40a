"""The font of the captions in annotated videos: `python -m benchmarks.lettering NOTO…`.

Takes files of Noto Sans (Latin, Arabic, SC and JP; SIL Open Font License 1.1, whole or in pieces, as TrueType or WOFF2,
npm's `@fontsource/noto-sans*` say) and keeps the letters that captions in the page's languages have. An earlier file
goes before a later one.
"""

from __future__ import annotations

import argparse
import string
import tempfile
from collections.abc import Iterable
from pathlib import Path

from fontTools.merge import Merger
from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont
from fontTools.ttLib.scaleUpem import scale_upem

from facemodels.app.lettering import FONT
from facemodels.app.words import languages

UNITS = 1000  # per em
JOINING = ["ccmp", "isol", "init", "medi", "fina", "rlig"]  # what Arabic letters need
UPRIGHT = [
    "BASE",
    "STAT",
    "VORG",
    "vhea",
    "vmtx",
    "gasp",
]  # tables that captions do not need
LICENCE = "SIL Open Font License, Version 1.1: https://openfontlicense.org"
NAMES = {0: "Copyright the Noto project authors", 1: "facemodels captions", 2: "Regular", 4: "facemodels captions"}


def letters() -> set[str]:
    """All that captions may hold."""
    words = (
        text for say in languages().values() for key, text in say.texts.items() if key.startswith(("label_", "doubt_"))
    )
    return set(string.ascii_letters + string.digits + " #%±<>(),.-" + "".join(words))


def kept(files: Iterable[Path], wanted: set[str]) -> list[TTFont]:
    """The fonts, each with those wanted letters that none before it has.

    Raises:
        ValueError: If no file has one of them.
    """
    fonts = []
    for file in files:
        font = TTFont(file)
        mine = {letter for letter in wanted if ord(letter) in font.getBestCmap()}
        if not mine:
            continue
        wanted -= mine
        subsetter = Subsetter(Options(layout_features=JOINING, notdef_outline=True, hinting=False))
        subsetter.options.drop_tables += UPRIGHT
        subsetter.populate(text="".join(sorted(mine)))
        subsetter.subset(font)
        scale_upem(font, UNITS)
        fonts.append(font)
    if wanted:
        raise ValueError(f"no file has {' '.join(sorted(wanted))}")
    return fonts


def write(files: Iterable[Path], target: Path) -> None:
    """Write the font."""
    with tempfile.TemporaryDirectory() as folder:
        pieces = []
        for number, font in enumerate(kept(files, letters())):
            font.flavor = None
            pieces.append(str(Path(folder) / f"{number}.ttf"))
            font.save(pieces[-1])
        font = Merger().merge(pieces)
    names = font["name"]
    names.names = []
    for key, text in {**NAMES, 13: LICENCE}.items():
        names.setName(text, key, 3, 1, 0x409)
    font["head"].created = font["head"].modified = 0
    font.recalcTimestamp = False
    font.save(target)


def main() -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lettering", description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+", metavar="NOTO")
    options = parser.parse_args()
    write(options.files, FONT)
    print(f"{FONT.name}: {FONT.stat().st_size / 1000:.0f} kB, {len(letters())} letters")


if __name__ == "__main__":
    main()
