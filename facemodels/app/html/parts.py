"""What several tabs show: the header, messages, tables, downloads, pictures, facts about a face."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Mapping

import numpy as np
from PIL import Image

from facemodels.app.words import Words
from facemodels.attributes import ATTRIBUTES, HEADLINE
from facemodels.errors import SourceError
from facemodels.values import Classification, Points, Pose, Value

# Of the words of `SourceError.code`, those that a visitor's file can give.
REFUSALS = frozenset(
    (
        *("empty", "damaged", "pixels", "bytes", "heic", "raw", "video", "svg", "html", "pdf", "jxl", "psd"),
        *("postscript", "archive", "zeros", "text", "unknown", "gone", "stopping"),
        *("no_video", "sound", "broken_video", "frame_pixels", "no_frames", "too_long"),
    )
)


def header_html(say: Words) -> str:
    """The top of the page: what this is, and what its answers are."""
    return (
        f'<header class="fm-header"><h1>facemodels</h1><p>{say("lead")}</p></header>'
        f'<aside class="fm-notice" aria-label="{say("notice_name")}"><details>'
        f"<summary>{say('notice_first')}</summary><p>{say('notice_perceived')}</p><p>{say('notice_kept')}</p>"
        "</details></aside>"
    )


def message_html(title: str, text: str, kind: str = "info") -> str:
    """A short message, HTML, where the results would be; `kind` is info, warning or error."""
    role = "status" if kind == "info" else "alert"
    return f'<div class="fm-message fm-{kind}" role="{role}"><b>{title}</b><p>{text}</p></div>'


def no_attribute_html(say: Words) -> str:
    """What the page says while nothing is chosen that could be answered."""
    return message_html(say("no_attribute"), say("no_attribute_text"), "warning")


def error_html(error: Exception, say: Words) -> str:
    """What went wrong, as a message."""
    return message_html(say("failed"), named_error_text(error, say), "error")


def named_error_text(error: Exception, say: Words) -> str:
    """As `error_text`, with the name of a file that was refused."""
    name = error.name if isinstance(error, SourceError) and error.code in REFUSALS else ""
    return (f"{html.escape(name)}: " if name else "") + error_text(error, say)


def error_text(error: Exception, say: Words) -> str:
    """Why a file was refused, or what else went wrong, HTML in the page's language.

    What no visitor can bring about by the page has no words of its own: its English ones are the detail.
    """
    if isinstance(error, SourceError) and error.code in REFUSALS:
        return say(f"refused_{error.code}", **error.values)
    detail = html.escape(str(error))
    return detail if say.language == "en" else f'{say("refused_other")} <small lang="en" dir="ltr">{detail}</small>'


def download_html(name: str, file: str, kind: str, text: str, say: Words) -> str:
    """A link that saves a text as a file."""
    data = f"data:{kind};base64,{base64.b64encode(text.encode()).decode()}"
    spoken = say("download_name", kind=name)
    return f'<a class="fm-download" download="{file}" href="{data}" aria-label="{spoken}">{name}</a>'


def table_html(name: str, head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table that scrolls by itself where the page is narrow; cells are HTML."""
    names = list(head)
    cells = "".join(f'<th scope="col">{cell}</th>' for cell in names)
    # Where the page is narrow, the style sheet may stack the cells, each with the name of its column.
    lines = (
        "".join(f'<td data-name="{name}">{cell}</td>' for name, cell in zip(names, row, strict=True)) for row in rows
    )
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return (
        f'<div class="fm-table" tabindex="0" role="region" aria-label="{name}">'
        f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def facts_html(values: Mapping[str, Value], say: Words) -> str:
    """Rows of a card: what is perceived besides the headline, an attribute each."""
    rows = ((name, fact_text(name, value, say)) for name, value in values.items() if name != HEADLINE)
    return "".join(
        f'<div data-attribute="{name}"><dt>{fact_name(name, say)}</dt><dd>{text}</dd></div>' for name, text in rows
    )


def fact_name(attribute: str, say: Words) -> str:
    """What `fact_text` is about: of points it tells how far eyes and mouth are open."""
    return say("eyes_mouth" if attribute == "points" else f"attribute_{attribute}")


def fact_text(attribute: str, value: Value, say: Words) -> str:
    """An answer in words, HTML: its likely labels, its range, or what eyes, mouth and head do."""
    if isinstance(value, Classification):
        return _top_scores(value, say)
    if isinstance(value, Points):
        return _openness_text(value, say)
    if isinstance(value, Pose):
        return _pose_text(value, say)
    key = f"unit_{ATTRIBUTES[attribute].kind.unit}"
    low, high = (f"{bound:.0f}" for bound in value.interval)
    return say(key, low=low, high=high, value=f"{value.value:.0f}")


# What `facts.js` says too, for the webcam: from which openness on something counts as half open and as open, and the
# least angle, in degrees, that is worth a word.
EYES_HALF_OPEN, EYES_OPEN = 0.2, 0.5
MOUTH_HALF_OPEN, MOUTH_OPEN = 0.12, 0.4
LEAST_ANGLE = 5


def _openness_text(points: Points, say: Words) -> str:
    """``eyes open 82% · mouth closed 3%``."""
    eyes = (points.right_eye_open, points.left_eye_open)
    if (min(eyes) < EYES_HALF_OPEN) != (max(eyes) < EYES_HALF_OPEN):
        lids = say("eyes_one")
    else:
        mean = sum(eyes) / 2
        state = "closed" if mean < EYES_HALF_OPEN else "half" if mean < EYES_OPEN else "open"
        lids = _with_percent(say(f"eyes_{state}"), mean)
    mouth = points.mouth_open
    state = "closed" if mouth < MOUTH_HALF_OPEN else "half" if mouth < MOUTH_OPEN else "open"
    return f"{lids} · {_with_percent(say(f'mouth_{state}'), mouth)}"


def _with_percent(text: str, fraction: float) -> str:
    return f"{text}\N{NO-BREAK SPACE}{fraction:.0%}"


def _pose_text(pose: Pose, say: Words) -> str:
    """``12° to the right · 7° up``, as seen on the image; small angles are left out."""
    turns = ((pose.yaw, "right", "left"), (pose.pitch, "up", "down"), (pose.roll, "clockwise", "counterclockwise"))
    parts = [
        say(f"pose_{one if angle > 0 else other}", angle=round(abs(angle)))
        for angle, one, other in turns
        if abs(angle) >= LEAST_ANGLE
    ]
    if max(abs(pose.yaw), abs(pose.pitch)) < LEAST_ANGLE:
        parts.insert(0, say("pose_ahead"))
    return " · ".join(parts)


def _top_scores(value: Classification, say: Words) -> str:
    """The likely labels with their scores: ``Female 93 %``, or up to three where the model hesitates."""
    best = sorted(value.scores.items(), key=lambda item: -item[1])[:3]
    shown = [best[0], *(item for item in best[1:] if item[1] >= 0.1)]
    return " · ".join(f"{say.label(label)}\N{NO-BREAK SPACE}{say.percent(score)}" for label, score in shown)


def picture_url(pixels: np.ndarray) -> str:
    """A picture in a data URL."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "jpeg", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
