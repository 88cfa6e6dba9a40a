"""The models tab's HTML."""

from __future__ import annotations

import html
from collections.abc import Collection, Iterable, Mapping, Sequence

from facemodels.app.html.parts import table_html
from facemodels.app.measured import Measured
from facemodels.app.words import Words
from facemodels.hub.registry import ModelSpec

CODE_LICENSE = "Apache 2.0"  # of this package, which runs every model
# SPDX ids of licences that allow commercial use, and how they are written.
FREE_LICENSES = {"apache-2.0": "Apache 2.0", "bsd-3-clause": "BSD 3-Clause", "cc-by-4.0": "CC BY 4.0", "mit": "MIT"}
NON_COMMERCIAL = "non-commercial-research"


def models_html(
    specs: Sequence[ModelSpec], measured: Mapping[str, Iterable[Measured]], used: Collection[str], say: Words
) -> str:
    """A table of the models and their licences, and one of what was measured; those in use come first.

    Args:
        specs: The models.
        measured: ``name@version`` to its figures.
        used: The ``name@version`` of those that answer here.
        say: The words.
    """
    ordered = sorted(specs, key=lambda spec: spec.id not in used)
    columns = ("model", "answers", "code", "weights", "data", "commercial")
    licences = table_html(
        say("models_name"),
        [say(f"models_{column}") for column in columns],
        [_licence_row(spec, spec.id in used, say) for spec in ordered],
    )
    rows = [_measured_row(spec, one, say) for spec in ordered for one in measured.get(spec.id, ())]
    columns = ("model", "answers", "dataset", "accuracy", "recall", "worst")
    figures = table_html(say("models_measured"), [say(f"models_{column}") for column in columns], rows)
    return (
        f'<div class="fm-models">{licences}<h2>{say("models_measured")}</h2><p>{say("models_how")}</p>{figures}</div>'
        if rows
        else f'<div class="fm-models">{licences}</div>'
    )


def _licence_row(spec: ModelSpec, used: bool, say: Words) -> tuple[str, ...]:
    name = f"<b>{html.escape(spec.name)}</b> {html.escape(spec.version)}"
    licence = spec.license_name or spec.license
    if licence == NON_COMMERCIAL:
        weights, commercial = say("license_research"), say("models_no")
    else:
        weights = html.escape(FREE_LICENSES.get(licence, licence))
        commercial = say("models_yes" if licence in FREE_LICENSES else "models_unknown")
    return (
        name + (f" <mark>{say('models_used')}</mark>" if used else ""),
        ", ".join(say(f"attribute_{name}") for name in spec.attributes) or say("models_detector"),
        CODE_LICENSE,
        weights,
        html.escape(", ".join(spec.datasets)) or "–",
        commercial,
    )


def _measured_row(spec: ModelSpec, one: Measured, say: Words) -> tuple[str, ...]:
    return (
        f"<b>{html.escape(spec.name)}</b>",
        say.measured(one.label),
        html.escape(one.dataset),
        _value(one.accuracy, one.error, say),
        _value(one.recall, None, say),
        _worst(one, say),
    )


def _value(fraction: float | None, years: float | None, say: Words) -> str:
    """``94.3%``, or ``5.9 years off``; a dash where neither was measured."""
    if fraction is not None:
        return f"<b>{fraction:.1%}</b>"
    return "–" if years is None else f"<b>{say('models_off', years=f'{years:.1f}')}</b>"


def _worst(one: Measured, say: Words) -> str:
    if one.worst is None:
        return "–"
    group = ", ".join(say.label(label) for label in one.worst.split(", "))
    return f"{_value(one.worst_accuracy, one.worst_error, say)} <small>{group}</small>"


def fold_sections(card: str) -> str:
    """A card in Markdown with each of its sections folded; what comes before the first stays open."""
    opening, *sections = f"\n{card}".split("\n## ")
    folded = [opening]
    for section in sections:
        title, _, body = section.partition("\n")
        folded.append(f"<details><summary>{html.escape(title.strip())}</summary>\n\n{body.strip()}\n\n</details>")
    return "\n\n".join(part.strip() for part in folded)
