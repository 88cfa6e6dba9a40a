"""The captions that are drawn into a video, in the visitor's language.

The font has the letters of those words only: `python -m benchmarks.lettering` cut it out of Noto Sans (SIL Open Font
License 1.1, see ``LICENSES/``).
"""

from __future__ import annotations

from pathlib import Path

from PIL import features

from facemodels.app.words import Words
from facemodels.drawing import ENGLISH, Lettering
from facemodels.values import readable

FONT = Path(__file__).parent / "pictures" / "captions.ttf"
JOINED = ("ar",)  # their letters join, which Pillow leaves to Raqm


def lettering(say: Words) -> Lettering:
    """How captions speak a language; English, too, where letters would have to be joined and cannot be."""
    if say.language == "en" or (say.language in JOINED and not features.check("raqm")):
        return ENGLISH

    def word(label: str) -> str:
        return say.texts.get(f"label_{label}") or say.texts.get(f"doubt_{label}") or readable(label)

    return Lettering(word, str(FONT))
