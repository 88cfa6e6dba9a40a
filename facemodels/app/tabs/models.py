"""The models tab: every known model, and the cards of those that are here."""

from __future__ import annotations

import gradio as gr

from facemodels import list_models
from facemodels.app.analyzers import Analyzer
from facemodels.app.components import in_every_language, t
from facemodels.app.handlers.models import card_text
from facemodels.app.html.models import fold_sections, models_html
from facemodels.app.measured import measured


def models_tab(analyzer: Analyzer) -> None:
    """Lay out the tab, inside a `gr.Tab`."""
    specs = list_models()
    used = {
        *(model.partition("#")[0] for model in analyzer.models.values()),
        *(spec.id for spec in specs if spec.name == analyzer.detector),
    }
    figures = {spec.id: measured(spec) for spec in specs}
    in_every_language(lambda say: models_html(specs, figures, used, say))
    for spec in sorted(specs, key=lambda spec: spec.id not in used):
        if text := card_text(spec):
            with gr.Accordion(f"{t('card')} {spec.id}", open=False):
                gr.Markdown(fold_sections(text), elem_classes="fm-model-card")
