"""The address of the page says which tab is open, and what was chosen there: ``?tab=video&rate=10``. Never an image.

The page does this by itself; the server sees of an address what every server sees.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from facemodels.app.components import static


@dataclass(frozen=True)
class Choice:
    """Something that the address can name.

    Attributes:
        component: Has its value.
        values: What it may be.
        several: Whether it is a list of them.
        span: The least and the largest, of a number.
    """

    component: gr.components.Component
    values: Sequence[str] = ()
    several: bool = False
    span: tuple[float, float] | None = None

    @property
    def default(self) -> Any:
        """What holds where the address does not name it."""
        return self.component.value


def keep_in_address(demo: gr.Blocks, tabs: gr.Tabs, names: Mapping[str, gr.Tab], choices: Mapping[str, Choice]) -> None:
    """Open what the address names, and name what is opened; inside the Blocks.

    Args:
        demo: The page.
        tabs: Its tabs.
        names: Name in the address to tab, the one that opens by itself first.
        choices: Name in the address to what is chosen.
    """
    known: dict[str, Any] = {"tab": {"values": list(names), "key": "selected"}}
    known |= {
        name: {"values": list(choice.values), "key": "value", "several": choice.several, "span": choice.span}
        for name, choice in choices.items()
    }
    shared: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    components = [tabs, *(choice.component for choice in choices.values())]
    demo.load(None, None, components, js=f"() => ({static('read_address.js')})({json.dumps(known)})", **shared)

    def write(name: str, default: Any) -> str:
        return f"({static('write_address.js')})({json.dumps(name)}, {json.dumps(default)}, value)"

    first = next(iter(names))
    for name, tab in names.items():
        tab.select(None, js=f"() => {{ const value = {json.dumps(name)}; {write('tab', first)}; }}", **shared)
    for name, choice in choices.items():
        js = f"(value) => {{ {write(name, choice.default)}; }}"
        choice.component.input(None, choice.component, js=js, **shared)  # type: ignore[attr-defined]
