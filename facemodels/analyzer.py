"""`FaceAnalyzer`: reads, detects, crops and predicts."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from facemodels.attributes import ALL_ATTRIBUTES, ATTRIBUTES
from facemodels.crops import Window, cut_all, face_window, whole_window
from facemodels.detection import FaceDetector, check_faces, make_detector
from facemodels.detection.passes import MultiPassDetector
from facemodels.errors import ArgumentError, FaceModelsError, UnknownModelError
from facemodels.forking import Lock
from facemodels.hub import store
from facemodels.hub.registry import Head, ModelSpec
from facemodels.images import SizedImage, read_reduced, read_whole
from facemodels.models import AttributeModel
from facemodels.quality import measure, with_pose
from facemodels.types import Analysis, Box, Face


class FaceAnalyzer:
    """Finds the faces of an image and what the models perceive in each.

    Safe to share between threads. Models are loaded by the constructor. It pickles as its settings: another process
    loads the models again.

    Args:
        attributes: Which of ``emotion``, ``age``, ``gender``, ``ethnicity``, ``points`` and ``pose`` to answer; None
            means the first four.
        models: Attribute to model: ``name``, ``name@version``, ``owner/name@version`` of a hub repository, or a local
            folder. Defaults fill the rest.
        detector: ``auto`` (yunet where its file is present, else libfacedetection), ``libfacedetection``, ``yunet``,
            ``haar``, the path of YuNet's file, an object with a `detect` method, or None for `analyze_crops` and given
            boxes only.
        backend: ``litert`` (fast) or ``keras`` (the same numbers from the `.keras` file; needs TensorFlow).
        min_score: Least confidence of a detected face, 0..1.
        max_faces: Keep only this many faces per image, the largest; None keeps all.
        min_quality: Keep only faces of at least this `Quality.value`, 0..1.
        threads: Threads per model and call; None takes one per processor, at most four, which is fastest for a single
            caller. 1 suits many concurrent callers.

    Raises:
        ArgumentError: If an argument has a wrong type or value.
        UnknownModelError: If a model is not known, or does not answer its attribute.
        WeightsError: If a weights file is damaged.
        HubError: If a weights file is missing and cannot be downloaded.

    Example:
        >>> analyzer = FaceAnalyzer()      # doctest: +SKIP
        >>> for face in analyzer.analyze("photo.jpg"):      # doctest: +SKIP
        ...     face.emotion.label, face.age.value, face.gender.label
        ('happy', 31.4, 'female')
    """

    def __init__(
        self,
        attributes: Iterable[str] | None = None,
        *,
        models: Mapping[str, str | Path] | None = None,
        detector: str | Path | FaceDetector | None = "auto",
        backend: str = "litert",
        min_score: float = 0.6,
        max_faces: int | None = None,
        min_quality: float = 0.0,
        threads: int | None = None,
    ) -> None:
        self.attributes = _check_attributes(ATTRIBUTES if attributes is None else attributes)
        self.min_score = _check_number("min_score", min_score, 0.0, 1.0)
        self.max_faces = _check_count("max_faces", max_faces)
        self.min_quality = _check_number("min_quality", min_quality, 0.0, 1.0)
        references = _check_models(models, self.attributes)
        self._settings = _Settings(references, detector, backend, _check_count("threads", threads))
        self._load(_Shared())

    def _load(self, shared: _Shared) -> None:
        """Load what the settings name, or share what other analyzers have loaded."""
        settings, self._shared = self._settings, shared
        self._answering: dict[str, tuple[AttributeModel, Head]] = {}
        specs = {attribute: store.resolve(reference) for attribute, reference in settings.models.items()}
        heads = {attribute: spec.head(attribute) for attribute, spec in specs.items()}
        for attribute, spec in specs.items():
            model = shared.model(spec, settings.backend, settings.threads)
            self._answering[attribute] = model, heads[attribute]
        self._specs = specs  # with the head requested by name, which the shared models do not have
        self._detector = shared.detector(settings.detector, settings.threads)

    def __getstate__(self) -> dict[str, Any]:
        """Settings and the names of models: an unpickled analyzer loads them itself."""
        return {name: value for name, value in vars(self).items() if name in _PICKLED}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._load(_Shared())

    def using(
        self,
        models: Mapping[str, str | Path] | None = None,
        detector: str | Path | FaceDetector | None = None,
        min_score: float | None = None,
        max_faces: int | None = None,
        min_quality: float | None = None,
    ) -> FaceAnalyzer:
        """An analyzer with other settings that shares every model and detector already loaded.

        Args:
            models: Attribute to model, for the attributes that another model should answer.
            detector: Another detector.
            min_score: Another score threshold of the detector.
            max_faces: Another limit.
            min_quality: Another quality threshold.

        Returns:
            A new analyzer; this one is not changed. Settings given as None are kept.

        Raises:
            See the constructor.

        Example:
            >>> four = FaceAnalyzer().using(models={"emotion": "emotion4-vgg16"})      # doctest: +SKIP
        """
        other = copy.copy(self)
        changed = _check_models(models, self.attributes, self._settings.models)
        other._settings = self._settings._replace(
            models=changed, detector=self._settings.detector if detector is None else detector
        )
        if min_score is not None:
            other.min_score = _check_number("min_score", min_score, 0.0, 1.0)
        if max_faces is not None:
            other.max_faces = _check_count("max_faces", max_faces)
        if min_quality is not None:
            other.min_quality = _check_number("min_quality", min_quality, 0.0, 1.0)
        if other._settings != self._settings:
            other._load(self._shared)
        return other

    def __copy__(self) -> FaceAnalyzer:
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        return other

    @property
    def models(self) -> dict[str, str]:
        """Attribute to the ``name@version`` of the model that answers it (``#head``, if one was requested by name)."""
        return {attribute: spec.answering for attribute, spec in self._specs.items()}

    @property
    def specs(self) -> dict[str, ModelSpec]:
        """Attribute to the spec of the model that answers it."""
        return dict(self._specs)

    @property
    def backend(self) -> str:
        """``litert`` or ``keras``."""
        return self._settings.backend

    @property
    def loaded(self) -> tuple[AttributeModel, ...]:
        """The models in use, each once."""
        return tuple(dict.fromkeys(model for model, _ in self._answering.values()))

    @property
    def detector(self) -> str | None:
        """Name of the detector in use."""
        return None if self._detector is None else getattr(self._detector, "name", type(self._detector).__name__)

    def warmup(self, attributes: Iterable[str] | None = None) -> None:
        """Run everything once on an empty image, so that the first real call is as fast as the next.

        Args:
            attributes: As for `analyze`; models that answer no other stay cold, which saves their memory.
        """
        if self._detector is not None:
            self._detector.detect(np.zeros((480, 640, 3), np.uint8), self.min_score)
        for model in self._plan(attributes).heads:
            model.warmup()

    def detect(self, image: Any) -> list[Face]:
        """Find the faces of one image; no model answers.

        Args:
            image: As for `analyze`.

        Returns:
            At most `max_faces` faces that score at least `min_score`, largest first.

        Raises:
            ImageError: If `image` is not an image.
            ArgumentError: If there is no detector.
        """
        read = read_reduced(image)
        return [face.scaled(*read.scale) for face in self._find(read)]

    def analyze(
        self,
        image: Any,
        *,
        boxes: Iterable[Box | Face | Sequence[float]] | None = None,
        attributes: Iterable[str] | None = None,
    ) -> Analysis:
        """Analyze one image.

        Args:
            image: Anything `read_image` takes: a path, bytes, a file, a PIL image, an RGB array.
            boxes: Positions of the faces, instead of detecting them: `Box`, four numbers x1, y1, x2, y2 in pixels, or
                `Face` (from another detector, say), which keeps its score and landmarks. `min_score`, `max_faces` and
                `min_quality` are for detected faces only.
            attributes: The attributes to answer, of those of this analyzer; only the needed models run. None means all.

        Returns:
            The faces, largest first (given boxes keep their order); without faces an empty analysis, not an error.

        Raises:
            ImageError: If `image` is not an image.
            ArgumentError: If a box is invalid, there is neither a detector nor boxes, or an attribute is unknown here.

        Example:
            >>> len(FaceAnalyzer().analyze(np.zeros((100, 100, 3), np.uint8)))      # doctest: +SKIP
            0
        """
        run = self._plan(attributes)
        # Given boxes may hold faces that are too small to be found.
        read = read_reduced(image) if boxes is None else read_whole(image)
        faces = self._find(read) if boxes is None else _given_faces(boxes, read.pixels)
        perceived = run.perceive([run.cut(read.pixels, faces)], faces)
        height, width = read.pixels.shape[:2]
        return Analysis(tuple(perceived), width, height, run.names).scaled(read.width, read.height)

    def analyze_batch(self, images: Iterable[Any], *, attributes: Iterable[str] | None = None) -> list[Analysis]:
        """Analyze several images; their crops share the models' batches.

        Args:
            images: Each as for `analyze`.
            attributes: As for `analyze`.

        Returns:
            One analysis per image, in order. One that cannot be read has no faces, and the reason in `Analysis.error`.

        Raises:
            ArgumentError: If `images` is a single image or path, or the analyzer has no detector.
        """
        _check_list("images", images)
        run = self._plan(attributes)
        analyses, crops, faces = [], [], []
        for image in images:
            try:
                read = read_reduced(image)
                found = self._find(read)
            except ArgumentError:
                raise
            except FaceModelsError as error:
                analyses.append(Analysis((), 0, 0, run.names, str(error)))
                continue
            # Only the crops are kept: a thousand photos would not fit in memory.
            crops.append(run.cut(read.pixels, found))
            found = [face.scaled(*read.scale) for face in found]
            faces.extend(found)
            analyses.append(Analysis(tuple(found), read.width, read.height, run.names))
        perceived = iter(run.perceive(crops, faces))
        return [replace(analysis, faces=tuple(next(perceived) for _ in analysis)) for analysis in analyses]

    def analyze_crops(self, crops: Iterable[Any], *, attributes: Iterable[str] | None = None) -> list[Face]:
        """Analyze images that are already cropped to one face: no detection, no margin.

        Args:
            crops: Images of any size, each as for `analyze`; each is resized whole to every model's input.
            attributes: As for `analyze`.

        Returns:
            One face per crop, in order, with the whole crop as its box.

        Raises:
            ImageError: If one is not an image; the message has its index.
            ArgumentError: If `crops` is a single image or path.
        """
        _check_list("crops", crops)
        run = self._plan(attributes)
        cuts, faces = [], []
        for index, crop in enumerate(crops):
            try:
                read = read_reduced(crop)
            except FaceModelsError as error:
                raise type(error)(f"crop {index}: {error}") from error
            face = Face(Box(0.0, 0.0, float(read.width), float(read.height)))
            cuts.append(run.cut(read.pixels, [face], whole=True))
            faces.append(face)
        return run.perceive(cuts, faces, whole=True)

    def _find(self, image: SizedImage) -> list[Face]:
        """The faces, in pixels of the decoded image."""
        if self._detector is None:
            raise ArgumentError(
                "this analyzer has no detector: give boxes, use analyze_crops, or make it with detector='auto'"
            )
        shrunk = {}
        if isinstance(self._detector, MultiPassDetector) and image.scale[0] > 1:
            shrunk["shrunk"] = image.scale[0]
        found = check_faces(self._detector.detect(image.pixels, self.min_score, **shrunk), image.pixels)
        qualities = [measure(image.pixels, face, max(image.scale)) for face in found]
        good = [
            face.replace(quality=quality)
            for face, quality in zip(found, qualities, strict=True)
            if quality.value >= self.min_quality
        ]
        image.return_memory()
        return good[: self.max_faces]

    def _plan(self, attributes: Iterable[str] | None) -> _Run:
        """The models to run for these attributes.

        Raises:
            ArgumentError: If one is unknown, or not among those of this analyzer.
        """
        wanted = self.attributes if attributes is None else _check_attributes(attributes, self.attributes)
        heads: dict[AttributeModel, list[Head]] = {}
        for attribute in wanted:
            model, head = self._answering[attribute]
            heads.setdefault(model, []).append(head)
        return _Run(heads, {attribute: self._specs[attribute].answering for attribute in wanted})


class _Settings(NamedTuple):
    """The settings that decide what an analyzer loads."""

    models: Mapping[str, str | Path]
    detector: str | Path | FaceDetector | None
    backend: str
    threads: int | None


_PICKLED = ("attributes", "min_score", "max_faces", "min_quality", "_settings")


class _Shared:
    """Models and detectors shared by several analyzers; each is loaded once, on first use."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._models: dict[tuple[str, Path | None, str, int | None], AttributeModel] = {}
        self._detectors: dict[str, FaceDetector] = {}

    def model(self, spec: ModelSpec, backend: str, threads: int | None) -> AttributeModel:
        """The model of a spec; heads requested by name share it."""
        key = (f"{spec.repo_id}/{spec.id}", spec.folder, backend, threads)
        with self._lock:
            if key not in self._models:
                self._models[key] = AttributeModel(replace(spec, output=""), backend=backend, threads=threads)
            return self._models[key]

    def detector(self, detector: str | Path | FaceDetector | None, threads: int | None) -> FaceDetector | None:
        """The detector of a name or path; a caller's own is not kept."""
        if not isinstance(detector, (str, Path)):
            return make_detector(detector, threads)
        with self._lock:
            if str(detector) not in self._detectors:
                made = make_detector(detector, threads)
                assert made is not None
                self._detectors[str(detector)] = self._detectors.setdefault(made.name, made)
            return self._detectors[str(detector)]


@dataclass(frozen=True)
class _Run:
    """The models that one call needs.

    Attributes:
        heads: Model to its heads that answer.
        names: Attribute to the name of the model that answers it.
    """

    heads: Mapping[AttributeModel, Sequence[Head]]
    names: dict[str, str]

    def cut(self, pixels: np.ndarray, faces: Sequence[Face], *, whole: bool = False) -> dict[_Framing, np.ndarray]:
        """The crops of an image's faces in every framing that the models need: ``(len(faces), S, S, 3)`` each."""
        crops = {}
        for framing in dict.fromkeys(_Framing.of(model.spec) for model in self.heads):
            windows = [whole_window(pixels) if whole else framing.window(face) for face in faces]
            crops[framing] = cut_all([pixels] * len(windows), windows, framing.size)
        return crops

    def perceive(
        self, crops: Sequence[Mapping[_Framing, np.ndarray]], faces: Sequence[Face], *, whole: bool = False
    ) -> list[Face]:
        """The faces with their attributes; `crops` holds theirs, image by image, as `cut` made them."""
        if not faces:
            return []
        results: list[dict[str, Any]] = [{} for _ in faces]
        for model, heads in self.heads.items():
            framing = _Framing.of(model.spec)
            batch = np.concatenate([of_image[framing] for of_image in crops])
            for attribute, answers in model.predict(batch, heads).items():
                kind = ALL_ATTRIBUTES[attribute].kind
                if kind.placed:
                    windows = [_box_window(face.box) if whole else framing.window(face) for face in faces]
                    answers = [kind.place(answer, window) for answer, window in zip(answers, windows, strict=True)]
                for result, answer in zip(results, answers, strict=True):
                    result[attribute] = answer
        return [with_pose(face.replace(**result)) for face, result in zip(faces, results, strict=True)]


class _Framing(NamedTuple):
    """The crop settings of a model; models with the same settings share crops."""

    size: int
    margin: float
    offset: float
    align: bool

    @classmethod
    def of(cls, spec: ModelSpec) -> _Framing:
        return cls(spec.input_size, spec.margin, spec.offset, spec.align)

    def window(self, face: Face) -> Window:
        return face_window(face.box, margin=self.margin, offset=self.offset, align=self.align, landmarks=face.landmarks)


def _box_window(box: Box) -> Window:
    """The window that takes a box as it is."""
    return Window(*box.centre, box.width, box.height)


def _given_faces(boxes: Iterable[Box | Face | Sequence[float]], pixels: np.ndarray) -> list[Face]:
    """Faces at the caller's boxes, clipped to the image."""
    height, width = pixels.shape[:2]
    faces = []
    for index, given in enumerate(boxes):
        try:
            box = given if isinstance(given, (Box, Face)) else Box(*map(float, given))
            face = box if isinstance(box, Face) else Face(box)
            inside = face.box.clip(width, height)
            fits = inside.x2 > inside.x1 and inside.y2 > inside.y1
        except (TypeError, ValueError) as error:
            raise ArgumentError(
                f"box {index} is {given!r}; expected a Box, a Face or four numbers x1, y1, x2, y2"
            ) from error
        if not fits:
            raise ArgumentError(f"box {index} {given!r} holds no pixel of the {width}x{height} image")
        faces.append(face.replace(box=inside, quality=measure(pixels, face.replace(box=inside))))
    return faces


def _check_list(name: str, images: Iterable[Any]) -> None:
    """Raise ArgumentError for one image where several are meant (a path or bytes can be iterated, too)."""
    if isinstance(images, (str, bytes, os.PathLike)) or not isinstance(images, Iterable):
        raise ArgumentError(f"{name} must be a list of images, not one {type(images).__name__}; use analyze for one")


def _check_attributes(attributes: Iterable[str], known: Iterable[str] = tuple(ALL_ATTRIBUTES)) -> tuple[str, ...]:
    """The attributes, each once, in the caller's order.

    Raises:
        ArgumentError: If it is not a list of known attributes, or empty.
    """
    known = tuple(known)  # which takes what cannot be hashed, too
    if isinstance(attributes, str) or not isinstance(attributes, Iterable):
        raise ArgumentError(f"attributes must be a list of names out of {', '.join(known)}, not {attributes!r}")
    names = list(attributes)
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        came = ", ".join(repr(name) for name in unknown) or "an empty list"
        raise ArgumentError(f"attributes must be out of {', '.join(known)}; got {came}")
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


def _check_models(
    models: Mapping[str, str | Path] | None,
    attributes: Sequence[str],
    otherwise: Mapping[str, str | Path] | None = None,
) -> dict[str, str | Path]:
    """Attribute to model reference, filled up from `otherwise`, or with the default models."""
    if models is None:
        models = {}
    if not isinstance(models, Mapping):
        raise ArgumentError(f"models must be a dict of attributes to models, not {models!r}")
    if unknown := [name for name in models if name not in attributes]:
        raise UnknownModelError(
            f"models names {', '.join(repr(name) for name in unknown)}, which this analyzer does not answer "
            f"(attributes: {', '.join(attributes)})"
        )
    if otherwise is None:
        otherwise = {attribute: ALL_ATTRIBUTES[attribute].default_model for attribute in attributes}
    return {attribute: models.get(attribute, otherwise[attribute]) for attribute in attributes}
