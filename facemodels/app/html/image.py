"""The image tab's HTML: a summary with downloads, a card per face, a table, an explanation."""

from __future__ import annotations

import functools
import html
import io
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from facemodels.app.html.parts import (
    download_html,
    fact_name,
    fact_text,
    facts_html,
    message_html,
    picture_url,
    table_html,
)
from facemodels.app.words import Words, words_in
from facemodels.attributes import ATTRIBUTES, HEADLINE, ON_REQUEST
from facemodels.errors import UnknownModelError
from facemodels.hub.registry import get_spec
from facemodels.results import CsvSink
from facemodels.types import Analysis, Face
from facemodels.values import POSE_LABELS, Classification, Value
from facemodels.video.reading import Reader

FIRST_FACES = 12  # cards shown at once; the others unfold
TOP_LABELS = 3  # bars shown at once; the others unfold


def empty_html(say: Words) -> str:
    """Where the results will be."""
    return message_html(say("empty"), say("empty_text"))


def examples_html(examples: Sequence[Path], public_domain: bool, say: Words) -> str:
    """Images or videos to try; ``examples.js`` reports which one was chosen.

    Args:
        examples: Their files.
        public_domain: Whether to say that they are.
        say: The words.
    """
    buttons = "".join(
        f'<button data-example="{number}"{film}><img src="{_small_picture(path)}" '
        f'alt="{say("example", place=number + 1)}" width="64" height="64"></button>'
        for number, path in enumerate(examples)
        for film in (' class="fm-film"' if path.suffix == ".mp4" else "",)
    )
    note = f"<small>{say('examples_free')}</small>" if public_domain else ""
    return f'<div class="fm-examples"><span>{say("examples")}</span>{buttons}{note}</div>'


@functools.cache
def _small_picture(path: Path) -> str:
    still = path.with_suffix(".jpg")
    if path.suffix == ".mp4" and not still.is_file():
        with Reader(path) as reader:
            (_, frame), *_ = itertools.islice(reader.frames(), 1)
            return picture_url(np.asarray(ImageOps.fit(Image.fromarray(reader.pixels(frame)), (128, 128))))
    # Where there is a still of the video, nothing need be loaded that decodes videos.
    with Image.open(still if path.suffix == ".mp4" else path) as picture:
        return picture_url(np.asarray(ImageOps.fit(picture.convert("RGB"), (128, 128))))


@dataclass(frozen=True)
class Second:
    """What another model answers for the faces of an analysis, to stand beside the first model's answers.

    Attributes:
        attribute: That it answers.
        model: Its ``name@version``.
        values: One per face.
    """

    attribute: str
    model: str
    values: Sequence[Value | None]


def model_title(model: str, attribute: str, say: Callable[[str], object]) -> str:
    """A model as a visitor should know it: what it tells apart, how often it is right, and its id.

    Args:
        model: ``name@version``, or ``name@version#head``.
        attribute: That it answers.
        say: The words, or what stands for them until the page is there.
    """
    name, _, output = model.partition("#")
    try:
        spec = get_spec(name)
    except UnknownModelError:
        return model  # a folder of whoever started the app
    measured = output or spec.head(attribute).output or attribute
    rows = [row for row in spec.metrics if row["label"] == measured and row["metric"] in ("accuracy", "mae")]
    figure = "".join(
        f" · {row['value']:.0%}" if row["metric"] == "accuracy" else f" · ±{row['value']:.1f}" for row in rows[:1]
    )
    if f"measured_{measured}" not in words_in("en").texts:
        return model
    return f"{say(f'measured_{measured}')}{figure} · {model}"


def analysis_html(
    analysis: Analysis,
    pixels: np.ndarray,
    name: str,
    say: Words,
    *,
    second: Second | None = None,
    harder: bool = False,
    on_request: Sequence[str] = (),
    embedded: bool = False,
) -> str:
    """What was found in an image: a summary, a card per face, a table, and the downloads.

    Args:
        analysis: Of the image.
        pixels: Its pixels, ``(H, W, 3)`` RGB uint8; a large image may come smaller.
        name: Of its file.
        say: The words.
        second: What another model answers, to stand beside.
        harder: Whether a lower score threshold may find more.
        on_request: Attributes that are answered once their layer is switched on.
        embedded: Whether to hold a small copy of the image, since no browser shows its file.
    """
    count = len(analysis)
    heading = " · ".join(summarize(analysis, say)) if count else say("faces_none")
    shown = f' data-picture="{preview(pixels)}"' if embedded else ""
    parts = [
        f'<div class="fm-summary" role="status" data-box="0 0 {analysis.width} {analysis.height}" '
        f'data-name="{html.escape(name)}"{shown}><b>{heading}</b>{layers_html(say, on_request) if count else ""}</div>'
    ]
    again = f'<button class="fm-download" data-action="harder">{say("harder")}</button>' if harder else ""
    if not count:
        return "".join([*parts, message_html(say("no_face"), say("no_face_text") + again)])
    scale = pixels.shape[1] / analysis.width  # a large image was decoded smaller
    others = [None] * count if second is None else [Second(second.attribute, second.model, [v]) for v in second.values]
    cards = [
        face_html(face, number, pixels, say, scale, other)
        for number, (face, other) in enumerate(zip(analysis, others, strict=True), 1)
    ]
    parts.append(f'<div class="fm-cards">{"".join(cards[:FIRST_FACES])}</div>')
    if rest := cards[FIRST_FACES:]:
        parts.append(
            f'<details class="fm-more"><summary>{say.count("more", len(rest))}</summary>'
            f'<div class="fm-cards fm-scroll" tabindex="0">{"".join(rest)}</div></details>'
        )
    if count > 1:
        summary = say("table_open", count=count)
        parts.append(f'<details class="fm-more"><summary>{summary}</summary>{faces_table(analysis, say)}</details>')
    links = downloads_html(analysis, name, say)
    parts.append(
        f'<div class="fm-foot"><span class="fm-downloads">{say("download")} {links}</span>'
        f'<span class="fm-corrections" hidden data-one="{say.count("corrections", 1)}" '
        f'data-many="{say("corrections_many", count="#")}"><button class="fm-download" data-action="corrections">'
        f'</button><button class="fm-link" data-action="forget">{say("correct_forget")}</button>'
        f"<small>{say('correct_how')}</small></span>"
        f"{answered_html(analysis, second, say)}</div>"
    )
    return "".join(parts)


def layers_html(say: Words, on_request: Sequence[str] = ()) -> str:
    """What the page draws over the image, each with a checkbox; ``faces.js`` reads them.

    Args:
        say: The words.
        on_request: Attributes that are answered once their layer is switched on.
    """
    names = ("boxes", "labels", "points", *(name for name in on_request if name != "points"))
    boxes = "".join(
        f'<label class="fm-toggle"><input type="checkbox" data-layer="{name}"'
        f"{' data-ask' if name in on_request else ''}> {say(name)}</label>"
        for name in names
    )
    return f'<span class="fm-layers" role="group" aria-label="{say("layers")}">{boxes}</span>'


def downloads_html(analysis: Analysis, name: str, say: Words) -> str:
    """The annotated image, which ``faces.js`` draws; the answers as tables and JSON; a copy with hidden faces."""
    stem = html.escape(Path(name).stem)
    drawn = "".join(
        f'<button class="fm-download" data-action="{kind}" '
        f'aria-label="{say("download_drawn", kind=kind.upper())}">{kind.upper()}</button>'
        for kind in ("png", "jpg")
    )
    return (
        drawn
        + download_html("CSV", f"{stem}.csv", "text/csv", csv_text(analysis, name), say)
        + download_html("JSON", f"{stem}.json", "application/json", json.dumps(analysis.to_dict(), indent=2), say)
        + f'<button class="fm-download" data-action="anonymize">{say("anonymized")}</button>'
    )


def answered_html(analysis: Analysis, second: Second | None, say: Words) -> str:
    """Which model answered what."""
    answered = [*analysis.models.items(), *([] if second is None else [(second.attribute, second.model)])]
    rows = "".join(
        f"<li>{say(f'attribute_{attribute}')}: {html.escape(model_title(model, attribute, say))}</li>"
        for attribute, model in answered
    )
    names = ", ".join(dict.fromkeys(html.escape(model) for _, model in answered))
    size = say("in_pixels", width=analysis.width, height=analysis.height)
    summary = f"{say('answered_by')} {names} · {size}"
    return f'<details class="fm-answered"><summary>{summary}</summary><ul>{rows}</ul></details>'


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


def columns_of(attributes: Iterable[str], say: Words) -> dict[str, Callable[[Face], str]]:
    """The columns of a table of faces: title to what a face has there, HTML."""
    columns: dict[str, Callable[[Face], str]] = {}
    for name in attributes:
        columns[fact_name(name, say)] = functools.partial(_value, name, say)
    columns[say("table_found")] = lambda face: say.percent(face.score)
    columns[say("table_place")] = functools.partial(_box_text, say)
    return columns


def faces_table(analysis: Analysis, say: Words) -> str:
    """All faces, a row each, with the columns that were asked for."""
    columns = columns_of(analysis.models, say)
    rows = ((str(number), *(cell(face) for cell in columns.values())) for number, face in enumerate(analysis, 1))
    return table_html(say("table_name"), (say("table_face"), *columns), rows)


def _box_text(say: Words, face: Face) -> str:
    box = face.box
    return say("table_box", width=round(box.width), height=round(box.height), x=round(box.x1), y=round(box.y1))


def _value(attribute: str, say: Words, face: Face) -> str:
    value = face.values.get(attribute)
    if value is None:
        return ""
    if attribute in ON_REQUEST:
        return fact_text(attribute, value, say)
    return html.escape(ATTRIBUTES[attribute].kind.text(value, lambda x: html.unescape(say.label(x))))


def face_html(
    face: Face, number: int, pixels: np.ndarray, say: Words, scale: float = 1.0, second: Second | None = None
) -> str:
    """The card of one face: its crop and what the models perceive."""
    rows = facts_html(face.values, say)
    name = say("face", place=number)
    label, headline, bars = "", "", ""
    if face.emotion is not None:
        label = say.label(face.emotion.label)
        headline = f'<p data-attribute="{HEADLINE}"><b>{label} {say.percent(face.emotion.score)}</b></p>'
        bars = f'<div data-attribute="{HEADLINE}">{bars_html(face.emotion, say)}</div>'
    box = f"{face.box.x1:.0f} {face.box.y1:.0f} {face.box.width:.0f} {face.box.height:.0f}"
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in (face.points.points if face.points else face.landmarks or ()))
    pose = "" if face.pose is None else " ".join(f"{getattr(face.pose, name):.1f}" for name in POSE_LABELS)
    doubts = ", ".join(say(f"doubt_{doubt}") for doubt in face.doubts)
    perceived = {name: value for name, value in face.values.items() if name in ATTRIBUTES}
    emotion = "" if face.emotion is None else html.escape(face.emotion.label)
    cut_out = thumbnail(face.scaled(scale), pixels)
    more = "" if not perceived else ask_html(say) + correct_html(perceived, say)
    return (
        f'<article class="fm-card" aria-label="{name}" tabindex="0" data-face="{number}" data-box="{box}" '
        f'data-points="{points}" data-pose="{pose}" data-score="{face.score:.4f}" '
        f'data-attributes="{" ".join(perceived)}" '
        f'data-emotion="{emotion}" data-text="{label}" data-doubts="{doubts}">'
        f'<header><img src="{cut_out}" alt="{say("face_cut", place=number)}" width="72" height="72">'
        f"<div><small>{name}</small>{headline}</div></header>"
        f"<dl>{rows}</dl>{doubts_html(face, say)}{bars}{second_html(second, say)}{more}</article>"
    )


def second_html(second: Second | None, say: Words) -> str:
    """What a second model answers for one face, with its name."""
    value = None if second is None else second.values[0]
    if second is None or value is None:
        return ""
    if isinstance(value, Classification) and second.attribute == HEADLINE:
        said = bars_html(value, say)
    else:
        said = f"<p>{fact_text(second.attribute, value, say)}</p>"
    title = f"{say(f'attribute_{second.attribute}')}: {html.escape(model_title(second.model, second.attribute, say))}"
    return f'<section class="fm-second" data-attribute="{second.attribute}"><small>{title}</small>{said}</section>'


def correct_html(values: Mapping[str, Value], say: Words) -> str:
    """The menu that corrects a face's labels; ``corrections.js`` keeps what is chosen, in the browser."""
    rows = []
    for attribute, value in values.items():
        if isinstance(value, Classification):
            options = "".join(
                f'<option value="{html.escape(label)}">{say.label(label)}</option>' for label in value.scores
            )
            field = f'<select data-correct="{attribute}"><option value="">–</option>{options}</select>'
        else:
            field = f'<input data-correct="{attribute}" type="number" min="0" max="120" inputmode="numeric">'
        rows.append(f'<label data-attribute="{attribute}"><span>{say(f"attribute_{attribute}")}</span>{field}</label>')
    return f'<details class="fm-correct"><summary>{say("correct")}</summary>{"".join(rows)}</details>'


def doubts_html(face: Face, say: Words) -> str:
    """The detector's score, and what makes the answers less sure."""
    told = [say("face_found", score=html.unescape(say.percent(face.score)))]
    if doubts := [html.unescape(say(f"doubt_{doubt}")) for doubt in face.doubts if doubt != "weak"]:
        told.append(say("doubtful", doubts=", ".join(doubts)))
    if "weak" in face.doubts:
        told.append(say("doubt_weak"))
    return f'<p class="fm-doubts">{" · ".join(told)}</p>'


def bars_html(value: Classification, say: Words) -> str:
    """A bar per label, the likeliest first; the text says it all, so the bars are hidden from screen readers."""
    rows = [
        f"<li{' class=fm-top' if label == value.label else ''}><span>{say.label(label)}</span>"
        f'<i aria-hidden="true"><i style="width:{score:.1%}"></i></i><span>{say.percent(score)}</span></li>'
        for label, score in sorted(value.scores.items(), key=lambda item: -item[1])
    ]
    top = f'<ul class="fm-bars" aria-label="{say("scores")}">{"".join(rows[:TOP_LABELS])}</ul>'
    if not rows[TOP_LABELS:]:
        return top
    rest = f'<ul class="fm-bars">{"".join(rows[TOP_LABELS:])}</ul>'
    return f"{top}<details><summary>{say('scores_rest', count=len(rows) - TOP_LABELS)}</summary>{rest}</details>"


def ask_html(say: Words) -> str:
    """The button that asks for an explanation; ``explained.js`` shows it."""
    return f'<button class="fm-link" data-action="explain">{say("explain")}</button>'


def heat_html(crop: np.ndarray, heat: np.ndarray, label: str | None, say: Words) -> str:
    """A face in grey, red where it speaks for the label (for a larger number, if None) and blue where against, and how
    to read that.
    """
    # The patches' edges mean nothing, so the colours run into each other.
    cells = Image.fromarray(heat.astype(np.float32)).resize((8, 8), Image.Resampling.BOX)
    heat = np.asarray(cells.resize(heat.shape[::-1], Image.Resampling.BICUBIC))
    strength = np.abs(heat)
    # Below 1 it would be little, and should not look like much.
    opacity = (0.75 * strength / max(1.0, strength.max()))[:, :, None]
    colours = np.where(heat[:, :, None] > 0, (225, 60, 20), (30, 110, 230))
    mixed = crop.mean(axis=2, keepdims=True) * (1 - opacity) + colours * opacity
    how = say("heat_number") if label is None else say("heat", label=html.unescape(say.label(label)))
    little = "" if strength.max() >= 1 else f" {say('heat_little')}"
    return (
        f'<div class="fm-heat"><img src="{picture_url(crop.astype(np.uint8))}" alt="{say("heat_face")}">'
        f'<img src="{picture_url(mixed.astype(np.uint8))}" alt="{say("heat_name")}"></div>'
        f"<p>{how}{little}</p><p>{say('heat_how')}</p>"
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
