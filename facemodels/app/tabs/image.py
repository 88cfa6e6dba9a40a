"""The image tab."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from facemodels.app.address import Choice
from facemodels.app.analyzers import Analyzer, offered_detectors, offered_models
from facemodels.app.components import in_every_language, script, static, t
from facemodels.app.endpoints import answers_visitors
from facemodels.app.handlers.image import (
    LOWEST_SCORE,
    Shown,
    anonymize_upload,
    decode_upload,
    explain_face,
    show_upload,
)
from facemodels.app.html.image import empty_html, model_title
from facemodels.app.limits import Limits
from facemodels.app.memory import ImageMemory
from facemodels.app.tabs.examples import example_strip, taker
from facemodels.app.tabs.photos import photos_part
from facemodels.app.words import texts_of

HIGHEST_SCORE = 0.95  # score threshold that the page offers
MOST_FACES = 100  # that the page offers


def image_tab(
    analyzer: Analyzer,
    limits: Limits,
    memory: ImageMemory,
    stopping: threading.Event,
    language: gr.HTML,
    examples: Sequence[Path],
) -> tuple[gr.Image, dict[str, Choice]]:
    """Lay out the tab, inside a `gr.Tab`.

    Returns:
        The component that takes the image, and what the page's address can name.
    """

    choices = offered_models(analyzer)
    offered = list(choices)
    with gr.Row(elem_id="fm-pictures"):
        with gr.Column(scale=3, min_width=320, elem_id="fm-left"):
            picture = gr.Image(
                label=t("picture"),
                show_label=False,
                sources=["upload", "webcam", "clipboard"],
                type="filepath",
                height=460,
                elem_id="fm-picture",
                alt_text=t("picture_alt"),  # type: ignore[arg-type]
                buttons=["fullscreen"],
            )
            if examples:
                strip = example_strip(examples, elem_id="fm-examples")
                strip.pick(
                    taker(examples),
                    language,
                    picture,
                    queue=False,
                    show_progress="hidden",
                    api_visibility="private",
                )
            with gr.Accordion(t("options"), open=False, elem_id="fm-options"):
                attributes = gr.CheckboxGroup(
                    [(t(f"attribute_{name}"), name) for name in offered],
                    value=offered,
                    label=t("attributes"),
                    elem_id="fm-attributes",
                )
                min_score = gr.Slider(
                    LOWEST_SCORE,
                    HIGHEST_SCORE,
                    value=analyzer.min_score,
                    step=0.05,
                    label=t("min_score"),
                    elem_id="fm-min-score",
                )
                with gr.Row():
                    models = [
                        gr.Dropdown(
                            [(model_title(model, attribute, t), model) for model in ids],
                            value=ids[0],
                            label=t(f"model_{attribute}"),
                            min_width=240,
                        )
                        for attribute, ids in choices.items()
                    ]
                    second = gr.Dropdown(
                        [(t("second_none"), ""), *_seconds(choices)],
                        value="",
                        label=t("second"),
                        min_width=240,
                    )
                with gr.Row():
                    max_faces = gr.Slider(1, MOST_FACES, value=50, step=1, label=t("max_faces"), min_width=200)
                    detector = gr.Dropdown(list(offered_detectors(analyzer)), label=t("detector"), min_width=200)
        with gr.Column(scale=2, min_width=320):
            results = in_every_language(
                empty_html,
                js_on_load="".join(map(static, ("facts.js", "faces.js", "corrections.js"))),
                elem_id="fm-results",
            )
    settings = [max_faces, attributes, detector, min_score, language, *models]
    photos_part(analyzer, memory, stopping, picture, language, settings, offered)
    shown = gr.State(None)  # what `results` shows, and what is known; this visitor's own
    explained = gr.HTML(
        {},
        html_template="",
        label=t("language"),
        texts=texts_of("explain", "attribute_", "face"),
        js_on_load=static("explained.js"),
        apply_default_css=False,
        visible="hidden",
    )
    layers = script("layers.js", value=[])
    file = gr.DownloadButton(visible="hidden", elem_id="fm-file")
    shared: dict[str, Any] = {
        "preprocess": False,  # `read_image` opens the upload, so that every picture goes the same way
        "concurrency_id": "analyze",
        "concurrency_limit": limits.analyses,
        "api_visibility": "private",
    }

    def show_chosen(
        image: Any,
        max_faces: Any,
        attributes: Any,
        detector: Any,
        min_score: Any,
        language: Any,
        second: Any,
        shown: Shown | None,
        layers: Any,
        *models: Any,
    ) -> tuple[str | None, Shown | None]:
        chosen = dict(zip(offered, models, strict=True))
        return show_upload(
            analyzer, image, max_faces, attributes, detector, min_score, chosen, language, second, shown, memory, layers
        )

    inputs = [picture, max_faces, attributes, detector, min_score, language, second, shown, layers, *models]
    answering: dict[str, Any] = {
        "fn": show_chosen,
        "inputs": inputs,
        "outputs": [results, shown],
        "show_progress": "minimal",
        "show_progress_on": picture,
        **shared,
    }
    gr.on(
        [
            *(picture.change, attributes.input, max_faces.release, detector.input, min_score.release, second.input),
            *(model.input for model in models),
        ],
        trigger_mode="always_last",
        **answering,
    )
    layers.ask(trigger_mode="always_last", **answering)
    results.harder(None, None, min_score, js=f"() => {LOWEST_SCORE}", api_visibility="private").then(**answering)

    def explain_chosen(image: Any, shown: Shown | None, language: Any, event: gr.EventData) -> dict[str, Any]:
        analysis = None if shown is None else shown.analysis
        face, attribute = (getattr(event, name, None) for name in ("face", "attribute"))
        return explain_face(analyzer, image, analysis, face, language, attribute, memory)

    explained.explain(
        explain_chosen,
        [picture, shown, language],
        explained,
        trigger_mode="multiple",
        show_progress="hidden",
        **shared,
    )

    def decode(language: Any, image: Any) -> str:
        return decode_upload(image, memory)

    def anonymize(language: Any, image: Any, shown: Shown | None) -> str | None:
        return anonymize_upload(analyzer, image, None if shown is None else shown.analysis, memory)

    results.decode(answers_visitors(decode), [language, picture], file, **shared).success(
        None,
        file,
        js="(file) => { window.dispatchEvent(new CustomEvent('fm-decoded', {detail: file.url})); }",
        api_visibility="private",
    )
    results.anonymize(answers_visitors(anonymize), [language, picture, shown], file, **shared).success(
        None, js="() => document.querySelector('#fm-file').click()", api_visibility="private"
    )
    return picture, {
        "attributes": Choice(attributes, offered, several=True),
        "threshold": Choice(min_score, span=(LOWEST_SCORE, HIGHEST_SCORE)),
        "faces": Choice(max_faces, span=(1, MOST_FACES)),
        "detector": Choice(detector, offered_detectors(analyzer)),
        "second": Choice(second, [value for _, value in _seconds(choices)]),
        **{f"{name}-model": Choice(model, choices[name]) for name, model in zip(choices, models, strict=True)},
    }


def _seconds(choices: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """The models that may answer beside the one in use: their names, and ``attribute=model``."""
    return [
        (model_title(model, attribute, t), f"{attribute}={model}")
        for attribute, models in choices.items()
        for model in models
        if len(models) > 1
    ]
