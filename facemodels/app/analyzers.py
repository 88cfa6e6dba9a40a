"""What the app needs of an analyzer, and what visitors may choose instead of its settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from facemodels import list_models
from facemodels.app.requests import check_detection, check_models, standard
from facemodels.detection import available_detectors
from facemodels.hub.registry import ModelSpec
from facemodels.hub.store import locate
from facemodels.types import Analysis, Face


class Analyzer(Protocol):
    """What the app needs of a `FaceAnalyzer`."""

    min_score: float

    @property
    def models(self) -> Mapping[str, str]: ...

    @property
    def specs(self) -> Mapping[str, ModelSpec]: ...

    @property
    def detector(self) -> str | None: ...

    def using(
        self,
        models: Mapping[str, Any] | None = None,
        detector: str | None = None,
        min_score: float | None = None,
        max_faces: int | None = None,
        min_quality: float | None = None,
    ) -> Analyzer: ...

    def detect(self, image: Any) -> list[Face]: ...

    def analyze(
        self, image: Any, *, boxes: Iterable[Face] | None = None, attributes: Iterable[str] | None = None
    ) -> Analysis: ...

    def analyze_crops(self, crops: Iterable[Any], *, attributes: Iterable[str] | None = None) -> list[Face]: ...


def offered_models(analyzer: Analyzer) -> dict[str, tuple[str, ...]]:
    """Perceived attribute to the models that can answer it without a download (further heads too), the one in use
    first.
    """
    return {
        attribute: tuple(dict.fromkeys((analyzer.models[attribute], *_local_models(attribute))))
        for attribute in standard(analyzer.models)
    }


def _local_models(attribute: str) -> list[str]:
    return [
        answer
        for spec in list_models(attribute)
        if locate(spec) not in ("hub", "missing")
        for answer in (spec.id, *(f"{spec.id}#{head.output}" for head in spec.heads_for(attribute)[1:]))
    ]


def offered_detectors(analyzer: Analyzer) -> tuple[str, ...]:
    """The detectors that can run without a download, the one in use first."""
    return tuple(dict.fromkeys((str(analyzer.detector), *available_detectors())))


def choose(
    analyzer: Analyzer, models: Mapping[str, Any], detector: Any = None, min_score: Any = None, max_faces: Any = None
) -> Analyzer:
    """The analyzer with what a visitor chose; it shares every model that is loaded.

    Args:
        analyzer: The app's.
        models: Attribute to model.
        detector: Its name; None for the analyzer's.
        min_score: Score threshold of the detector; None for the analyzer's.
        max_faces: The most faces to keep; None for the analyzer's.

    Raises:
        ArgumentError: If something is chosen that is not offered.
        FaceModelsError: If it cannot be loaded after all.
    """
    check_models(models, offered_models(analyzer))
    detector = analyzer.detector if detector is None else detector
    min_score = analyzer.min_score if min_score is None else min_score
    check_detection(detector, min_score, offered_detectors(analyzer))
    # What is in use may be a folder, or an object, which its name would not find again.
    return analyzer.using(
        models={attribute: model for attribute, model in models.items() if model != analyzer.models[attribute]},
        detector=None if detector == analyzer.detector else detector,
        min_score=min_score,
        max_faces=max_faces,
    )
