"""The emotions of each person over time, drawn as SVG."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

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
_LEFT, _TOP, _WIDTH, _HEIGHT, _EACH = 72, 20, 690, 85, 176  # of a plot, in pixels


def timeline_svg(people: Sequence[Person], others: int, seconds: float, title: str = "") -> str:
    """Emotions over time as an SVG drawing, a plot per person.

    Args:
        people: The people, one plot each.
        others: How many more there were.
        seconds: Length of the time axis.
        title: Heading.
    """
    height = 50 + _EACH * max(len(people), 1) + 24 * bool(others)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="800" height="{height}" viewBox="0 0 800 {height}" '
        'font-family="system-ui, sans-serif" font-size="13" fill="#1e293b">',
        f"<title>{html.escape(title or 'Emotions over time')}</title>",
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="20" y="30" font-size="17" font-weight="700">{html.escape(title)}</text>',
    ]
    parts += [_plot(person, seconds, 50 + _EACH * index) for index, person in enumerate(people)]
    if not people:
        parts.append('<text x="20" y="90">No face was seen.</text>')
    if others:
        parts.append(f'<text x="20" y="{height - 14}">and {others} more who were seen for less long</text>')
    return "\n".join([*parts, "</svg>\n"])


def _plot(person: Person, seconds: float, top: int) -> str:
    lines = person.lines()
    across = _WIDTH / max(seconds, 1e-3)
    mostly = f", mostly {person.emotion.label.replace('_', ' ')}" if person.emotion else ""
    parts = [
        f'<g transform="translate({_LEFT} {top})" role="img" aria-label="Person {person.track_id}">',
        f'<text y="8"><tspan font-weight="700">#{person.track_id}</tspan>'
        f"{html.escape(mostly)}, {clock(person.first)} to {clock(person.last)}</text>",
        f'<text transform="translate(-46 {_TOP + _HEIGHT / 2}) rotate(-90)" text-anchor="middle">score</text>',
        f'<text x="{_WIDTH / 2}" y="{_TOP + _HEIGHT + 17}" text-anchor="middle">time (min:s)</text>',
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
        name = html.escape(label.replace("_", " "))
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
