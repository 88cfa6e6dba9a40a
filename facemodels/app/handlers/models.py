"""The models tab and its endpoint."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from facemodels.hub.registry import WEIGHTS, ModelSpec


def describe(spec: ModelSpec) -> dict[str, Any]:
    """A model as plain data: its ``config.json``, its id, and the attributes it answers."""
    return {"id": spec.id, "attributes": list(spec.attributes), **spec.to_dict()}


def card_text(spec: ModelSpec) -> str:
    """A model's card in Markdown, without its metadata header; empty where there is none."""
    candidates = (WEIGHTS / spec.name / "README.md", Path(__file__).parents[3] / "model_cards" / f"{spec.name}.md")
    text = next((path.read_text(encoding="utf-8") for path in candidates if path.is_file()), "")
    if text.startswith("---\n"):
        text = text.partition("\n---\n")[2]
    # Its pictures lie beside it, where the page may fetch them (`launch` allows that folder).
    return re.sub(r"\]\((?=[\w-]+\.png\))", f"](gradio_api/file={(WEIGHTS / spec.name).as_posix()}/", text)
