"""The page's words: one JSON file per language in `languages/`. To add a language, translate `en.json` beside it.

`en.json` says what there is to say. A text may hold ``{places}`` for values and ``<b>``; nothing else is HTML. Where a
number decides, there are two texts, ``…_one`` and ``…_many``. Without Gradio; `app.py` hands the texts to it.
"""

from __future__ import annotations

import functools
import html
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from facemodels.values import percent

PREFIX = "fm_"  # keeps our keys apart from Gradio's own
RIGHT_TO_LEFT = ("ar",)


@dataclass(frozen=True)
class Words:
    """All texts in one language, as HTML; values that are put into them are escaped.

    Attributes:
        language: Its code, ``de``: the name of its file.
        texts: Key to text.

    Example:
        >>> say = words_in("en")
        >>> say("face", place=3), say.count("faces", 1), say.count("faces", 2), say.label("east_asian")
        ('Face 3', '1 face', '2 faces', 'East Asian')
    """

    language: str
    texts: Mapping[str, str]

    def __call__(self, key: str, **values: Any) -> str:
        """The text of a key with its places filled."""
        return self.texts[key].format(**{name: html.escape(str(value)) for name, value in values.items()})

    def count(self, key: str, count: int, **values: Any) -> str:
        """The text for one or for many."""
        return self(f"{key}_one" if count == 1 else f"{key}_many", count=count, **values)

    def label(self, label: str) -> str:
        """A model's label; one that no file knows, of a model of the visitor's own, is shown as it is."""
        return self.texts.get(f"label_{label}") or html.escape(label.replace("_", " ").title())

    def percent(self, score: float) -> str:
        """A score, HTML; among text that runs from right to left it goes its own way, or ``<1%`` would read ``>1%``."""
        text = html.escape(percent(score))
        return f"\N{LEFT-TO-RIGHT ISOLATE}{text}\N{POP DIRECTIONAL ISOLATE}" if self.language in RIGHT_TO_LEFT else text

    def measured(self, label: str) -> str:
        """What a figure of a model's spec was measured of, shown as it is where no file knows it."""
        return self.texts.get(f"measured_{label}") or html.escape(label.replace("_", " "))


@functools.cache
def languages() -> Mapping[str, Words]:
    """Language code to words, English first; read once, on first use."""
    files = sorted((Path(__file__).parent / "languages").glob("*.json"), key=lambda path: (path.stem != "en", path))
    texts = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in files}
    return MappingProxyType({name: Words(name, MappingProxyType(texts[name])) for name in texts})


def words_in(language: Any) -> Words:
    """The words in a language, or in English where it is unknown: it came over HTTP.

    Example:
        >>> words_in("de").language, words_in("nothing").language
        ('de', 'en')
    """
    known = languages()
    return known.get(language, known["en"]) if isinstance(language, str) else known["en"]


def translations() -> dict[str, dict[str, str]]:
    """What `gradio.I18n` takes: language to key to text, the keys with `PREFIX`."""
    return {
        name: {PREFIX + "language": name, **{PREFIX + key: text for key, text in say.texts.items()}}
        for name, say in languages().items()
    }


def texts_of(*beginnings: str) -> dict[str, dict[str, str]]:
    """Language to those texts whose keys begin so: what a script of the page needs."""
    return {
        name: {key: text for key, text in say.texts.items() if key.startswith(beginnings)}
        for name, say in languages().items()
    }
