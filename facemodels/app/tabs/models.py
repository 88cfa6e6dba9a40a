"""The models tab: every known model, and the cards of those that are here."""

from __future__ import annotations

import gradio as gr

from facemodels import list_models
from facemodels.app.analyzers import Analyzer
from facemodels.app.components import in_every_language, t
from facemodels.app.handlers import card_text
from facemodels.app.html.models import models_html


def models_tab(analyzer: Analyzer) -> None:
    """Lay out the tab, inside a `gr.Tab`."""
    specs = list_models()
    used = {
        *(model.partition("#")[0] for model in analyzer.models.values()),
        *(spec.id for spec in specs if spec.name == analyzer.detector),
    }
    in_every_language(lambda say: models_html(specs, used, say))
    for spec in specs:
        if text := card_text(spec):
            with gr.Accordion(f"{t('card')} {spec.id}", open=False):
                gr.Markdown(text)
