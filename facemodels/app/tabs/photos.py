"""The image tab's part for several photos at once."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from facemodels.app.analyzers import Analyzer
from facemodels.app.components import in_every_language, static, t
from facemodels.app.endpoints import answers_visitors
from facemodels.app.handlers.photos import analyze_photos, open_photo
from facemodels.app.html.photos import photos_empty_html
from facemodels.app.memory import ImageMemory
from facemodels.app.progress import Stop
from facemodels.app.requests import MAX_IMAGES


def photos_part(
    analyzer: Analyzer,
    memory: ImageMemory,
    stopping: threading.Event,
    picture: gr.Image,
    language: gr.HTML,
    settings: Sequence[Any],
    offered: Sequence[str],
) -> None:
    """Lay out the part, inside a `gr.Tab`.

    Args:
        analyzer: The app's.
        memory: Of the images in progress.
        stopping: Ends the work early once it is set.
        picture: The tab's picture, in which a photo opens.
        language: The visitor's.
        settings: Components: most faces, attributes, detector, score threshold, language, and a model per attribute.
        offered: The attributes of those models.
    """
    with gr.Accordion(t("photos"), open=False, elem_id="fm-photos"):
        photos = gr.File(label=t("photos"), show_label=False, file_count="multiple", file_types=["image"], height=150)
        cancel = gr.Button(t("clip_cancel"), visible=False)
        results = in_every_language(
            functools.partial(photos_empty_html, MAX_IMAGES),
            js_on_load=static("photos.js"),
            elem_id="fm-photos-results",
        )
    stop = gr.State(Stop())  # one for each run

    def handle(
        images: Any,
        stop: Stop,
        max_faces: Any,
        attributes: Any,
        detector: Any,
        min_score: Any,
        language: Any,
        *models: Any,
    ) -> Iterator[str | None]:
        chosen = dict(zip(offered, models, strict=True))
        for page in analyze_photos(
            analyzer, images, max_faces, attributes, detector, min_score, chosen, language, stop, memory
        ):
            stop.wanted = stop.wanted or stopping.is_set()
            yield page

    def halt(stop: Stop) -> None:
        stop.wanted = True

    def open_chosen(language: Any, images: Any, event: gr.EventData) -> str:
        return open_photo(images, getattr(event, "photo", None))

    at_once: dict[str, Any] = {
        "preprocess": False,
        "queue": False,
        "show_progress": "hidden",
        "api_visibility": "private",
    }
    photos.upload(lambda: (gr.Button(visible=True), Stop()), None, [cancel, stop], **at_once).then(
        handle,
        [photos, stop, *settings],
        results,
        preprocess=False,
        show_progress="hidden",
        concurrency_id="photos",
        concurrency_limit=1,
        api_visibility="private",
    ).then(lambda: gr.Button(visible=False), None, cancel, **at_once)
    cancel.click(halt, stop, None, **at_once)
    photos.clear(halt, stop, None, **at_once).then(lambda: None, None, results, **at_once)
    results.open(answers_visitors(open_chosen), [language, photos], picture, **at_once).success(
        None, js="() => document.querySelector('#fm-pictures').scrollIntoView()", api_visibility="private"
    )
