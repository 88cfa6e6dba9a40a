"""The exceptions that facemodels raises; all derive from `FaceModelsError`. Standard library only."""

from __future__ import annotations


class FaceModelsError(Exception):
    """Base class of all exceptions of this package."""


class ImageError(FaceModelsError, ValueError):
    """An input is not an image, or is an image that is refused (too large, damaged, empty)."""


class VideoError(FaceModelsError, ValueError):
    """A file is not a video, cannot be read as one, or a file made from it cannot be written."""


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
    """A folder of labelled images lacks a file, or a file does not contain what it should."""
