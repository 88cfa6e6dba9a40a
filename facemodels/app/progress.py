"""How often long work reports its progress, and how it ends early."""

from __future__ import annotations

from dataclasses import dataclass

STOPPING = "the app is being stopped; try again in a moment"
REPORT_SECONDS = 0.4  # between two reports of progress


@dataclass
class Stop:
    """How a visitor ends the work on an upload.

    Attributes:
        wanted: Whether it should end.
        answer: What the page then shows; None for its beginning.
    """

    wanted: bool = False
    answer: str | None = None
