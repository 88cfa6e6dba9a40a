"""The image tab's HTML: a summary with downloads, a card per face, a table, an explanation."""

from __future__ import annotations

import functools
import html
import io
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from facemodels.app.html.parts import download_html, facts_html, message_html, picture_url, table_html
from facemodels.app.words import Words
from facemodels.attributes import ATTRIBUTES, percent
from facemodels.results import CsvSink
from facemodels.types import Analysis, Classification, Face

FIRST_FACES = 12  # cards shown at once; the others unfold
TOP_LABELS = 3  # bars shown at once; the others unfold
BROWSER_FORMATS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".avif")  # what every browser shows by itself


def empty_html(say: Words) -> str:
    """Where the results will be."""
    return message_html(say("empty"), say("empty_text"))


def examples_html(examples: Sequence[Path], public_domain: bool, say: Words) -> str:
    """Images to try; ``examples.js`` reports which one was chosen.

    Args:
        examples: Their files.
        public_domain: Whether to say that they are.
        say: The words.
    """
    buttons = "".join(
        f'<button data-example="{number}"><img src="{_small_picture(path)}" '
        f'alt="{say("example", place=number + 1)}" width="64" height="64"></button>'
        for number, path in enumerate(examples)
    )
    note = f"<small>{say('examples_free')}</small>" if public_domain else ""
    return f'<div class="fm-examples"><span>{say("examples")}</span>{buttons}{note}</div>'


@functools.cache
def _small_picture(path: Path) -> str:
    with Image.open(path) as picture:
        return picture_url(np.asarray(ImageOps.fit(picture.convert("RGB"), (128, 128))))


def analysis_html(analysis: Analysis, pixels: np.ndarray, name: str, say: Words) -> str:
    """What was found in the file of this name: a summary with the downloads, a card per face, and a table."""
    count = len(analysis)
    stem = html.escape(Path(name).stem)
    links = (
        f'<button class="fm-download" data-action="png" aria-label="{say("download_png")}">PNG</button>'
        + download_html("CSV", f"{stem}.csv", "text/csv", csv_text(analysis, name), say)
        + download_html("JSON", f"{stem}.json", "application/json", json.dumps(analysis.to_dict(), indent=2), say)
    )
    boxes = f'<label class="fm-toggle"><input type="checkbox" data-action="boxes" checked> {say("boxes")}</label>'
    toggle = boxes if count else ""
    heading = " · ".join(summarize(analysis, say)) if count else say("faces_none")
    shown = "" if Path(name).suffix.lower() in BROWSER_FORMATS else f' data-picture="{preview(pixels)}"'
    parts = [
        f'<div class="fm-summary" role="status" data-box="0 0 {analysis.width} {analysis.height}"{shown}>'
        f"<b>{heading}</b>{toggle}</div>"
    ]
    if not count:
        return "".join([*parts, message_html(say("no_face"), say("no_face_text"))])
    scale = pixels.shape[1] / analysis.width  # a large image was decoded smaller
    cards = [face_html(face, number, pixels, say, scale) for number, face in enumerate(analysis, 1)]
    parts.append(f'<div class="fm-cards">{"".join(cards[:FIRST_FACES])}</div>')
    if rest := cards[FIRST_FACES:]:
        parts.append(
            f'<details class="fm-more"><summary>{say.count("more", len(rest))}</summary>'
            f'<div class="fm-cards fm-scroll" tabindex="0">{"".join(rest)}</div></details>'
        )
    if count > 1:
        summary = say("table_open", count=count)
        parts.append(f'<details class="fm-more"><summary>{summary}</summary>{faces_table(analysis, say)}</details>')
    answered = ", ".join(dict.fromkeys(html.escape(model) for model in analysis.models.values()))
    parts.append(
        f'<div class="fm-foot"><span class="fm-downloads">{say("download")} {links}</span>'
        f"<small>{say('answered_by')} {answered} · "
        f"{say('in_pixels', width=analysis.width, height=analysis.height)}</small></div>"
    )
    return "".join(parts)


def summarize(analysis: Analysis, say: Words) -> list[str]:
    """The image in a line: how many faces, the most frequent emotion, the span of ages."""
    count = len(analysis)
    parts = [say.count("faces", count)]
    emotions = Counter(face.emotion.label for face in analysis if face.emotion is not None)
    if emotions and count > 1:
        label, frequency = emotions.most_common(1)[0]
        parts.append(say("summary_emotion", count=frequency, total=count, label=html.unescape(say.label(label))))
    ages = [face.age.value for face in analysis if face.age is not None]
    if len(ages) > 1:
        parts.append(say("summary_ages", low=f"{min(ages):.0f}", high=f"{max(ages):.0f}"))
    return parts


def preview(pixels: np.ndarray) -> str:
    """An image that no browser shows by itself, small, in a data URL."""
    image = Image.fromarray(pixels)
    image.thumbnail((1280, 1280))
    return picture_url(np.asarray(image))


def csv_text(analysis: Analysis, name: str) -> str:
    """A row per face, in the columns of the command line."""
    text = io.StringIO()
    with CsvSink(text) as sink:
        sink.write_image(name, analysis)
    return text.getvalue()


def faces_table(analysis: Analysis, say: Words) -> str:
    """All faces, a row each, with the columns that were asked for."""
    columns: dict[str, Callable[[Face], str]] = {}
    for name in analysis.models:
        columns[say(f"attribute_{name}")] = functools.partial(_value, name, say)
    columns[say("table_found")] = lambda face: percent(face.score)
    columns[say("table_place")] = functools.partial(_box_text, say)
    rows = ((str(number), *(cell(face) for cell in columns.values())) for number, face in enumerate(analysis, 1))
    return table_html(say("table_name"), (say("table_face"), *columns), rows)


def _box_text(say: Words, face: Face) -> str:
    box = face.box
    return say("table_box", width=round(box.width), height=round(box.height), x=round(box.x1), y=round(box.y1))


def _value(attribute: str, say: Words, face: Face) -> str:
    value = face.values.get(attribute)
    return (
        ""
        if value is None
        else html.escape(ATTRIBUTES[attribute].kind.text(value, lambda x: html.unescape(say.label(x))))
    )


def face_html(face: Face, number: int, pixels: np.ndarray, say: Words, scale: float = 1.0) -> str:
    """The card of one face: its crop and what the models perceive."""
    rows = facts_html(face.values, say)
    name = say("face", place=number)
    label, headline, more = "", name, ""
    if face.emotion is not None:
        label = say.label(face.emotion.label)
        headline = f"{label} {html.escape(percent(face.emotion.score))}"
        more = bars_html(face.emotion, say) + ask_html(say)
    box = f"{face.box.x1:.0f} {face.box.y1:.0f} {face.box.width:.0f} {face.box.height:.0f}"
    emotion = "" if face.emotion is None else html.escape(face.emotion.label)
    cut_out = thumbnail(face.scaled(scale), pixels)
    return (
        f'<article class="fm-card" aria-label="{name}" tabindex="0" data-face="{number}" data-box="{box}" '
        f'data-emotion="{emotion}" data-text="{label}">'
        f'<header><img src="{cut_out}" alt="{say("face_cut", place=number)}" width="72" height="72">'
        f"<div><small>{name}</small><p><b>{headline}</b></p></div></header>"
        f"<dl>{rows}</dl>{doubts_html(face, say)}{more}</article>"
    )


def doubts_html(face: Face, say: Words) -> str:
    """The detector's score, and what makes the answers less sure."""
    doubts = [say("face_found", score=percent(face.score)), *(say(f"doubt_{doubt}") for doubt in face.doubts)]
    return f'<p class="fm-doubts">{" · ".join(doubts)}</p>'


def bars_html(value: Classification, say: Words) -> str:
    """A bar per label, the likeliest first; the text says it all, so the bars are hidden from screen readers."""
    rows = [
        f"<li{' class=fm-top' if label == value.label else ''}><span>{say.label(label)}</span>"
        f'<i aria-hidden="true"><i style="width:{score:.1%}"></i></i><span>{html.escape(percent(score))}</span></li>'
        for label, score in sorted(value.scores.items(), key=lambda item: -item[1])
    ]
    top = f'<ul class="fm-bars" aria-label="{say("scores")}">{"".join(rows[:TOP_LABELS])}</ul>'
    if not rows[TOP_LABELS:]:
        return top
    rest = f'<ul class="fm-bars">{"".join(rows[TOP_LABELS:])}</ul>'
    return f"{top}<details><summary>{say('scores_rest', count=len(rows) - TOP_LABELS)}</summary>{rest}</details>"


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
