"""The strip of examples on the image tab and on the video tab."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from facemodels.app.components import in_every_language, static
from facemodels.app.endpoints import answers_visitors
from facemodels.app.handlers.image import take_example
from facemodels.app.html.image import examples_html
from facemodels.app.settings import EXAMPLES


def example_strip(examples: Sequence[Path], elem_id: str) -> gr.HTML:
    """Lay out the strip, which triggers ``pick`` when one is chosen."""
    return in_every_language(
        functools.partial(examples_html, examples, examples[0].parent == EXAMPLES),
        js_on_load=static("examples.js"),
        elem_id=elem_id,
        elem_classes="fm-example-strip",
    )


def taker(examples: Sequence[Path]) -> Callable[..., str]:
    """The handler of ``pick``, whose input is the language: a copy of the chosen example among the uploads."""

    def take_chosen(language: Any, event: gr.EventData) -> str:
        return take_example(examples, getattr(event, "example", None))

    return answers_visitors(take_chosen)
