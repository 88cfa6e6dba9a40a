"""The models tab's HTML."""

from __future__ import annotations

import html
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from facemodels.app.html.parts import table_html
from facemodels.app.words import Words
from facemodels.hub.registry import ModelSpec


def models_html(specs: Sequence[ModelSpec], used: Collection[str], say: Words) -> str:
    """The table of models; `used` holds the ``name@version`` of those that answer here."""
    rows = []
    for spec in sorted(specs, key=lambda spec: spec.id not in used):  # those in use first
        figures = "<br>".join(_figure(row, say) for row in spec.metrics if row["metric"] in ("accuracy", "mae"))
        answers = ", ".join(say(f"attribute_{name}") for name in spec.attributes)
        cells = (
            f"<b>{html.escape(spec.name)}</b>" + (f" <mark>{say('models_used')}</mark>" if spec.id in used else ""),
            html.escape(spec.version),
            answers or say("models_detector"),
            html.escape(spec.license_name or spec.license),
            figures or "–",
        )
        rows.append(cells)
    head = [say(f"models_{column}") for column in ("model", "version", "answers", "license", "measured")]
    return f'<div class="fm-models">{table_html(say("models_name"), head, rows)}</div>'


def _figure(row: Mapping[str, Any], say: Words) -> str:
    """One measured figure: ``8 emotions 83.7% right``, ``age 5.9 years off``, and the data set."""
    right = row["metric"] == "accuracy"
    value = (
        say("models_right", share=f"{row['value']:.1%}") if right else say("models_off", years=f"{row['value']:.1f}")
    )
    return f"{say.measured(row['label'])} <b>{value}</b> <small>{html.escape(row['dataset'])}</small>"
