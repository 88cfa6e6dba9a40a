"""The webcam tab, and how the page releases its cameras."""

from __future__ import annotations

from typing import Any

import gradio as gr

from facemodels import FaceTracker
from facemodels.app.address import Choice
from facemodels.app.analyzers import Analyzer
from facemodels.app.components import script, static, t
from facemodels.app.draining import WEBCAM_QUEUE
from facemodels.app.endpoints import answers_visitors
from facemodels.app.handlers.webcam import analyze_frame
from facemodels.app.html.live import LIVE_HTML, SWITCH_HTML, TOOLS_HTML
from facemodels.app.limits import Limits
from facemodels.app.memory import ImageMemory
from facemodels.app.requests import check_image, standard
from facemodels.app.words import texts_of

# What the page does by itself to release a camera, see `camera.js`. A picture that was chosen stays where it is.
RELEASE_JS = "() => { window.dispatchEvent(new Event('fm-camera-release')); }"
UNMOUNT_JS = """() => ['#fm-picture', '#fm-webcam'].map((part) =>
    document.querySelector(part + ' video') ? {__type__: 'update', visible: false} : {__type__: 'update'})"""
# The webcam's value is the last frame that was sent, which would hide the camera's picture.
MOUNT_JS = "() => [{__type__: 'update', visible: true}, {__type__: 'update', visible: true, value: null}]"


def webcam_tab(analyzer: Analyzer, limits: Limits, memory: ImageMemory) -> tuple[gr.Image, gr.HTML, dict[str, Choice]]:
    """Lay out the tab, inside a `gr.Tab`.

    Returns:
        The component that shows the camera, the one that takes snapshots, and what the page's address can name.
    """
    offered = list(analyzer.models)

    def handle(frame: Any, tracker: FaceTracker, attributes: Any, sent: Any) -> dict[str, Any]:
        return analyze_frame(analyzer, tracker, frame, memory, attributes, sent)

    with gr.Row():
        with gr.Column(scale=3, min_width=320):
            with gr.Column(elem_id="fm-camera"):
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
            tools = gr.HTML(
                html_template=TOOLS_HTML,
                label=t("language"),
                texts=texts_of("live_"),
                js_on_load=static("tools.js"),
                elem_id="fm-tools",
                apply_default_css=False,
            )
        with gr.Column(scale=2, min_width=280):
            live = gr.HTML(
                html_template=LIVE_HTML,
                label=t("language"),
                texts=texts_of("live_", "label_", "axis_", "eyes_", "mouth_", "pose_", "doubt_"),
                webcams=limits.webcams,
                seconds=limits.webcam_seconds,
                js_on_load="".join(map(static, ("facts.js", "motion.js", "curves.js", "live.js"))),
                elem_id="fm-live",
                apply_default_css=False,
            )
    with gr.Accordion(t("options"), open=False, elem_id="fm-webcam-options"):
        attributes = gr.CheckboxGroup(
            [(t(f"attribute_{name}"), name) for name in offered], value=list(standard(offered)), label=t("attributes")
        )
    camera.stream(
        handle,
        # Each visitor gets a copy of the tracker.
        [camera, gr.State(FaceTracker()), attributes, script("clock.js", value=None)],
        live,
        preprocess=False,  # frames stay in memory
        stream_every=1 / 30,
        time_limit=limits.webcam_seconds,
        show_progress="hidden",
        concurrency_id=WEBCAM_QUEUE,
        concurrency_limit=limits.webcams,
        api_visibility="private",
    )
    return camera, tools, {"webcam-attributes": Choice(attributes, offered, several=True)}


def connect_snapshots(tools: gr.HTML, tabs: gr.Tabs, picture: gr.Image, language: gr.HTML) -> None:
    """Show a snapshot of the webcam in the image tab, where it is analyzed as any other image."""

    def show(language: Any, event: gr.EventData) -> tuple[str, gr.Tabs]:
        path = check_image({"path": getattr(event, "path", None)})
        return str(path), gr.Tabs(selected="image")

    tools.snapshot(answers_visitors(show), language, [picture, tabs], show_progress="hidden", api_visibility="private")


def release_cameras(tabs: gr.Tabs, picture: gr.Image, webcam: gr.Image) -> None:
    """Let go of the camera when the visitor stops it or goes elsewhere: see ``camera.js``."""
    camera = script("camera.js", value="")
    tabs.change(None, js=RELEASE_JS, api_visibility="private")
    camera.release(None, None, [picture, webcam], js=UNMOUNT_JS, api_visibility="private").then(
        None, None, [picture, webcam], js=MOUNT_JS, api_visibility="private"
    )
