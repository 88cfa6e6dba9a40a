"""The image tab."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from facemodels.app.analyzers import Analyzer, offered_detectors, offered_models
from facemodels.app.components import in_every_language, static, t
from facemodels.app.endpoints import answers_errors
from facemodels.app.handlers import annotate_upload, explain_face, show_upload
from facemodels.app.html.image import empty_html
from facemodels.app.limits import Limits
from facemodels.types import Analysis


def image_tab(analyzer: Analyzer, limits: Limits, language: gr.HTML, examples: Sequence[Path]) -> gr.Image:
    """Lay out the tab, inside a `gr.Tab`.

    Returns:
        The component that takes the image.
    """
    choices = offered_models(analyzer)
    offered = list(choices)
    with gr.Row(equal_height=True, elem_id="fm-pictures"):
        picture = gr.Image(
            label=t("picture"),
            sources=["upload", "webcam", "clipboard"],
            type="filepath",
            height=420,
            elem_id="fm-picture",
            alt_text="The picture to analyze",
            buttons=["fullscreen"],
        )
        annotated = gr.Image(
            label=t("picture_faces"),
            interactive=False,
            height=420,
            elem_id="fm-annotated",
            buttons=["download", "fullscreen"],
            alt_text="The picture with a box and a label at each face",
        )
    if examples:
        gr.Examples(
            [[str(path)] for path in examples],
            [picture],
            label=t("examples"),
            elem_id="fm-examples",
            api_visibility="private",
        )
    with gr.Row(elem_id="fm-options"):
        attributes = gr.CheckboxGroup(
            [(t(f"attribute_{name}"), name) for name in offered],
            value=offered,
            label=t("attributes"),
            scale=4,
            min_width=280,
        )
        button = gr.Button(t("analyze"), variant="primary", scale=1, min_width=140)
    with gr.Accordion(t("options"), open=False):
        with gr.Row():
            max_faces = gr.Slider(1, 100, value=50, step=1, label=t("max_faces"), min_width=200)
            detector = gr.Dropdown(list(offered_detectors(analyzer)), label=t("detector"), min_width=200)
            min_score = gr.Slider(0.3, 0.95, value=analyzer.min_score, step=0.05, label=t("min_score"), min_width=200)
        with gr.Row():
            models = [
                gr.Dropdown(list(ids), label=t(f"model_{attribute}"), min_width=200)
                for attribute, ids in choices.items()
            ]
    results = in_every_language(empty_html, js_on_load=static("faces.js"), elem_id="fm-results")
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
    ) -> tuple[str | None, str | None, Analysis | None]:
        chosen = dict(zip(offered, models, strict=True))
        return show_upload(analyzer, image, max_faces, attributes, detector, min_score, chosen, language)

    gr.on(
        [
            *(picture.change, attributes.input, max_faces.release, detector.input, min_score.release, button.click),
            *(model.input for model in models),
        ],
        show_chosen,
        [picture, max_faces, attributes, detector, min_score, language, *models],
        [annotated, results, shown],
        trigger_mode="always_last",
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
