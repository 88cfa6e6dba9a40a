"""The image tab's HTML: a summary with downloads, a card per face, a table, an explanation."""

from __future__ import annotations

import functools
import html
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from facemodels.app.html.parts import download_html, facts_html, message_html, picture_url, table_html
from facemodels.app.words import Words
from facemodels.attributes import ATTRIBUTES
from facemodels.results import CsvSink
from facemodels.types import Analysis, Classification, Face

FIRST_FACES = 12  # cards shown at once; the others unfold


def empty_html(say: Words) -> str:
    """Where the results will be."""
    return message_html(say("empty"), say("empty_text"))


def analysis_html(analysis: Analysis, pixels: np.ndarray, name: str, say: Words) -> str:
    """What was found in the file of this name: a summary with the downloads, a card per face, and a table."""
    count = len(analysis)
    if not count:
        found = message_html(say("no_face"), say("no_face_text"))
    else:
        cards = [face_html(face, place, pixels, say) for place, face in enumerate(analysis, 1)]
        found = f'<div class="fm-cards">{"".join(cards[:FIRST_FACES])}</div>'
        if rest := cards[FIRST_FACES:]:
            found += (
                f'<details class="fm-more"><summary>{say.count("more", len(rest))}</summary>'
                f'<div class="fm-cards fm-scroll" tabindex="0">{"".join(rest)}</div></details>'
            )
    if count > 1:
        summary = say("table_open", count=count)
        found += f'<details class="fm-more"><summary>{summary}</summary>{faces_table(analysis, say)}</details>'
    stem = html.escape(Path(name).stem)
    links = (
        download_html("JSON", f"{stem}.json", "application/json", json.dumps(analysis.to_dict(), indent=2), say)
        + download_html("CSV", f"{stem}.csv", "text/csv", csv_text(analysis, name), say)
        + f'<button class="fm-download" data-action="png" aria-label="{say("download_png")}">PNG</button>'
    )
    return (
        f'<div class="fm-summary" role="status" data-box="0 0 {analysis.width} {analysis.height}">'
        f"<b>{say.count('faces', count) if count else say('faces_none')}</b>"
        f"<span>{say('in_pixels', width=analysis.width, height=analysis.height)}</span>"
        f'<span class="fm-downloads">{say("download")} {links}</span></div>{found}'
    )


def csv_text(analysis: Analysis, name: str) -> str:
    """A row per face, in the columns of the command line."""
    text = io.StringIO()
    with CsvSink(text) as sink:
        sink.write_image(name, analysis)
    return text.getvalue()


def faces_table(analysis: Analysis, say: Words) -> str:
    """All faces, a row each, with the columns that were asked for."""
    columns: dict[str, Callable[[Face], str]] = {say("table_found"): lambda face: f"{face.score:.0%}"}
    for name in analysis.models:
        columns[say(f"attribute_{name}")] = functools.partial(_value, name, say)
    columns[say("table_place")] = functools.partial(_place, say)
    rows = ((str(place), *(cell(face) for cell in columns.values())) for place, face in enumerate(analysis, 1))
    return table_html(say("table_name"), (say("table_face"), *columns), rows)


def _place(say: Words, face: Face) -> str:
    box = face.box
    return say("table_box", width=round(box.width), height=round(box.height), x=round(box.x1), y=round(box.y1))


def _value(attribute: str, say: Words, face: Face) -> str:
    value = face.values.get(attribute)
    return "" if value is None else ATTRIBUTES[attribute].kind.text(value, say.label)


def face_html(face: Face, place: int, pixels: np.ndarray, say: Words) -> str:
    """The card of one face: its crop and what the models perceive."""
    rows = facts_html(face.values, say)
    headline = (
        f"<b>{say.label(face.emotion.label)}</b> {face.emotion.score:.0%}"
        if face.emotion
        else say("face_found", score=f"{face.score:.0%}")
    )
    bars = bars_html(face.emotion, say) + ask_html(say) if face.emotion else ""
    place_of = f"{face.box.x1:.0f} {face.box.y1:.0f} {face.box.width:.0f} {face.box.height:.0f}"
    name = say("face", place=place)
    return (
        f'<article class="fm-card" aria-label="{name}" tabindex="-1" data-face="{place}" data-box="{place_of}">'
        "<header>"
        f'<img src="{thumbnail(face, pixels)}" alt="{say("face_cut", place=place)}" width="72" height="72">'
        f"<div><small>{name}</small><p>{headline}</p></div></header>"
        f"<dl>{rows}</dl>{bars}</article>"
    )


def bars_html(value: Classification, say: Words) -> str:
    """A bar per label, in the model's order; the text says it all, so the bars are hidden from screen readers."""
    rows = (
        f"<li{' class=fm-top' if label == value.label else ''}><span>{say.label(label)}</span>"
        f'<i aria-hidden="true"><i style="width:{score:.1%}"></i></i><span>{score:.0%}</span></li>'
        for label, score in value.scores.items()
    )
    return f'<ul class="fm-bars" aria-label="{say("scores")}">{"".join(rows)}</ul>'


def ask_html(say: Words) -> str:
    """The button that asks for an explanation, and the place where it will be."""
    return f'<div class="fm-explained" aria-live="polite"><button data-action="explain">{say("explain")}</button></div>'


def heat_html(crop: np.ndarray, heat: np.ndarray, label: str, say: Words) -> str:
    """A face in grey, red where it speaks for the label and blue where against, and how to read that."""
    # The patches' edges mean nothing, so the colours run into each other.
    cells = Image.fromarray(heat.astype(np.float32)).resize((8, 8), Image.Resampling.BOX)
    heat = np.asarray(cells.resize(heat.shape[::-1], Image.Resampling.BICUBIC))
    strength = np.abs(heat)
    # Below 1 it would be little, and should not look like much.
    share = (0.75 * strength / max(1.0, strength.max()))[:, :, None]
    colours = np.where(heat[:, :, None] > 0, (225, 60, 20), (30, 110, 230))
    mixed = crop.mean(axis=2, keepdims=True) * (1 - share) + colours * share
    little = "" if strength.max() >= 1 else f" {say('heat_little')}"
    return (
        f'<img src="{picture_url(mixed.astype(np.uint8))}" alt="{say("heat_name")}" width="192" height="192">'
        f"<p>{say('heat', label=html.unescape(say.label(label)))}{little}</p><p>{say('heat_how')}</p>"
    )


def thumbnail(face: Face, pixels: np.ndarray) -> str:
    """The face as a small picture in a data URL."""
    box, height, width = face.box, *pixels.shape[:2]
    reach = 0.65 * max(box.width, box.height)
    cx, cy = (box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2
    left, top = (int(min(max(middle - reach, 0), size - 1)) for middle, size in ((cx, width), (cy, height)))
    picture = Image.fromarray(pixels[top : int(cy + reach) + 1, left : int(cx + reach) + 1])
    picture.thumbnail((144, 144))
    return picture_url(np.asarray(picture))
