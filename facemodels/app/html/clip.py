"""The video tab's HTML: how far the work is, and who was in the clip."""

from __future__ import annotations

import html
import json
from pathlib import Path

from facemodels.app.html.parts import download_html, facts_html, message_html, picture_url
from facemodels.app.words import Words
from facemodels.video.frames import Problem
from facemodels.video.person import Person
from facemodels.video.plot import LINE_COLOURS, OTHER_LINE, PlotWords, clock
from facemodels.video.timeline import Timeline


def clip_empty_html(say: Words) -> str:
    """Where the results will be."""
    return message_html(say("clip_empty"), say("clip_empty_text"))


def clip_cancelled_html(say: Words) -> str:
    """After the visitor changed their mind."""
    return message_html(say("clip_cancelled"), say("clip_cancelled_text"))


def clip_waiting_html(say: Words) -> str:
    """While other visitors' clips are analyzed."""
    return _bar_html("", say("clip_waiting"), say)


def progress_html(done: int, total: int | None, left: float | None, say: Words) -> str:
    """How far the work is.

    Args:
        done: Frames that are done; at 0 it has only begun.
        total: Frames in the clip, or None where nobody knows.
        left: Seconds that are left, or None where nobody knows.
        say: The words.
    """
    if not done:
        text = say("clip_begun")
    elif total is None:
        text = say("clip_done_open", done=done)
    else:
        text = say("clip_done", done=done, total=total)
    if left is not None:
        text += f" · {say('clip_left', time=clock(left))}"
    state = f' max="{total}" value="{done}"' if total and done else ""
    return _bar_html(state, text, say)


def preview_html(picture: str | None, say: Words) -> str | None:
    """The frame that is being analyzed, a data URL, while there is no answer yet."""
    return None if picture is None else f'<img src="{picture}" alt="{say("clip_preview")}">'


def _bar_html(state: str, text: str, say: Words) -> str:
    return (
        f'<div class="fm-message fm-progress"><progress{state} aria-label="{say("clip_bar")}"></progress>'
        f"<p>{text}</p></div>"
    )


def clip_html(
    timeline: Timeline,
    frames: int,
    analyzed: int,
    name: str,
    problem: Problem | None,
    minutes: int,
    poster: str | None,
    say: Words,
) -> str:
    """Who was in the clip: a summary with the downloads, and a card with a plot per person.

    Args:
        timeline: What was seen.
        frames: Frames of the clip.
        analyzed: Those that the models saw.
        name: Of the clip's file.
        problem: Why the clip is incomplete, or None.
        minutes: After which the files are deleted.
        poster: What stands for the annotated video until it is played, a data URL.
        say: The words.
    """
    people = timeline.people
    count = len(people) + timeline.others
    stem = Path(name).stem
    links = (
        f'<button class="fm-download" data-action="mp4" data-name="{html.escape(stem)}-faces.mp4" '
        f'aria-label="{say("download_name", kind="MP4")}">MP4</button>'
        f'<button class="fm-download" data-action="csv" aria-label="{say("download_name", kind="CSV")}">CSV</button>'
    )
    data = json.dumps({"file": name, **timeline.to_dict()}, indent=1)
    links += download_html("JSON", f"{html.escape(stem)}.json", "application/json", data, say)
    if people:
        drawing = timeline.to_svg(name, plot_words(say))
        links += download_html("SVG", f"{html.escape(stem)}.svg", "image/svg+xml", drawing, say)
    links += f'<button class="fm-download" data-action="anonymize">{say("anonymized")}</button>'
    parts = [
        f'<div class="fm-summary" role="status" data-poster="{poster or ""}">'
        f"<b>{say.count('clip_people', count) if count else say('clip_people_none')}</b>"
        f"<span>{say('clip_frames', time=clock(timeline.seconds), frames=frames, analyzed=analyzed)}</span>"
        f'<span class="fm-downloads">{say("download")} {links}</span></div>'
    ]
    if problem is not None:
        title, rest = ("clip_colours", "") if problem.code == "colours" else ("clip_broken", say("clip_broken_text"))
        why = say(f"clip_problem_{problem.code}", **problem.values)
        parts.append(message_html(say(title), f"{why} {rest}".strip(), "warning"))
    if people:
        cards = "".join(person_html(person, timeline.seconds, say) for person in people)
        parts.append(f'<div class="fm-cards fm-people">{cards}</div>')
    else:
        parts.append(message_html(say("no_face"), say("clip_no_face_text")))
    if timeline.others:
        parts.append(f'<p class="fm-note">{say.count("clip_others", timeline.others)}</p>')
    parts.append(f'<p class="fm-note">{say("clip_kept", minutes=minutes)}</p>')
    return "".join(parts)


def plot_words(say: Words) -> PlotWords:
    """What the drawing of a timeline says; English says it in the library's words."""
    if say.language == "en":
        return PlotWords()
    return PlotWords(
        label=lambda label: html.unescape(say.label(label)),
        person=say.texts["clip_person"],
        mostly="{label}",
        span=say.texts["clip_span"],
        score=say.texts["axis_score"],
        time=say.texts["axis_time"],
        nobody=say.texts["no_face"],
        others=lambda count: say.count("clip_others", count),
    )


def person_html(person: Person, seconds: float, say: Words) -> str:
    """The card of one person: a picture, what the models perceive on average, and the emotions over time."""
    name = say("clip_person", place=person.track_id)
    headline = ""
    if person.emotion is not None:
        label, fraction = next(iter(person.fractions.items()), (person.emotion.label, 1.0))
        headline = say("clip_mostly", label=html.unescape(say.label(label)), share=f"{fraction:.0%}")
    picture = ""
    if person.picture is not None:
        cut = say("clip_person_cut", place=person.track_id)
        picture = f'<img src="{picture_url(person.picture)}" alt="{cut}" width="72" height="72">'
    span = say("clip_span", first=clock(person.first), last=clock(person.last))
    view = (
        f'<button data-action="jump" data-time="{person.first:.3f}" '
        f'title="{say("clip_jump", time=clock(person.first))}">{span}</button>'
    )
    facts = facts_html(person.values, say)
    return (
        f'<article class="fm-card" aria-label="{name}" data-person="{person.track_id}"><header>{picture}'
        f"<div><small>{name}</small><p>{headline}</p></div></header>"
        f"<dl>{_totals_html(person, say)}{facts}<div><dt>{say('clip_in_view')}</dt><dd>{view}</dd></div></dl>"
        f"{_plot_html(person, seconds, say)}</article>"
    )


def _totals_html(person: Person, say: Words) -> str:
    """For which part of the time each emotion was the most probable one."""
    if not person.fractions:
        return ""
    totals = " · ".join(
        f"{say.label(emotion)} {fraction:.0%}".replace(" ", "\N{NO-BREAK SPACE}")
        for emotion, fraction in person.fractions.items()
        if fraction >= 0.005
    )
    return f"<div><dt>{say('clip_totals')}</dt><dd>{totals}</dd></div>"


def _plot_html(person: Person, seconds: float, say: Words) -> str:
    lines = person.lines()
    if not lines:
        return ""
    colours = {
        label: f'class="fm-emotion-{label}"' if label in LINE_COLOURS else f'style="--emotion:{OTHER_LINE}"'
        for label in lines
    }
    paths = "".join(f'<path {colours[label]} d="{path}"/>' for label, path in lines.items())
    sample = '<svg viewBox="0 0 28 4" aria-hidden="true"><path d="M1 2H27"/></svg>'
    legend = "".join(f"<li {colours[label]}>{sample}{say.label(label)}</li>" for label in lines)
    return (
        f'<figure class="fm-plot"><b>{say("axis_score")}</b>'
        '<div class="fm-axes"><span>100%</span><span>50%</span><span>0%</span>'
        f'<svg viewBox="0 0 {max(seconds, 0.001):.3f} 1" preserveAspectRatio="none" role="img" '
        f'aria-label="{say("clip_plot", place=person.track_id)}">{paths}<path class="fm-now" d="M0 0V1"/></svg></div>'
        f"<figcaption><span>0:00</span><b>{say('axis_time')}</b><span>{clock(seconds)}</span></figcaption>"
        f"<ul>{legend}</ul></figure>"
    )
