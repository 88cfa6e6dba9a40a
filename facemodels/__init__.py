"""facemodels: the faces in a picture, and the emotion, age, gender and ethnicity a model perceives in each.

>>> import facemodels
>>> analysis = facemodels.FaceAnalyzer().analyze("photo.jpg")      # doctest: +SKIP
>>> [(face.emotion.label, round(face.age.value)) for face in analysis]      # doctest: +SKIP
[('happy', 31)]

Every public name is loaded on first use, so that `import facemodels` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from facemodels.analyzer import FaceAnalyzer
    from facemodels.drawing import annotate
    from facemodels.errors import (
        ArgumentError,
        DetectorError,
        FaceModelsError,
        HubError,
        ImageError,
        UnknownModelError,
        WeightsError,
    )
    from facemodels.hub import download
    from facemodels.images import read_image
    from facemodels.registry import ModelSpec, get_spec, list_models
    from facemodels.tracking import FaceTracker
    from facemodels.types import Analysis, Box, Classification, Estimate, Face

__version__ = "0.1.0"

_HOMES = {
    "analyzer": ("FaceAnalyzer",),
    "drawing": ("annotate",),
    "errors": (
        "ArgumentError",
        "DetectorError",
        "FaceModelsError",
        "HubError",
        "ImageError",
        "UnknownModelError",
        "WeightsError",
    ),
    "hub": ("download",),
    "images": ("read_image",),
    "registry": ("ModelSpec", "get_spec", "list_models"),
    "tracking": ("FaceTracker",),
    "types": ("Analysis", "Box", "Classification", "Estimate", "Face"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [  # noqa: PLE0604 - built from the same table that serves the names
    "__version__",
    *_HOME_OF,
]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'facemodels' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"facemodels.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
