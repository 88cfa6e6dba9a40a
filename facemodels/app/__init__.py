"""The Gradio app: faces in an image, a webcam or a video, for visitors and for `gradio_client`.

`requests` checks what comes over HTTP, `handlers` are plain functions of it, `tabs/` lay out the page, `html/` writes
answers as HTML, `static/` and `languages/` are what the page is made of, and `server` serves it all.

To add a language: translate ``languages/en.json`` into a file beside it. To add a setting: a field in
`settings.Settings`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facemodels.app.build import build_demo
    from facemodels.app.command import main
    from facemodels.app.limits import Limits
    from facemodels.app.server import launch

__all__ = ["Limits", "build_demo", "launch", "main"]

_HOMES = {"Limits": "limits", "build_demo": "build", "launch": "server", "main": "command"}


def __getattr__(name: str) -> Any:
    """Import on first use: Gradio takes more than a second, which `--help` need not wait for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
