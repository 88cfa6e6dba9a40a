"""The video tab."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import gradio as gr

from facemodels.app.address import Choice
from facemodels.app.analyzers import Analyzer
from facemodels.app.components import in_every_language, static, t
from facemodels.app.handlers.video import analyze_clip, anonymize_clip
from facemodels.app.html.clip import clip_cancelled_html, clip_empty_html, clip_waiting_html
from facemodels.app.html.parts import error_html
from facemodels.app.limits import Limits
from facemodels.app.progress import Stop, stopping_error
from facemodels.app.requests import SAMPLING_RATES, standard
from facemodels.app.tabs.examples import example_strip, taker
from facemodels.app.words import texts_of, words_in


def video_tab(
    analyzer: Analyzer,
    limits: Limits,
    language: gr.HTML,
    stopping: threading.Event,
    examples: Sequence[Path] = (),
) -> dict[str, Choice]:
    """Lay out the tab, inside a `gr.Tab`.

    Returns:
        What the page's address can name.
    """
    offered = list(analyzer.models)
    with gr.Row(elem_id="fm-clip-row"):
        with gr.Column(scale=3, min_width=320, elem_id="fm-clip-left"):
            # Not a `gr.Video`: it tells visitors that what their browser does not play is no video.
            clip = gr.File(label=t("clip"), file_types=["video", ".gif", ".mkv"], elem_id="fm-clip", height=90)
            if examples:
                strip = example_strip(examples, elem_id="fm-clip-examples")
            preview = gr.HTML(apply_default_css=False, elem_id="fm-clip-preview")
            drawn = gr.Video(
                label=t("clip_drawn"), show_label=False, interactive=False, elem_id="fm-clip-drawn", buttons=[]
            )
        with gr.Column(scale=2, min_width=320):
            hiding = gr.HTML(apply_default_css=False, elem_id="fm-clip-hiding")
            results = in_every_language(
                clip_empty_html, js_on_load=static("clip.js"), texts=texts_of("clip_play"), elem_id="fm-clip-results"
            )
            cancel = gr.Button(t("clip_cancel"), interactive=False, elem_id="fm-clip-cancel")
    with gr.Accordion(t("options"), open=False, elem_id="fm-clip-options"), gr.Row():
        attributes = gr.CheckboxGroup(
            [(t(f"attribute_{name}"), name) for name in offered],
            value=list(standard(offered)),
            label=t("attributes"),
            scale=4,
            min_width=280,
        )
        rate = gr.Dropdown(
            [(t(f"clip_rate_{name}"), name) for name in SAMPLING_RATES],
            value="5",
            label=t("clip_rate"),
            scale=2,
            min_width=180,
        )
        button = gr.Button(t("analyze"), scale=1, min_width=140)
    table = gr.DownloadButton(visible="hidden", elem_id="fm-clip-table")
    shown: list[Any] = [drawn, results, table, preview]
    buttons: list[Any] = [button, cancel]

    stop = gr.State(Stop())  # one for each run

    def begin(clip: Any, language: Any) -> tuple[Any, ...]:
        busy = clip is not None
        answer = clip_waiting_html(words_in(language)) if busy else None
        return None, answer, None, None, gr.Button(interactive=not busy), gr.Button(interactive=busy), Stop()

    def handle(clip: Any, rate: Any, attributes: Any, language: Any, stop: Stop) -> Iterator[tuple[str | None, ...]]:
        with closing(analyze_clip(analyzer, limits, clip, rate, attributes, language)) as steps:
            for step in steps:
                if stop.wanted or stopping.is_set():
                    break
                yield step
        if stopping.is_set():
            yield None, error_html(stopping_error(), words_in(language)), None, None
        elif stop.wanted:  # the last word, whatever progress was still on its way to the page
            yield None, stop.answer, None, None

    def end() -> tuple[Any, ...]:
        return gr.Button(interactive=True), gr.Button(interactive=False)

    def give_up(stop: Stop, language: Any) -> tuple[Any, ...]:
        return halt(stop, clip_cancelled_html(words_in(language)))

    def forget(stop: Stop) -> tuple[Any, ...]:
        return halt(stop, None)

    def halt(stop: Stop, answer: str | None) -> tuple[Any, ...]:
        stop.wanted, stop.answer = True, answer
        return None, answer, None, None, *end()

    at_once: dict[str, Any] = {
        "preprocess": False,
        "queue": False,
        "show_progress": "hidden",
        "api_visibility": "private",
    }
    begun: dict[str, Any] = {
        "fn": begin,
        "inputs": [clip, language],
        "outputs": [*shown, *buttons, stop],
        **at_once,
    }
    in_turn: dict[str, Any] = {
        "preprocess": False,  # the upload goes to PyAV as it is
        "show_progress": "hidden",  # it shows its own
        "concurrency_id": "clips",
        "concurrency_limit": limits.clips,
        "api_visibility": "private",
    }
    works = [gr.on([clip.upload, button.click], **begun)]
    if examples:
        works.append(strip.pick(taker(examples), language, clip, **at_once).success(**begun))
    works = [work.then(handle, [clip, rate, attributes, language, stop], shown, **in_turn) for work in works]
    for work in works:
        work.then(end, None, buttons, **at_once)

    def hide(clip: Any, language: Any, stop: Stop) -> Iterator[tuple[str | None, str | None]]:
        with closing(anonymize_clip(analyzer, limits, clip, language)) as steps:
            for step in steps:
                if stop.wanted or stopping.is_set():
                    yield None, None
                    break
                yield step

    hidden = gr.DownloadButton(visible="hidden", elem_id="fm-clip-hidden")
    results.anonymize(hide, [clip, language, stop], [hidden, hiding], trigger_mode="once", **in_turn).success(
        # One that failed leaves no file, and says why.
        None,
        hidden,
        js="(file) => { if (file) document.querySelector('#fm-clip-hidden').click(); }",
        api_visibility="private",
    )
    # Gradio's own cancelling takes a run out of the queue; one that has begun sees its `Stop`.
    cancel.click(give_up, [stop, language], shown + buttons, cancels=works, **at_once)
    clip.clear(forget, stop, shown + buttons, cancels=works, **at_once).then(lambda: None, None, hiding, **at_once)
    return {
        "video-attributes": Choice(attributes, offered, several=True),
        "rate": Choice(rate, list(SAMPLING_RATES)),
    }
