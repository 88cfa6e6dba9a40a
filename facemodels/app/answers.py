"""What the image tab knows of an upload: a changed setting is answered from it, and only what is new runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from facemodels.app.analyzers import Analyzer
from facemodels.images import SizedImage
from facemodels.types import Analysis, Face
from facemodels.values import Value


@dataclass(frozen=True)
class Known:
    """Everything that was asked of one upload so far.

    Attributes:
        path: The upload's file.
        detector: Name of the detector that found the faces.
        min_score: The score threshold at that time, 0..1.
        max_faces: The most faces that were kept.
        analysis: Every face found, with every attribute answered so far.
        seconds: Attribute and model to that model's answers, one per face: what a second model says.
    """

    path: str
    detector: str | None
    min_score: float
    max_faces: int | None
    analysis: Analysis
    seconds: Mapping[tuple[str, str], Sequence[Value | None]] = field(default_factory=dict)

    def covers(self, path: str, analyzer: Analyzer, max_faces: int | None) -> bool:
        """Whether the faces that these settings find are among those that are known."""
        if (self.path, self.detector) != (path, analyzer.detector) or analyzer.min_score < self.min_score:
            return False
        complete = self.max_faces is None or len(self.analysis) < self.max_faces
        fewer = max_faces is not None and self.max_faces is not None and max_faces <= self.max_faces
        return complete or (fewer and analyzer.min_score == self.min_score) or max_faces == self.max_faces

    def select(self, min_score: float, max_faces: int | None, models: Mapping[str, str]) -> Analysis:
        """The part that a page with these settings shows: `models` holds the attributes to keep."""
        hidden: dict[str, Any] = {name: None for name in self.analysis.models if name not in models}
        return replace(
            self.analysis,
            faces=tuple(face.replace(**hidden) for face in self._faces(min_score, max_faces)),
            models=dict(models),
        )

    def second(self, key: tuple[str, str], min_score: float, max_faces: int | None) -> tuple[Value | None, ...]:
        """The answers of a second model for the faces that `select` keeps."""
        shown = {id(face) for face in self._faces(min_score, max_faces)}
        return tuple(value for face, value in zip(self.analysis, self.seconds[key], strict=True) if id(face) in shown)

    def _faces(self, min_score: float, max_faces: int | None) -> list[Face]:
        return [face for face in self.analysis if face.score >= min_score][:max_faces]


def analyze(analyzer: Analyzer, image: SizedImage, max_faces: int | None, attributes: Sequence[str]) -> Analysis:
    """The analysis of an image; of one that was decoded smaller, in pixels of the original."""
    return analyzer.using(max_faces=max_faces).analyze(image, attributes=attributes)


def learn(
    known: Known | None,
    analyzer: Analyzer,
    path: str,
    image: SizedImage,
    wanted: Sequence[str],
    max_faces: int | None,
    second: tuple[Analyzer, str] | None = None,
) -> Known:
    """What is known of an upload once these settings are answered; models and detector run for what is missing only.

    Args:
        known: What was known before, of whatever upload.
        analyzer: With the visitor's models, detector and score threshold.
        path: The upload's file.
        image: Its pixels, decoded smaller where it is very large.
        wanted: Attributes to answer.
        max_faces: The most faces to keep.
        second: Another analyzer, and the attribute that it is to answer as well.
    """
    if known is None or not known.covers(path, analyzer, max_faces):
        analysis = analyze(analyzer, image, max_faces, wanted)
        known = Known(path, analyzer.detector, analyzer.min_score, max_faces, analysis)
    answered = known.analysis.models
    missing = [name for name in wanted if answered.get(name) != analyzer.models[name]]
    if missing:
        answers = _answers(analyzer, image, known.analysis, missing)
        faces = tuple(
            face.replace(**{name: answer.values.get(name) for name in missing})
            for face, answer in zip(known.analysis, answers, strict=True)
        )
        new = {name: analyzer.models[name] for name in missing}
        known = replace(known, analysis=replace(known.analysis, faces=faces, models={**answered, **new}))
    if second is not None:
        other, name = second
        key = (name, other.models[name])
        if key not in known.seconds:
            values = tuple(face.values.get(name) for face in _answers(other, image, known.analysis, [name]))
            known = replace(known, seconds={**known.seconds, key: values})
    return known


def _answers(analyzer: Analyzer, image: SizedImage, analysis: Analysis, attributes: Sequence[str]) -> Sequence[Face]:
    """The faces of an analysis with these attributes answered anew, in pixels of the original."""
    if not len(analysis):
        return ()
    x, y = np.reciprocal(image.scale)
    faces = [face.scaled(float(x), float(y)) for face in analysis]
    answered = analyzer.analyze(image.decoded, boxes=faces, attributes=attributes)
    return [face.scaled(*image.scale) for face in answered]
