"""How often long work reports its progress, and how it ends early."""

from __future__ import annotations

from dataclasses import dataclass

from facemodels.errors import SourceError

REPORT_SECONDS = 0.4  # between two reports of progress


def stopping_error() -> SourceError:
    """The error for work that ends because the app does."""
    return SourceError("the app is being stopped; try again in a moment", code="stopping")


@dataclass
class Stop:
    """How a visitor ends the work on an upload.

    Attributes:
        wanted: Whether it should end.
        answer: What the page then shows; None for its beginning.
    """

    wanted: bool = False
    answer: str | None = None
