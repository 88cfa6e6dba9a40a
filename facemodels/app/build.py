"""The whole page and its endpoints, as Gradio Blocks."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

import gradio as gr

from facemodels.app.address import keep_in_address
from facemodels.app.analyzers import Analyzer
from facemodels.app.components import in_every_language, script, t
from facemodels.app.endpoints import add_endpoints, describe_arguments
from facemodels.app.html.parts import header_html
from facemodels.app.limits import Limits
from facemodels.app.memory import ImageMemory
from facemodels.app.tabs.image import image_tab
from facemodels.app.tabs.models import models_tab
from facemodels.app.tabs.video import video_tab
from facemodels.app.tabs.webcam import connect_snapshots, release_cameras, webcam_tab

# Read by Gradio when it makes Blocks and their queue.
GRADIO = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    # It keeps a record of each call, and counts all of them anew after every call.
    "GRADIO_ANALYTICS_MAX_EVENTS": "100",
    "GRADIO_ANALYTICS_CACHE_FREQUENCY": "1000000",
}


def example_clips(examples: Sequence[Path]) -> tuple[Path, ...]:
    """The videos that lie beside the example images."""
    folders = dict.fromkeys(path.parent for path in examples)
    return tuple(path for folder in folders for path in sorted(folder.glob("*.mp4")))


def build_demo(
    analyzer: Analyzer,
    limits: Limits | None = None,
    *,
    examples: Sequence[Path] = (),
    stopping: threading.Event | None = None,
) -> gr.Blocks:
    """The whole page and its endpoints, around an analyzer that is ready.

    Args:
        analyzer: A `FaceAnalyzer`, or another `Analyzer`; several threads call it at once.
        limits: How much work is taken on at once; None for the defaults.
        examples: Images to choose from on the image tab; ``.mp4`` files beside them are offered on the video tab.
        stopping: Ends long work early once it is set; see `drain`.

    Returns:
        The Blocks, with its queue set up; `launch` starts it.
    """
    limits, stopping = limits or Limits(), stopping or threading.Event()
    memory = ImageMemory(limits.pixels)
    for name, value in GRADIO.items():
        os.environ.setdefault(name, value)
    with gr.Blocks(title="facemodels") as demo:
        # The page itself finds out the visitor's language; handlers get it from here.
        language = script("language.js", value=t("language"))
        in_every_language(header_html)
        with gr.Tabs() as tabs:
            with gr.Tab(t("tab_image"), id="image") as image:
                picture, of_image = image_tab(analyzer, limits, memory, stopping, language, examples)
            with gr.Tab(t("tab_webcam"), id="webcam") as live:
                webcam, tools, of_webcam = webcam_tab(analyzer, limits, memory)
            with gr.Tab(t("tab_video"), id="video") as video:
                of_video = video_tab(analyzer, limits, language, stopping, example_clips(examples))
            with gr.Tab(t("tab_models"), id="models") as models:
                models_tab(analyzer)
        release_cameras(tabs, picture, webcam)
        connect_snapshots(tools, tabs, picture, language)
        names = {"image": image, "webcam": live, "video": video, "models": models}
        keep_in_address(demo, tabs, names, {**of_image, **of_webcam, **of_video})
        add_endpoints(analyzer, limits, memory, stopping)
        describe_arguments(demo)
    return demo.queue(max_size=limits.queue)
