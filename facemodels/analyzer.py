"""`FaceAnalyzer`: the only place where reading, detecting, cropping and predicting meet."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from facemodels.attributes import ATTRIBUTES
from facemodels.crops import Window, cut_all, face_window, whole_window
from facemodels.detection import FaceDetector, make_detector
from facemodels.errors import ArgumentError, FaceModelsError, UnknownModelError
from facemodels.hub import store
from facemodels.hub.registry import DEFAULT_MODELS, ModelSpec
from facemodels.images import read_image
from facemodels.models import AttributeModel
from facemodels.types import Analysis, Box, Face


class FaceAnalyzer:
    """Finds the faces of an image and says what the models perceive in each.

    Safe to share between threads. Models are loaded when the analyzer is made.

    Args:
        attributes: Which of ``emotion``, ``age``, ``gender``, ``ethnicity`` to answer.
        models: Attribute to model: ``name``, ``name@version``, ``owner/name@version`` of a hub repository, or a local
            folder. Defaults fill the rest.
        detector: ``auto`` (yunet where its file is present, else libfacedetection), ``libfacedetection``, ``yunet``,
            ``haar``, the path of YuNet's file, an object with a `detect` method, or None for `analyze_crops` and given
            boxes only.
        backend: ``litert`` (fast) or ``keras`` (the same numbers from the `.keras` file; needs TensorFlow).
        min_score: Least confidence of a detected face, 0..1.
        max_faces: Keep only this many faces per image, the largest; None keeps all.
        threads: Threads per model and call; None takes one per processor, at most four, which answers a single caller
            soonest. 1 leaves the processors to callers beside it.

    Raises:
        ArgumentError: If an argument has a wrong type or value.
        UnknownModelError: If a model is not known, or does not answer its attribute.
        WeightsError: If a weights file is damaged.
        HubError: If a weights file is not here and cannot be downloaded.

    Example:
        >>> analyzer = FaceAnalyzer()      # doctest: +SKIP
        >>> for face in analyzer.analyze("photo.jpg"):      # doctest: +SKIP
        ...     face.emotion.label, face.age.value, face.gender.label
        ('happy', 31.4, 'female')
    """

    def __init__(
        self,
        attributes: Iterable[str] = ATTRIBUTES,
        *,
        models: Mapping[str, str | Path] | None = None,
        detector: str | Path | FaceDetector | None = "auto",
        backend: str = "litert",
        min_score: float = 0.6,
        max_faces: int | None = None,
        threads: int | None = None,
    ) -> None:
        self.attributes = _check_attributes(attributes)
        self.min_score = _check_number("min_score", min_score, 0.0, 1.0)
        self.max_faces = _check_count("max_faces", max_faces)
        threads = _check_count("threads", threads)
        references = _check_models(models, self.attributes)
        specs = {attribute: store.resolve(reference) for attribute, reference in references.items()}
        # A model that answers several attributes is loaded, and run, once.
        self._loaded: dict[tuple[str, Path | None], AttributeModel] = {}
        self._model_of: dict[str, AttributeModel] = {}
        for attribute, spec in specs.items():
            spec.head(attribute)
            key = (f"{spec.repo_id}/{spec.answering}", spec.folder)
            if key not in self._loaded:
                self._loaded[key] = AttributeModel(spec, backend=backend, threads=threads)
            self._model_of[attribute] = self._loaded[key]
        self._detector = make_detector(detector, threads)

    @property
    def models(self) -> dict[str, str]:
        """Attribute to the ``name@version`` of the model that answers it (``#head``, if one was asked for by name)."""
        return {attribute: model.spec.answering for attribute, model in self._model_of.items()}

    @property
    def detector(self) -> str | None:
        """Name of the detector in use."""
        return None if self._detector is None else getattr(self._detector, "name", type(self._detector).__name__)

    def warmup(self) -> None:
        """Run everything once on an empty picture, so that the first real call is as fast as the next."""
        if self._detector is not None:
            self._detector.detect(np.zeros((480, 640, 3), np.uint8), self.min_score)
        for model in self._loaded.values():
            model.warmup()

    def analyze(self, image: Any, *, boxes: Iterable[Box | Face | Sequence[float]] | None = None) -> Analysis:
        """Analyze one image.

        Args:
            image: Anything `read_image` takes: a path, bytes, a file, a PIL image, an RGB array.
            boxes: Where the faces are, instead of detecting them: `Box`, four numbers x1, y1, x2, y2 in pixels, or
                `Face` (another detector's, say), which keeps its score and landmarks.

        Returns:
            The faces, largest first (given boxes keep their order); none is an empty analysis, not an error.

        Raises:
            ImageError: If `image` is not an image.
            ArgumentError: If a box is not one, or there is neither a detector nor boxes.

        Example:
            >>> len(FaceAnalyzer().analyze(np.zeros((100, 100, 3), np.uint8)))      # doctest: +SKIP
            0
        """
        pixels = read_image(image)
        faces = self._find(pixels) if boxes is None else _given_faces(boxes, pixels)
        perceived = self._perceive([self._cut(pixels, faces)], faces)
        return Analysis(tuple(perceived), pixels.shape[1], pixels.shape[0], self.models)

    def analyze_batch(self, images: Iterable[Any]) -> list[Analysis]:
        """Analyze several images; their crops share the models' batches.

        Args:
            images: Each as for `analyze`.

        Returns:
            One analysis per image, in order. One that cannot be read has no faces and says why in `Analysis.error`.

        Raises:
            ArgumentError: If `images` is a single image or path, or the analyzer has no detector.
        """
        _check_list("images", images)
        analyses, crops, faces = [], [], []
        for image in images:
            try:
                pixels = read_image(image)
                found = self._find(pixels)
            except ArgumentError:
                raise
            except FaceModelsError as error:
                analyses.append(Analysis((), 0, 0, self.models, str(error)))
                continue
            # Only the crops are kept: a thousand photos would not fit in memory.
            crops.append(self._cut(pixels, found))
            faces.extend(found)
            analyses.append(Analysis(tuple(found), pixels.shape[1], pixels.shape[0], self.models))
        perceived = iter(self._perceive(crops, faces))
        return [replace(analysis, faces=tuple(next(perceived) for _ in analysis)) for analysis in analyses]

    def analyze_crops(self, crops: Iterable[Any]) -> list[Face]:
        """Analyze pictures that are cut to one face already: no detection, no margin.

        Args:
            crops: Images of any size, each as for `analyze`; each is resized whole to every model's input.

        Returns:
            One face per crop, in order, with the whole crop as its box.

        Raises:
            ImageError: If one is not an image; the message says which.
            ArgumentError: If `crops` is a single image or path.
        """
        _check_list("crops", crops)
        cuts, faces = [], []
        for place, crop in enumerate(crops):
            try:
                pixels = read_image(crop)
            except FaceModelsError as error:
                raise type(error)(f"crop {place}: {error}") from error
            face = Face(Box(0.0, 0.0, float(pixels.shape[1]), float(pixels.shape[0])))
            cuts.append(self._cut(pixels, [face], whole=True))
            faces.append(face)
        return self._perceive(cuts, faces)

    def _find(self, pixels: np.ndarray) -> list[Face]:
        if self._detector is None:
            raise ArgumentError(
                "this analyzer has no detector: give boxes, use analyze_crops, or make it with detector='auto'"
            )
        return self._detector.detect(pixels, self.min_score)[: self.max_faces]

    def _cut(self, pixels: np.ndarray, faces: Sequence[Face], *, whole: bool = False) -> dict[_Framing, np.ndarray]:
        """The crops of an image's faces in every framing that the models need: ``(len(faces), S, S, 3)`` each."""
        crops = {}
        for framing in {_Framing.of(model.spec) for model in self._loaded.values()}:
            windows = [whole_window(pixels) if whole else framing.window(face) for face in faces]
            crops[framing] = cut_all([pixels] * len(windows), windows, framing.size)
        return crops

    def _perceive(self, crops: Sequence[Mapping[_Framing, np.ndarray]], faces: Sequence[Face]) -> list[Face]:
        """The faces with their attributes; `crops` holds theirs, image by image."""
        if not faces:
            return []
        results: list[dict[str, Any]] = [{} for _ in faces]
        for model in self._loaded.values():
            framing = _Framing.of(model.spec)
            batch = np.concatenate([of_image[framing] for of_image in crops])
            wanted = [attribute for attribute in self.attributes if self._model_of[attribute] is model]
            for attribute, answers in model.predict(batch, wanted).items():
                for result, answer in zip(results, answers, strict=True):
                    result[attribute] = answer
        return [face.replace(**result) for face, result in zip(faces, results, strict=True)]


class _Framing(NamedTuple):
    """How a model wants its crops; models that agree share them."""

    size: int
    margin: float
    offset: float
    align: bool

    @classmethod
    def of(cls, spec: ModelSpec) -> _Framing:
        return cls(spec.input_size, spec.margin, spec.offset, spec.align)

    def window(self, face: Face) -> Window:
        return face_window(face.box, margin=self.margin, offset=self.offset, align=self.align, landmarks=face.landmarks)


def _given_faces(boxes: Iterable[Box | Face | Sequence[float]], pixels: np.ndarray) -> list[Face]:
    """Faces at boxes the caller gave, cut to the image."""
    height, width = pixels.shape[:2]
    faces = []
    for place, given in enumerate(boxes):
        try:
            box = given if isinstance(given, (Box, Face)) else Box(*map(float, given))
            face = box if isinstance(box, Face) else Face(box)
            inside = face.box.clip(width, height)
            fits = inside.x2 > inside.x1 and inside.y2 > inside.y1
        except (TypeError, ValueError) as error:
            raise ArgumentError(
                f"box {place} is {given!r}; expected a Box, a Face or four numbers x1, y1, x2, y2"
            ) from error
        if not fits:
            raise ArgumentError(f"box {place} {given!r} holds no pixel of the {width}x{height} image")
        faces.append(face.replace(box=inside))
    return faces


def _check_list(name: str, images: Iterable[Any]) -> None:
    """Raise ArgumentError for one image where several are meant (a path or bytes could be iterated, too)."""
    if isinstance(images, (str, bytes, os.PathLike)) or not isinstance(images, Iterable):
        raise ArgumentError(f"{name} must be a list of images, not one {type(images).__name__}; use analyze for one")


def _check_attributes(attributes: Iterable[str]) -> tuple[str, ...]:
    """The attributes, each once, in the caller's order.

    Raises:
        ArgumentError: If it is not a list of known attributes, or empty.
    """
    if isinstance(attributes, str) or not isinstance(attributes, Iterable):
        raise ArgumentError(f"attributes must be a list of names out of {', '.join(ATTRIBUTES)}, not {attributes!r}")
    names = list(attributes)
    unknown = [name for name in names if name not in tuple(ATTRIBUTES)]  # a tuple takes what has no hash
    if unknown or not names:
        came = ", ".join(repr(name) for name in unknown) or "an empty list"
        raise ArgumentError(f"attributes must be out of {', '.join(ATTRIBUTES)}; got {came}")
    return tuple(dict.fromkeys(names))


def _check_count(name: str, value: int | None) -> int | None:
    """A whole number of at least 1, or None.

    Raises:
        ArgumentError: If it is anything else.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1):
        raise ArgumentError(f"{name} must be a whole number of at least 1, or None; got {value!r}")
    return value


def _check_number(name: str, value: float, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.floating)) or not low <= value <= high:
        raise ArgumentError(f"{name} must be a number within {low}..{high}; got {value!r}")
    return float(value)


def _check_models(models: Mapping[str, str | Path] | None, attributes: Sequence[str]) -> dict[str, str | Path]:
    """Attribute to model reference, defaults filled in."""
    if models is None:
        models = {}
    if not isinstance(models, Mapping):
        raise ArgumentError(f'models must be a dict such as {{"age": "age-efficientnet@1.0.0"}}, not {models!r}')
    if unknown := [name for name in models if name not in attributes]:
        raise UnknownModelError(
            f"models names {', '.join(repr(name) for name in unknown)}, which this analyzer does not answer "
            f"(attributes: {', '.join(attributes)})"
        )
    return {attribute: models.get(attribute, DEFAULT_MODELS[attribute]) for attribute in attributes}
