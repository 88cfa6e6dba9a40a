"""facemodels: finds faces, and the emotion, age, gender and ethnicity that a model perceives in each.

    from facemodels import FaceAnalyzer

    for face in FaceAnalyzer().analyze("photo.jpg"):
        print(face.box, face.emotion.label, face.age.value, face.gender.label, face.ethnicity.label)

Every public name is loaded on first use, so that `import facemodels` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from facemodels.analyzer import FaceAnalyzer
    from facemodels.batch.run import analyze_many
    from facemodels.drawing import annotate
    from facemodels.errors import (
        ArgumentError,
        DetectorError,
        FaceModelsError,
        HubError,
        ImageError,
        UnknownModelError,
        VideoError,
        WeightsError,
    )
    from facemodels.hub.registry import ModelSpec, get_spec, list_models
    from facemodels.hub.store import download
    from facemodels.images import read_image
    from facemodels.privacy import anonymize
    from facemodels.types import Analysis, Box, Classification, Estimate, Face, Points, Pose
    from facemodels.video.analyze import analyze_video
    from facemodels.video.anonymize import anonymize_video
    from facemodels.video.frames import VideoFrame
    from facemodels.video.reading import VideoInfo, video_info
    from facemodels.video.timeline import Timeline
    from facemodels.video.tracking import FaceTracker

__version__ = "0.2.0"

__all__ = [
    "Analysis",
    "ArgumentError",
    "Box",
    "Classification",
    "DetectorError",
    "Estimate",
    "Face",
    "FaceAnalyzer",
    "FaceModelsError",
    "FaceTracker",
    "HubError",
    "ImageError",
    "ModelSpec",
    "Points",
    "Pose",
    "Timeline",
    "UnknownModelError",
    "VideoError",
    "VideoFrame",
    "VideoInfo",
    "WeightsError",
    "__version__",
    "analyze_many",
    "analyze_video",
    "annotate",
    "anonymize",
    "anonymize_video",
    "download",
    "get_spec",
    "list_models",
    "read_image",
    "video_info",
]

# The module of each public name.
_HOMES = {
    "Analysis": "types",
    "ArgumentError": "errors",
    "Box": "types",
    "Classification": "types",
    "DetectorError": "errors",
    "Estimate": "types",
    "Face": "types",
    "FaceAnalyzer": "analyzer",
    "FaceModelsError": "errors",
    "FaceTracker": "video.tracking",
    "HubError": "errors",
    "ImageError": "errors",
    "ModelSpec": "hub.registry",
    "Points": "types",
    "Pose": "types",
    "Timeline": "video.timeline",
    "UnknownModelError": "errors",
    "VideoError": "errors",
    "VideoFrame": "video.frames",
    "VideoInfo": "video.reading",
    "WeightsError": "errors",
    "analyze_many": "batch.run",
    "analyze_video": "video.analyze",
    "annotate": "drawing",
    "anonymize": "privacy",
    "anonymize_video": "video.anonymize",
    "download": "hub.store",
    "get_spec": "hub.registry",
    "list_models": "hub.registry",
    "read_image": "images",
    "video_info": "video.reading",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'facemodels' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"facemodels.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
