"""The emotions of each person over time, drawn as SVG."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from facemodels.video.person import Person

# As in annotated pictures, with enough contrast on light and dark.
LINE_COLOURS: Mapping[str, str] = {
    "angry": "#d55e00",
    "disgust": "#009e73",
    "fear": "#c2629a",
    "happy": "#b59b00",
    "sad": "#2a86c8",
    "surprise": "#d98e00",
    "neutral": "#7f8b98",
    "contempt": "#6a5acd",
}
OTHER_LINE = "#8a8a8a"


def timeline_svg(people: Sequence[Person], others: int, seconds: float, title: str = "") -> str:
    """Emotions over time as an SVG drawing, a plot per person.

    Args:
        people: The people, one plot each.
        others: How many more there were.
        seconds: Length of the time axis.
        title: Heading.
    """
    height = 50 + 150 * max(len(people), 1) + 24 * bool(others)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="800" height="{height}" viewBox="0 0 800 {height}" '
        'font-family="system-ui, sans-serif" font-size="13" fill="#1e293b">',
        f"<title>{html.escape(title or 'Emotions over time')}</title>",
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="20" y="30" font-size="17" font-weight="700">{html.escape(title)}</text>',
    ]
    parts += [_plot(person, seconds, 50 + 150 * place) for place, person in enumerate(people)]
    if not people:
        parts.append('<text x="20" y="90">No face was seen.</text>')
    if others:
        parts.append(f'<text x="20" y="{height - 14}">and {others} more who were seen for less long</text>')
    return "\n".join([*parts, "</svg>\n"])


def _plot(person: Person, seconds: float, top: int) -> str:
    lines = person.lines()
    width = 700 / max(seconds, 1e-3)
    mostly = f", mostly {person.emotion.label.replace('_', ' ')}" if person.emotion else ""
    parts = [
        f'<g transform="translate(60 {top})" role="img" aria-label="Person {person.track_id}">',
        f'<text y="8"><tspan font-weight="700">#{person.track_id}</tspan>'
        f"{html.escape(mostly)}, {clock(person.first)} to {clock(person.last)}</text>",
    ]
    for share in (0, 50, 100):
        y = 105 - 0.85 * share
        parts.append(
            f'<path d="M0 {y}h700" stroke="#cbd5e1"/><text x="-8" y="{y + 4}" text-anchor="end">{share} %</text>'
        )
    parts.append(f'<text y="124">0:00</text><text x="700" y="124" text-anchor="end">{clock(seconds)}</text>')
    for place, (label, path) in enumerate(lines.items()):
        colour, name = LINE_COLOURS.get(label, OTHER_LINE), html.escape(label.replace("_", " "))
        parts.append(
            f'<path d="{path}" transform="translate(0 20) scale({width:.6g} 85)" fill="none" stroke="{colour}" '
            'stroke-width="2" stroke-linecap="round" stroke-linejoin="round" vector-effect="non-scaling-stroke"/>'
            f'<circle cx="{78 + place * 76}" cy="120" r="4" fill="{colour}"/>'
            f'<text x="{86 + place * 76}" y="124">{name}</text>'
        )
    return "\n".join([*parts, "</g>"])


def clock(seconds: float) -> str:
    """``1:05`` for 65 seconds.

    Example:
        >>> clock(65.4), clock(3600)
        ('1:05', '1:00:00')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
