"""What every tab is made with: texts in the visitor's language, and HTML that speaks it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.i18n import I18nData

from facemodels.app.words import PREFIX, Words, languages

STATIC = Path(__file__).parent / "static"


def static(name: str) -> str:
    """The text of one of the page's files: ``app.css``, ``faces.js`` and so on."""
    return (STATIC / name).read_text(encoding="utf-8")


def t(key: str) -> I18nData:
    """A text of the page, in the visitor's language once it is there."""
    return I18nData(PREFIX + key)


def in_every_language(make: Callable[[Words], str], **options: Any) -> gr.HTML:
    """HTML that the page shows in the visitor's language, as long as it has no value."""
    pages = {name: make(say) for name, say in languages().items()}
    # The label, which this component does not show, tells the template the language.
    return gr.HTML(
        html_template="${value || pages[label]}", pages=pages, label=t("language"), apply_default_css=False, **options
    )


def script(name: str, **options: Any) -> gr.HTML:
    """A hidden component that runs a script when the page is there."""
    return gr.HTML(js_on_load=static(name), apply_default_css=False, visible="hidden", **options)
