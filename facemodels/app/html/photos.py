"""Several photos at once: a gallery, one table, one CSV and one JSON file."""

from __future__ import annotations

import html
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from facemodels.app.html.image import columns_of, summarize
from facemodels.app.html.parts import download_html, message_html, picture_url, table_html
from facemodels.app.words import Words
from facemodels.results import CsvSink, JsonSink
from facemodels.types import Analysis

SIDE = 240  # longest side of a picture in the gallery


@dataclass(frozen=True)
class Photo:
    """One of several photos.

    Attributes:
        name: Of its file.
        analysis: Of the photo; without faces where it was refused.
        picture: A small copy in a data URL; empty where it was refused.
        refused: Why, HTML.
    """

    name: str
    analysis: Analysis
    picture: str = ""
    refused: str = ""


def shrink(pixels: np.ndarray) -> str:
    """A small copy of a photo, ``(H, W, 3)`` RGB uint8, in a data URL."""
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE))
    return picture_url(np.asarray(image))


def photos_empty_html(limit: int, say: Words) -> str:
    """Where the results will be."""
    return f'<p class="fm-note">{say("photos_text", limit=limit)}</p>'


def photos_progress_html(done: int, total: int, say: Words) -> str:
    """How far the work is."""
    text = say("photos_done", done=done, total=total)
    return (
        f'<div class="fm-message fm-progress"><progress max="{total}" value="{done}" aria-label="{text}"></progress>'
        f"<p>{text}</p></div>"
    )


def photos_html(photos: Sequence[Photo], total: int, say: Words) -> str:
    """What was found in several photos; fewer than `total` where the visitor cancelled."""
    faces = tuple(face for photo in photos for face in photo.analysis)
    models = next((photo.analysis.models for photo in photos if photo.analysis.models), {})
    heading = [say.count("photos", len(photos)), *(summarize(Analysis(faces, 0, 0, models), say) if faces else ())]
    parts = [f'<div class="fm-summary" role="status"><b>{" · ".join(heading)}</b></div>']
    if len(photos) < total:
        parts.append(message_html(say("clip_cancelled"), say("photos_stopped", done=len(photos), total=total)))
    parts.append(f'<div class="fm-photos">{"".join(_tile(n, photo, say) for n, photo in enumerate(photos))}</div>')
    if faces:
        columns = columns_of(models, say)
        rows = (
            (html.escape(photo.name), str(number), *(cell(face) for cell in columns.values()))
            for photo in photos
            for number, face in enumerate(photo.analysis, 1)
        )
        table = table_html(say("table_name"), (say("table_photo"), say("table_face"), *columns), rows)
        if len(faces) > 1:
            summary = say("table_open", count=len(faces))
            parts.append(f'<details class="fm-more"><summary>{summary}</summary>{table}</details>')
        csv, data = io.StringIO(), io.StringIO()
        with CsvSink(csv) as rows_sink, JsonSink(data) as data_sink:
            for photo in photos:
                rows_sink.write_image(photo.name, photo.analysis)
                data_sink.write_image(photo.name, photo.analysis)
        links = download_html("CSV", "faces.csv", "text/csv", csv.getvalue(), say)
        links += download_html("JSON", "faces.json", "application/json", data.getvalue(), say)
        parts.append(f'<div class="fm-foot"><span class="fm-downloads">{say("download")} {links}</span></div>')
    return "".join(parts)


def _tile(number: int, photo: Photo, say: Words) -> str:
    """A photo of the gallery, with its faces; it opens as the tab's picture."""
    name = html.escape(photo.name)
    if not photo.picture:
        return f'<div class="fm-photo"><b>{name}</b><small>{photo.refused}</small></div>'
    boxes = "".join(
        f'<rect class="{"" if face.emotion is None else f"fm-emotion-{html.escape(face.emotion.label)}"}" '
        f'x="{face.box.x1:.0f}" y="{face.box.y1:.0f}" width="{face.box.width:.0f}" height="{face.box.height:.0f}"/>'
        for face in photo.analysis
    )
    found = " · ".join(summarize(photo.analysis, say)) if len(photo.analysis) else say("faces_none")
    if len(photo.analysis) == 1 and (emotion := photo.analysis.faces[0].emotion) is not None:
        found += f" · {say.label(emotion.label)}"
    view = f"0 0 {photo.analysis.width} {photo.analysis.height}"
    return (
        f'<button class="fm-photo" data-photo="{number}" aria-label="{say("photos_open", name=photo.name)}: {found}">'
        f'<span><img src="{photo.picture}" alt=""><svg class="fm-overlay" viewBox="{view}" aria-hidden="true">{boxes}'
        f"</svg></span><b>{name}</b><small>{found}</small></button>"
    )
