"""What the app's page is made of: its own HTML (here), and its style sheet and scripts (the other files).

Plain functions from results to HTML, without Gradio; whatever a model, a spec or a visitor wrote is escaped.
"""

from __future__ import annotations

import base64
import csv
import functools
import html
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from facemodels.cli import CSV_COLUMNS, csv_row
from facemodels.registry import ModelSpec
from facemodels.types import Analysis, Classification, Face

FIRST_FACES = 12  # cards shown at once; the others unfold

HEADER = """
<header class="fm-header"><h1>facemodels</h1>
<p>The faces in a picture, and the emotion, age, gender and ethnicity that a model perceives in each.</p></header>
<aside class="fm-notice" aria-label="What the predictions are">
<b>Perceived, not known.</b> A model judges looks alone and is often wrong, for some groups more than for others. Its
answers are not facts, feelings or identities: don't decide about people with them. <b>Nothing is kept:</b> pictures are
analyzed in memory, the copy that an upload needs is deleted within minutes, and nobody is recognized or recorded.
</aside>
"""

LIVE_HTML = """
<div class="fm-status"><output>Allow the camera, then press Record.</output></div>
<figure class="fm-plot"><figcaption>Emotions over time <span></span></figcaption>
<svg preserveAspectRatio="none" role="img" aria-label="A line per emotion: the mean of the faces in view"></svg>
<ul aria-label="Emotions seen so far"></ul></figure>
<div class="fm-cards fm-live" tabindex="0" role="region" aria-label="Faces now"></div>
"""


def part(name: str) -> str:
    """The text of one of the other files: ``app.css``, ``faces.js`` and so on."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def message_html(title: str, text: str, kind: str = "info") -> str:
    """A short message where the results would be; `kind` is info, warning or error."""
    role = "status" if kind == "info" else "alert"
    return (
        f'<div class="fm-message fm-{kind}" role="{role}"><b>{html.escape(title)}</b><p>{html.escape(text)}</p></div>'
    )


EMPTY = message_html("No picture yet", "Drop a photo, paste one, or take a snapshot: the faces in it will appear here.")


def analysis_html(analysis: Analysis, pixels: np.ndarray, name: str) -> str:
    """What was found in the file of this name: a summary with the downloads, a card per face, and a table."""
    count = len(analysis)
    if not count:
        text = (
            "Faces that are small, turned away, covered or blurred are easily missed. Try a larger or brighter picture."
        )
        found = message_html("No face found", text)
    else:
        cards = [face_html(face, place, pixels) for place, face in enumerate(analysis, 1)]
        found = f'<div class="fm-cards">{"".join(cards[:FIRST_FACES])}</div>'
        if rest := cards[FIRST_FACES:]:
            found += (
                f'<details class="fm-more"><summary>Show {len(rest)} more {_plural("face", len(rest))}</summary>'
                f'<div class="fm-cards fm-scroll" tabindex="0">{"".join(rest)}</div></details>'
            )
    if count > 1:
        found += (
            f'<details class="fm-more"><summary>All {count} faces in a table</summary>{faces_table(analysis)}</details>'
        )
    stem = html.escape(Path(name).stem)
    links = (
        _download("JSON", f"{stem}.json", "application/json", json.dumps(analysis.to_dict(), indent=2))
        + _download("CSV", f"{stem}.csv", "text/csv", csv_text(analysis, name))
        + '<button class="fm-download" data-action="png" aria-label="PNG of the annotated picture">PNG</button>'
    )
    return (
        f'<div class="fm-summary" role="status" data-box="0 0 {analysis.width} {analysis.height}">'
        f"<b>{count or 'No'} {_plural('face', count)}</b>"
        f"<span>in {analysis.width} × {analysis.height} pixels</span>"
        f'<span class="fm-downloads">Download {links}</span></div>{found}'
    )


def _download(name: str, file: str, kind: str, text: str) -> str:
    """A link that saves a text as a file."""
    data = f"data:{kind};base64,{base64.b64encode(text.encode()).decode()}"
    return f'<a class="fm-download" download="{file}" href="{data}" aria-label="Download {name}">{name}</a>'


def csv_text(analysis: Analysis, name: str) -> str:
    """A row per face, in the columns of the command line."""
    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({"source": name, "face": place, **csv_row(face)} for place, face in enumerate(analysis, 1))
    return text.getvalue()


def faces_table(analysis: Analysis) -> str:
    """All faces, a row each, with the columns that were asked for."""
    columns: dict[str, Callable[[Face], str]] = {"Found": lambda face: f"{face.score:.0%}"}
    for name in analysis.models:
        columns[name.capitalize()] = _age if name == "age" else functools.partial(_best, name)
    columns["Place, pixels"] = lambda face: (
        f"{face.box.width:.0f} × {face.box.height:.0f} at {face.box.x1:.0f}, {face.box.y1:.0f}"
    )
    rows = ((str(place), *(cell(face) for cell in columns.values())) for place, face in enumerate(analysis, 1))
    return table_html("All faces", ("Face", *columns), rows)


def _age(face: Face) -> str:
    return f"{face.age.value:.0f} ± {face.age.error:.0f}" if face.age else ""


def _best(attribute: str, face: Face) -> str:
    value: Classification | None = getattr(face, attribute)
    return f"{_name(value.label)} {value.score:.0%}" if value else ""


def table_html(name: str, head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table that scrolls by itself where the page is narrow; cells are HTML."""
    cells = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        f'<div class="fm-table" tabindex="0" role="region" aria-label="{name}">'
        f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def face_html(face: Face, place: int, pixels: np.ndarray) -> str:
    """The card of one face: its crop and what the models perceive."""
    facts = []
    if face.age is not None:
        facts.append(("Age", f"{_age(face)} years"))
    for name, value in (("Gender", face.gender), ("Ethnicity", face.ethnicity)):
        if value is not None:
            facts.append((name, _top_scores(value)))
    rows = "".join(f"<div><dt>{name}</dt><dd>{text}</dd></div>" for name, text in facts)
    headline = (
        f"<b>{_name(face.emotion.label)}</b> {face.emotion.score:.0%}" if face.emotion else f"Found, {face.score:.0%}"
    )
    bars = bars_html(face.emotion) if face.emotion else ""
    place_of = f"{face.box.x1:.0f} {face.box.y1:.0f} {face.box.width:.0f} {face.box.height:.0f}"
    return (
        f'<article class="fm-card" aria-label="Face {place}" tabindex="-1" data-face="{place}" data-box="{place_of}">'
        "<header>"
        f'<img src="{thumbnail(face, pixels)}" alt="Face {place}, cut from the picture" width="72" height="72">'
        f"<div><small>Face {place}</small><p>{headline}</p></div></header>"
        f"<dl>{rows}</dl>{bars}{ASK if face.emotion else ''}</article>"
    )


def bars_html(value: Classification) -> str:
    """A bar per label, in the model's order; the text says it all, so the bars are hidden from screen readers."""
    rows = (
        f"<li{' class=fm-top' if label == value.label else ''}><span>{_name(label)}</span>"
        f'<i aria-hidden="true"><i style="width:{score:.1%}"></i></i><span>{score:.0%}</span></li>'
        for label, score in value.scores.items()
    )
    return f'<ul class="fm-bars" aria-label="Emotion scores">{"".join(rows)}</ul>'


ASK = (
    '<div class="fm-explained" aria-live="polite">'
    '<button data-action="explain">What did the model look at?</button></div>'
)


def heat_html(crop: np.ndarray, heat: np.ndarray, label: str) -> str:
    """A face in grey, red where it speaks for the label and blue where against, and how to read that."""
    # The patches' edges mean nothing, so the colours run into each other.
    cells = Image.fromarray(heat.astype(np.float32)).resize((8, 8), Image.Resampling.BOX)
    heat = np.asarray(cells.resize(heat.shape[::-1], Image.Resampling.BICUBIC))
    strength = np.abs(heat)
    # Below 1 it would be little, and should not look like much.
    share = (0.75 * strength / max(1.0, strength.max()))[:, :, None]
    colours = np.where(heat[:, :, None] > 0, (225, 60, 20), (30, 110, 230))
    mixed = crop.mean(axis=2, keepdims=True) * (1 - share) + colours * share
    little = "" if strength.max() >= 1 else " Here no single place changes much."
    name = _name(label)
    return (
        f'<img src="{picture_url(mixed.astype(np.uint8))}" alt="Heat map of the face" width="192" height="192">'
        f"<p><b>Red</b>: with this place covered, “{name}” becomes less likely; <b>blue</b>: more likely.{little}</p>"
        "<p>Found by covering one grey patch after the other and asking again (occlusion). It shows where the answer "
        "came from, not why.</p>"
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


def picture_url(pixels: np.ndarray) -> str:
    """A picture in a data URL."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "jpeg", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def models_html(specs: Sequence[ModelSpec], used: Sequence[str]) -> str:
    """The table of models; `used` holds the ``name@version`` of those that answer here."""
    rows = []
    for spec in specs:
        figures = "<br>".join(_figure(row) for row in spec.metrics if row["metric"] in ("accuracy", "mae"))
        cells = (
            f"<b>{html.escape(spec.name)}</b>{' <mark>in use</mark>' if spec.id in used else ''}",
            html.escape(spec.version),
            html.escape(", ".join(spec.attributes) or spec.kind),
            html.escape(spec.license_name or spec.license),
            figures or "–",
        )
        rows.append(cells)
    return table_html("Models", ("Model", "Version", "Answers", "Licence", "Measured"), rows)


def _figure(row: Mapping[str, Any]) -> str:
    """One measured figure: ``emotion 83.7% right``, ``age 5.9 years off``, and the data set."""
    value = f"{row['value']:.1%} right" if row["metric"] == "accuracy" else f"{row['value']:.1f} years off"
    return f"{html.escape(row['label'].replace('_', ' '))} <b>{value}</b> <small>{html.escape(row['dataset'])}</small>"


def _top_scores(value: Classification) -> str:
    """The likely labels with their scores: ``Female 93 %``, or up to three where the model hesitates."""
    best = sorted(value.scores.items(), key=lambda item: -item[1])[:3]
    shown = [best[0], *(item for item in best[1:] if item[1] >= 0.1)]
    return " · ".join(f"{_name(label)} {score:.0%}".replace(" ", "\N{NO-BREAK SPACE}") for label, score in shown)


def _name(label: str) -> str:
    return html.escape(label.replace("_", " ").title())


def _plural(word: str, count: int) -> str:
    return word if count == 1 else word + "s"
