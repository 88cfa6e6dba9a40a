"""The image tab."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from facemodels.app.analyzers import Analyzer, offered_detectors, offered_models
from facemodels.app.components import in_every_language, static, t
from facemodels.app.endpoints import answers_errors
from facemodels.app.handlers import annotate_upload, explain_face, show_upload, take_example
from facemodels.app.html.image import empty_html, examples_html
from facemodels.app.limits import Limits
from facemodels.app.settings import EXAMPLES
from facemodels.app.words import words_in
from facemodels.errors import UnknownModelError
from facemodels.hub.registry import get_spec
from facemodels.types import Analysis


def model_name(model: str, attribute: str) -> str:
    """A model as a visitor should know it: what it tells apart, how often it is right, and its id.

    The first part is in the visitor's language once the page is there.
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
    return f"{t(f'measured_{measured}')}{figure} · {model}"


def image_tab(analyzer: Analyzer, limits: Limits, language: gr.HTML, examples: Sequence[Path]) -> gr.Image:
    """Lay out the tab, inside a `gr.Tab`.

    Returns:
        The component that takes the image.
    """

    def pick(event: gr.EventData) -> str:
        return take_example(examples, getattr(event, "example", None))

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
                alt_text="The picture to analyze",
                buttons=["fullscreen"],
            )
            if examples:
                public_domain = examples[0].parent == EXAMPLES
                strip = in_every_language(
                    functools.partial(examples_html, examples, public_domain),
                    js_on_load=static("examples.js"),
                    elem_id="fm-examples",
                )
                strip.pick(
                    answers_errors(pick),
                    None,
                    picture,
                    queue=False,
                    show_progress="hidden",
                    api_visibility="private",
                )
        with gr.Column(scale=2, min_width=320):
            results = in_every_language(empty_html, js_on_load=static("faces.js"), elem_id="fm-results")
    with gr.Accordion(t("options"), open=False, elem_id="fm-options"):
        attributes = gr.CheckboxGroup(
            [(t(f"attribute_{name}"), name) for name in offered], value=offered, label=t("attributes")
        )
        with gr.Row():
            models = [
                gr.Dropdown(
                    [(model_name(model, attribute), model) for model in ids],
                    value=ids[0],
                    label=t(f"model_{attribute}"),
                    min_width=200,
                )
                for attribute, ids in choices.items()
            ]
        with gr.Row():
            max_faces = gr.Slider(1, 100, value=50, step=1, label=t("max_faces"), min_width=200)
            detector = gr.Dropdown(list(offered_detectors(analyzer)), label=t("detector"), min_width=200)
            min_score = gr.Slider(0.3, 0.95, value=analyzer.min_score, step=0.05, label=t("min_score"), min_width=200)
    shown = gr.State(None)  # what `results` shows; this visitor's own
    explained = gr.HTML(
        {}, html_template="", js_on_load=static("explained.js"), apply_default_css=False, visible="hidden"
    )
    file = gr.DownloadButton(visible="hidden", elem_id="fm-file")
    shared: dict[str, Any] = {
        "preprocess": False,  # `read_image` opens the upload, so that every picture goes the same way
        "concurrency_id": "analyze",
        "concurrency_limit": limits.analyses,
        "api_visibility": "private",
    }

    def show_chosen(
        image: Any, max_faces: Any, attributes: Any, detector: Any, min_score: Any, language: Any, *models: Any
    ) -> tuple[str | None, Analysis | None]:
        chosen = dict(zip(offered, models, strict=True))
        return show_upload(analyzer, image, max_faces, attributes, detector, min_score, chosen, language)

    gr.on(
        [
            *(picture.change, attributes.input, max_faces.release, detector.input, min_score.release),
            *(model.input for model in models),
        ],
        show_chosen,
        [picture, max_faces, attributes, detector, min_score, language, *models],
        [results, shown],
        trigger_mode="always_last",
        show_progress="minimal",
        show_progress_on=picture,
        **shared,
    )

    def explain_chosen(image: Any, analysis: Analysis | None, language: Any, event: gr.EventData) -> dict[str, Any]:
        return explain_face(analyzer, image, analysis, getattr(event, "face", None), language)

    results.explain(
        explain_chosen, [picture, shown, language], explained, trigger_mode="multiple", show_progress="hidden", **shared
    )
    results.png(answers_errors(annotate_upload), [picture, shown], file, **shared).success(
        None, js="() => document.querySelector('#fm-file').click()"
    )
    return picture
