"""The exceptions that facemodels raises; all derive from `FaceModelsError`. Standard library only."""

from __future__ import annotations

from typing import Self


class FaceModelsError(Exception):
    """Base class of all exceptions of this package."""


class SourceError(FaceModelsError, ValueError):
    """An input cannot be read.

    Args:
        reason: A description of the problem.
        name: Name of the source; the message begins with it.
        hint: Advice for programmers; the message ends with it.
        code: An identifier of the reason, for translations: ``heic``, ``damaged`` and so on, see `images`.
        values: The values in the reason, for translations.

    Example:
        >>> error = ImageError("this file is empty", name="'a.jpg'", code="empty")
        >>> str(error), error.reason
        ("'a.jpg': this file is empty", 'this file is empty')
    """

    def __init__(self, reason: str, *, name: str = "", hint: str = "", code: str = "", **values: object) -> None:
        super().__init__((f"{name}: " if name else "") + reason + (f". {hint}" if hint else ""))
        self.name = name
        self.reason = reason
        self.hint = hint
        self.code = code
        self.values = values

    def renamed(self, name: str) -> Self:
        """The same error with another source name."""
        return type(self)(self.reason, name=name, hint=self.hint, code=self.code, **self.values)


class ImageError(SourceError):
    """An input is not an image, or is an image that is refused (too large, damaged, empty)."""


class VideoError(SourceError):
    """A file is not a video, cannot be read as one, or a file made from it cannot be written.

    Values of its `code`: ``missing``, ``directory``, ``empty``, ``unreadable``, ``no_video``, ``broken_video``,
    ``sound``, ``frame_pixels`` (with `width`, `height`, and `limit` in megapixels) and ``no_frames``.
    """


class UnknownModelError(FaceModelsError, LookupError):
    """No model with this name and version is known."""


class WeightsError(FaceModelsError):
    """A weights file is missing, damaged, or does not fit its spec."""


class HubError(FaceModelsError, OSError):
    """The hub could not be reached, or does not have what was requested."""


class DetectorError(FaceModelsError):
    """A face detector is unknown or cannot run here."""


class ArgumentError(FaceModelsError, ValueError):
    """An argument has the wrong type or value; the message names it and says what is accepted."""


class DataError(FaceModelsError):
    """A data set is incomplete or malformed."""
