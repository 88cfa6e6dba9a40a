"""The emotions of each person over time, drawn as SVG."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from facemodels.values import readable
from facemodels.video.person import Person

# Contrast of 3:1 and more both on white and on the dark cards of the page (see the test).
LINE_COLOURS: Mapping[str, str] = {
    "angry": "#d55e00",
    "disgust": "#009e73",
    "fear": "#c2629a",
    "happy": "#a38b00",
    "sad": "#2a86c8",
    "surprise": "#c98300",
    "neutral": "#7f8b98",
    "contempt": "#7b6cd9",
}
OTHER_LINE = "#8a8a8a"
# Dashes and gaps in pixels: a line can be told from the next without its colour.
LINE_DASHES: Mapping[str, str] = {
    "angry": "9 3",
    "disgust": "2 4",
    "fear": "9 3 2 3",
    "happy": "",
    "sad": "5 3",
    "surprise": "14 3",
    "neutral": "1 5",
    "contempt": "5 3 1 3",
}


@dataclass(frozen=True, slots=True)
class PlotWords:
    """What a drawing says.

    Attributes:
        label: A label as text.
        person: Who a plot is about, with ``{place}``.
        mostly: Their emotion, with ``{label}``.
        span: From when to when they were seen, with ``{first}`` and ``{last}``.
        score: Name of the axis of scores.
        time: Name of the axis of time.
        nobody: What stands where nobody was seen.
        others: How many more there were.
    """

    label: Callable[[str], str] = readable
    person: str = "Person {place}"
    mostly: str = "mostly {label}"
    span: str = "{first} to {last}"
    score: str = "score"
    time: str = "time (min:s)"
    nobody: str = "No face was seen."
    others: Callable[[int], str] = "and {} more who were seen for less long".format


ENGLISH = PlotWords()
_LEFT, _TOP, _WIDTH, _HEIGHT, _EACH = 72, 20, 690, 85, 176  # of a plot, in pixels


def timeline_svg(
    people: Sequence[Person], others: int, seconds: float, title: str = "", words: PlotWords = ENGLISH
) -> str:
    """Emotions over time as an SVG drawing, a plot per person.

    Args:
        people: The people, one plot each.
        others: How many more there were.
        seconds: Length of the time axis.
        title: Heading.
        words: What it says besides.
    """
    height = 50 + _EACH * max(len(people), 1) + 24 * bool(others)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="800" height="{height}" viewBox="0 0 800 {height}" '
        'font-family="system-ui, sans-serif" font-size="13" fill="#1e293b">',
        f"<title>{html.escape(title or 'Emotions over time')}</title>",
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="20" y="30" font-size="17" font-weight="700">{html.escape(title)}</text>',
    ]
    parts += [_plot(person, seconds, 50 + _EACH * index, words) for index, person in enumerate(people)]
    if not people:
        parts.append(f'<text x="20" y="90">{html.escape(words.nobody)}</text>')
    if others:
        parts.append(f'<text x="20" y="{height - 14}">{html.escape(words.others(others))}</text>')
    return "\n".join([*parts, "</svg>\n"])


def _plot(person: Person, seconds: float, top: int, words: PlotWords) -> str:
    lines = person.lines()
    across = _WIDTH / max(seconds, 1e-3)
    name = words.person.format(place=person.track_id)
    told = ["", words.span.format(first=clock(person.first), last=clock(person.last))]
    if person.emotion:
        told.insert(1, words.mostly.format(label=words.label(person.emotion.label)))
    parts = [
        f'<g transform="translate({_LEFT} {top})" role="img" aria-label="{html.escape(name)}">',
        f'<text y="8"><tspan font-weight="700">{html.escape(name)}</tspan>{html.escape(", ".join(told))}</text>',
        f'<text transform="translate(-46 {_TOP + _HEIGHT / 2}) rotate(-90)" text-anchor="middle">'
        f"{html.escape(words.score)}</text>",
        f'<text x="{_WIDTH / 2}" y="{_TOP + _HEIGHT + 17}" text-anchor="middle">{html.escape(words.time)}</text>',
    ]
    for percent in (0, 50, 100):
        y = _TOP + _HEIGHT * (1 - percent / 100)
        parts.append(
            f'<path d="M0 {y:g}h{_WIDTH}" stroke="#cbd5e1"/>'
            f'<text x="-8" y="{y + 4:g}" text-anchor="end">{percent} %</text>'
        )
    foot = _TOP + _HEIGHT + 17
    parts.append(f'<text y="{foot}">0:00</text><text x="{_WIDTH}" y="{foot}" text-anchor="end">{clock(seconds)}</text>')
    for index, (label, path) in enumerate(lines.items()):
        name = html.escape(words.label(label))
        style = f'stroke="{LINE_COLOURS.get(label, OTHER_LINE)}" stroke-dasharray="{LINE_DASHES.get(label) or "none"}"'
        left = index * 84
        parts.append(
            f'<path d="{path}" transform="translate(0 {_TOP}) scale({across:.6g} {_HEIGHT})" fill="none" {style} '
            'stroke-width="2" stroke-linecap="round" stroke-linejoin="round" vector-effect="non-scaling-stroke"/>'
            f'<path d="M{left} {foot + 19}h22" {style} stroke-width="2" stroke-linecap="round"/>'
            f'<text x="{left + 27}" y="{foot + 23}">{name}</text>'
        )
    return "\n".join([*parts, "</g>"])


def clock(seconds: float) -> str:
    """``1:05`` for 65 seconds.

    Example:
        >>> clock(65.4), clock(3600), clock(-1)
        ('1:05', '1:00:00', '0:00')
    """
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
