"""The webcam tab, and how the page releases its cameras."""

from __future__ import annotations

from typing import Any

import gradio as gr

from facemodels import FaceTracker
from facemodels.app.analyzers import Analyzer
from facemodels.app.components import script, static, t
from facemodels.app.draining import WEBCAM_QUEUE
from facemodels.app.handlers import analyze_frame
from facemodels.app.html.live import LIVE_HTML, SWITCH_HTML
from facemodels.app.limits import Limits
from facemodels.app.memory import ImageMemory
from facemodels.app.words import texts_of

# What the page does by itself to release a camera, see `camera.js`. A picture that was chosen stays where it is.
RELEASE_JS = "() => { window.dispatchEvent(new Event('fm-camera-release')); }"
UNMOUNT_JS = """() => ['#fm-picture', '#fm-webcam'].map((part) =>
    document.querySelector(part + ' video') ? {__type__: 'update', visible: false} : {__type__: 'update'})"""
# The webcam's value is the last frame that was sent, which would hide the camera's picture.
MOUNT_JS = "() => [{__type__: 'update', visible: true}, {__type__: 'update', visible: true, value: null}]"


def webcam_tab(analyzer: Analyzer, limits: Limits, memory: ImageMemory) -> gr.Image:
    """Lay out the tab, inside a `gr.Tab`.

    Returns:
        The component that shows the camera.
    """

    def handle(frame: Any, tracker: FaceTracker) -> dict[str, Any]:
        return analyze_frame(analyzer, tracker, frame, memory)

    with gr.Row():
        with gr.Column(scale=3, min_width=320, elem_id="fm-camera"):
            camera = gr.Image(
                label=t("tab_webcam"),
                show_label=False,
                sources=["webcam"],
                streaming=True,
                elem_id="fm-webcam",
                buttons=[],
                webcam_options=gr.WebcamOptions(
                    constraints={"video": {"width": {"ideal": 640}, "height": {"ideal": 480}}}
                ),
            )
            gr.HTML(
                html_template=SWITCH_HTML,
                label=t("language"),
                texts=texts_of("live_"),
                js_on_load=static("switch.js"),
                elem_id="fm-switch",
                apply_default_css=False,
            )
        with gr.Column(scale=2, min_width=280):
            live = gr.HTML(
                html_template=LIVE_HTML,
                label=t("language"),
                texts=texts_of("live_", "label_"),
                js_on_load=static("live.js"),
                elem_id="fm-live",
                apply_default_css=False,
            )
    camera.stream(
        handle,
        [camera, gr.State(FaceTracker())],  # each visitor gets a copy of the tracker
        live,
        preprocess=False,  # frames stay in memory
        stream_every=1 / 30,
        time_limit=limits.webcam_seconds,
        show_progress="hidden",
        concurrency_id=WEBCAM_QUEUE,
        concurrency_limit=limits.webcams,
        api_visibility="private",
    )
    return camera


def release_cameras(tabs: gr.Tabs, picture: gr.Image, webcam: gr.Image) -> None:
    """Let go of the camera when the visitor stops it or goes elsewhere: see ``camera.js``."""
    camera = script("camera.js", value="")
    tabs.change(None, js=RELEASE_JS, api_visibility="private")
    camera.release(None, None, [picture, webcam], js=UNMOUNT_JS, api_visibility="private").then(
        None, None, [picture, webcam], js=MOUNT_JS, api_visibility="private"
    )
