"""Every error that facemodels raises on purpose; all are a `FaceModelsError`. Standard library only."""

from __future__ import annotations


class FaceModelsError(Exception):
    """Base of all errors of this package: catch this one to catch them all."""


class ImageError(FaceModelsError, ValueError):
    """Something that should be an image is not one, or is one that is refused (too large, broken, empty)."""


class VideoError(FaceModelsError, ValueError):
    """Something that should be a clip is not one, cannot be read, or the file made from it cannot be written."""


class UnknownModelError(FaceModelsError, LookupError):
    """No model of this name and version is known."""


class WeightsError(FaceModelsError):
    """A weights file is missing, damaged, or does not fit its spec."""


class HubError(FaceModelsError, OSError):
    """The hub could not be asked, or did not have what was asked for."""


class DetectorError(FaceModelsError):
    """A face detector is unknown or cannot run here."""


class ArgumentError(FaceModelsError, ValueError):
    """An argument has the wrong type or value; the message says which, and what is accepted."""


class DataError(FaceModelsError):
    """A folder of labelled pictures lacks a file, or a file does not hold what it should."""
