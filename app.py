"""The Gradio app: faces in a picture or a webcam, for visitors and for `gradio_client`; `python app.py` starts it.

From top to bottom: the arguments that come over HTTP, the handlers (plain functions), the layout, the start. The page's
own HTML, style sheet and scripts are in `facemodels/page/`.
"""

# No `from __future__ import annotations` here: Gradio reads the endpoints' types from live annotations.
import argparse
import base64
import functools
import os
import re
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read by Gradio when it makes its first Blocks

import gradio as gr
import numpy as np
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from gradio.i18n import I18nData
from gradio.utils import get_upload_folder, is_in_or_equal
from PIL import Image

from facemodels import (
    FaceAnalyzer,
    FaceTracker,
    Timeline,
    analyze_video,
    annotate,
    list_models,
    page,
    read_image,
    video_info,
)
from facemodels.attributes import ATTRIBUTES
from facemodels.detection import FaceDetector, available_detectors, make_detector
from facemodels.errors import ArgumentError, FaceModelsError, ImageError, VideoError
from facemodels.explain import occlusion_map, view
from facemodels.hub.registry import WEIGHTS, ModelSpec, get_spec
from facemodels.hub.store import locate
from facemodels.page.clip import clip_cancelled_html, clip_empty_html, clip_html, clip_waiting_html, progress_html
from facemodels.page.uploads import KEEP_SECONDS, UploadFolder, touch
from facemodels.page.words import PREFIX, Words, languages, texts_of, translations, words_in
from facemodels.types import Analysis, Face

P = ParamSpec("P")
R = TypeVar("R")

MAX_FACES = 1000  # the most that a caller may ask for
MIN_SCORE = 0.6  # least confidence of a detected face, unless the visitor chooses another
MAX_IMAGES = 100  # in one call of /analyze_batch
SHOWN_SIDE = 1920  # longest side of the annotated picture on the page, in pixels
UPLOADS_GO = f"uploads are deleted after {KEEP_SECONDS // 60} minutes"
CLIP_SIDE = 1280  # longest side of the annotated clip, in pixels
CLIP_RATES = {"1": 1.0, "2": 2.0, "5": 5.0, "10": 10.0, "all": None}  # frames per second to analyze
TELL_SECONDS = 0.4  # between two looks at how far a clip is


class Analyzer(Protocol):
    """What the app needs of a `FaceAnalyzer`."""

    @property
    def models(self) -> Mapping[str, str]: ...

    @property
    def detector(self) -> str | None: ...

    def analyze(self, image: Any, *, boxes: Iterable[Face] | None = None) -> Analysis: ...

    def analyze_crops(self, crops: Iterable[Any]) -> list[Face]: ...


@dataclass(frozen=True)
class Limits:
    """How much work the app takes on at once.

    Attributes:
        queue: Requests that may wait; further ones are told that the app is busy.
        analyses: Pictures analyzed at the same time.
        webcams: Visitors whose webcams stream at the same time; further ones wait for their turn.
        webcam_seconds: How long a webcam keeps its place while others wait. The browser queues again by itself.
        clips: Clips analyzed at the same time; further ones wait for their turn.
        clip_seconds: The longest clip that is taken.
    """

    queue: int = 64
    analyses: int = 2
    webcams: int = 4
    webcam_seconds: int = 60
    clips: int = 1
    clip_seconds: int = 600


def _here(attribute: str) -> list[str]:
    """What can answer an attribute without a download: models, and further heads of theirs."""
    return [
        answer
        for spec in list_models(attribute)
        if is_here(spec)
        for answer in (spec.id, *(f"{spec.id}#{head.output}" for head in spec.heads_for(attribute)[1:]))
    ]


class Analyzers:
    """The app's analyzer, and those with other models that a visitor chose: each is made when first asked for.

    Args:
        default: Answers when nothing else is chosen, and all that comes over the API.
        make: Makes an analyzer with these models, attribute to ``name@version``.

    Attributes:
        offered: Attribute to the models that can answer it here without a download, the default first.
    """

    def __init__(self, default: Analyzer, make: Callable[[Mapping[str, str]], Analyzer] | None = None) -> None:
        self.default = default
        self.offered = {
            attribute: tuple(dict.fromkeys((model, *_here(attribute)))) for attribute, model in default.models.items()
        }

        def make_alike(models: Mapping[str, str]) -> Analyzer:
            return FaceAnalyzer(tuple(models), models=models, detector=default.detector)

        make_one = make or make_alike
        self._make = functools.lru_cache(maxsize=8)(lambda models: make_one(dict(models)))

    def get(self, models: Mapping[str, Any]) -> Analyzer:
        """The analyzer with these models; attributes that are not named get their default.

        Raises:
            ArgumentError: If a model is not among those offered for its attribute.
            FaceModelsError: If it cannot be loaded after all.
        """
        for attribute, model in models.items():
            if attribute not in self.offered or model not in self.offered[attribute]:
                known = ", ".join(self.offered.get(attribute, ()))
                raise ArgumentError(f"the model for {attribute} must be one of {known or 'none'}; got {_short(model)}")
        chosen = {**self.default.models, **models}
        return self.default if chosen == dict(self.default.models) else self._make(tuple(chosen.items()))


def is_here(spec: ModelSpec) -> bool:
    """Whether a model can be loaded without a download."""
    return locate(spec) not in ("hub", "missing")


# ---------------------------------------------------------------- arguments that came over HTTP: Gradio checks no types


def check_image(value: Any) -> Path:
    """The uploaded file behind an image argument.

    Raises:
        ArgumentError: If it is not an upload: nobody may name another file of this machine.
    """
    path = value.get("path") if isinstance(value, dict) else None
    if not isinstance(path, str) or not path:
        raise ArgumentError(
            f"image must be an uploaded file, such as gradio_client.handle_file('photo.jpg'); got {_short(value)}"
        )
    if not is_in_or_equal(path, get_upload_folder()):
        raise ArgumentError(f"image must be an uploaded file, not a path of this machine; got {_short(path)}")
    return Path(path)


def check_max_faces(value: Any) -> int | None:
    """How many faces to keep.

    Raises:
        ArgumentError: If it is neither None nor a whole number within 1..1000.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_FACES):
        raise ArgumentError(
            f"max_faces must be a whole number within 1..{MAX_FACES}, or null for all; got {_short(value)}"
        )
    return value


def check_attributes(value: Any, offered: Sequence[str]) -> tuple[str, ...]:
    """The attributes to answer, each once; None means all that are `offered`.

    Raises:
        ArgumentError: If it is anything but a list of offered names.
    """
    if value is None:
        return tuple(offered)
    if not isinstance(value, list) or not value or any(name not in offered for name in value):
        raise ArgumentError(
            f"attributes must be a list out of {', '.join(offered)}, or null for all; got {_short(value)}"
        )
    return tuple(dict.fromkeys(value))


def check_detection(detector: Any, min_score: Any, detectors: Iterable[str]) -> None:
    """Whether the visitor's choice of detector and least confidence can be had.

    Raises:
        ArgumentError: If it cannot.
    """
    if not isinstance(detector, str) or detector not in detectors:
        raise ArgumentError(f"detector must be one of {', '.join(detectors)}; got {_short(detector)}")
    if isinstance(min_score, bool) or not isinstance(min_score, (int, float)) or not 0 <= min_score <= 1:
        raise ArgumentError(f"the minimum score must be a number within 0..1; got {_short(min_score)}")


def check_clip(value: Any, limits: Limits) -> Path:
    """The uploaded clip behind an argument.

    Raises:
        FaceModelsError: If it is no upload, no clip, or too long a one.
    """
    path = check_image(value)
    if not path.exists():
        raise VideoError(f"{file_name(value)} is no longer here: {UPLOADS_GO}. Choose it again")
    seconds = video_info(path).seconds
    if seconds is not None and seconds > limits.clip_seconds:
        raise _too_long(path, limits)
    return path


def _too_long(path: Path, limits: Limits) -> VideoError:
    return VideoError(f"{path}: clips of more than {limits.clip_seconds} seconds are not taken: cut it first")


def check_rate(value: Any) -> float | None:
    """How many frames per second to analyze; None for all.

    Raises:
        ArgumentError: If it is none of `CLIP_RATES`.
    """
    if not isinstance(value, str) or value not in CLIP_RATES:
        raise ArgumentError(f"the sampling rate must be one of {', '.join(CLIP_RATES)}; got {_short(value)}")
    return CLIP_RATES[value]


def _short(value: Any) -> str:
    """The type and the beginning of a value, for an error message."""
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 80 else text[:80] + '…'}"


# ---------------------------------------------------------------- handlers: plain functions of their arguments


def look(
    analyzer: Analyzer,
    image: Any,
    max_faces: Any,
    attributes: Any,
    find: Callable[[np.ndarray], list[Face]] | None = None,
) -> tuple[np.ndarray, Analysis]:
    """Check the arguments, read the picture and analyze it.

    Args:
        analyzer: Answers the attributes.
        image: The uploaded file.
        max_faces: See `check_max_faces`.
        attributes: See `check_attributes`.
        find: Finds the faces instead of the analyzer's own detector.

    Returns:
        The picture, ``(H, W, 3)`` RGB uint8, and at most `max_faces` faces with the wanted attributes.

    Raises:
        FaceModelsError: If an argument or the picture is refused.
    """
    limit, wanted = check_max_faces(max_faces), check_attributes(attributes, tuple(analyzer.models))
    pixels = read_upload(image)
    analysis = analyzer.analyze(pixels, boxes=None if find is None else find(pixels))
    return pixels, narrow(analysis, wanted, limit)


def narrow(analysis: Analysis, wanted: Sequence[str], limit: int | None = None) -> Analysis:
    """At most `limit` faces of an analysis, with only the wanted attributes."""
    unwanted = {name: None for name in ATTRIBUTES if name not in wanted}
    faces = tuple(face.replace(**unwanted) for face in analysis.faces[:limit])
    models = {name: model for name, model in analysis.models.items() if name in wanted}
    return replace(analysis, faces=faces, models=models)


def read_upload(image: Any) -> np.ndarray:
    """The pixels of an uploaded file.

    Raises:
        FaceModelsError: If it is no upload, or no image.
    """
    path = check_image(image)
    if not path.exists():
        raise ImageError(f"{file_name(image)} is no longer here: {UPLOADS_GO}. Choose it again")
    try:
        return read_image(path)
    except ImageError as error:
        raise ImageError(str(error).replace(str(path), file_name(image))) from error


def file_name(image: Mapping[str, Any]) -> str:
    """The name under which the visitor knows an upload, not its place on this machine."""
    return image.get("orig_name") or Path(image["path"]).name


def look_at_all(analyzer: Analyzer, images: Any, max_faces: Any, attributes: Any) -> list[Analysis]:
    """`look` at several pictures, one after the other.

    Returns:
        One analysis per picture, in order; one that is refused has no faces and says why in `Analysis.error`.

    Raises:
        ArgumentError: If `images` is no list or too long, or one of the other arguments is refused.
    """
    if not isinstance(images, list) or len(images) > MAX_IMAGES:
        came = f"{len(images)} of them" if isinstance(images, list) else _short(images)
        raise ArgumentError(f"images must be a list of at most {MAX_IMAGES} uploaded files; got {came}")
    check_max_faces(max_faces)
    wanted = check_attributes(attributes, tuple(analyzer.models))
    models = {name: model for name, model in analyzer.models.items() if name in wanted}
    analyses = []
    for image in images:
        try:
            analyses.append(look(analyzer, image, max_faces, attributes)[1])
        except FaceModelsError as error:
            analyses.append(Analysis((), 0, 0, models, str(error)))
    return analyses


def show(
    analyzers: Analyzers,
    detectors: Mapping[str, FaceDetector],
    image: Any,
    max_faces: Any,
    attributes: Any,
    detector: Any,
    min_score: Any,
    models: Mapping[str, Any],
    language: Any = "en",
) -> tuple[str | None, str | None, Analysis | None]:
    """The image tab: the annotated picture's file, the cards, and what they show; a refusal becomes a message."""
    say = words_in(language)
    if image is None:
        return None, None, None
    if attributes == []:
        return None, page.message_html(say("no_attribute"), say("no_attribute_text"), "warning"), None
    try:
        analyzer, find = analyzers.get(models), None
        if (detector, min_score) != (analyzer.detector, MIN_SCORE):
            check_detection(detector, min_score, detectors)
            find = functools.partial(detectors[detector].detect, min_score=min_score)
        pixels, analysis = look(analyzer, image, max_faces, attributes, find)
    except FaceModelsError as error:
        return None, page.error_html(error, say), None
    picture = save_picture(annotate(pixels, analysis.faces), "jpeg", SHOWN_SIDE)
    return picture, page.analysis_html(analysis, pixels, file_name(image), say), analysis


def explain(
    analyzers: Analyzers, image: Any, analysis: Analysis | None, place: Any, language: Any = "en"
) -> dict[str, Any]:
    """What the emotion model looked at in one face: for the card with this number.

    Args:
        analyzers: The one that answered is asked again, with places of the face covered.
        image: The uploaded file.
        analysis: What the page shows of it.
        place: The number of the face, from 1.
        language: Of the answer.

    Returns:
        ``"face"``, the number; ``"page"``, the HTML for its card; ``"when"``, so that no two answers are equal.
    """
    say = words_in(language)
    try:
        count = 0 if analysis is None else len(analysis)
        if analysis is None or not isinstance(place, int) or not 1 <= place <= count:
            raise ArgumentError(f"there is no face {_short(place)} among the {count} on the page: analyze again")
        face = analysis.faces[place - 1]
        if face.emotion is None:
            raise ArgumentError("only an emotion can be explained, and it was not asked for")
        crop = view(read_upload(image), face, get_spec(analysis.models["emotion"]))
        heat = occlusion_map(analyzers.get(analysis.models), crop, face.emotion.label)
        answer = page.heat_html(crop, heat, face.emotion.label, say)
    except FaceModelsError as error:
        answer = page.error_html(error, say)
    return {"face": place, "page": answer, "when": time.time()}


def draw(image: Any, analysis: Analysis | None) -> str | None:
    """The annotated picture as a PNG in full size, for download."""
    if analysis is None:
        return None
    return save_picture(annotate(read_upload(image), analysis.faces), "png")


def follow(analyzer: Analyzer, tracker: FaceTracker, frame: Any) -> dict[str, Any]:
    """The webcam tab: one frame in, the faces with stable ids out.

    Returns:
        `Analysis.to_dict()` and ``"ms"``, the time this took. A refused frame comes back with its ``"error"``: an
        exception would end the stream.
    """
    start = time.perf_counter()
    try:
        analysis = tracker.update(analyzer.analyze(read_frame(frame)))
    except FaceModelsError as error:
        analysis = Analysis((), 0, 0, {}, str(error))
    return {**analysis.to_dict(), "ms": round((time.perf_counter() - start) * 1000, 2)}


@dataclass(frozen=True)
class Narrowed:
    """An analyzer that answers only the wanted attributes."""

    analyzer: Analyzer
    wanted: Sequence[str]

    def analyze(self, image: Any) -> Analysis:
        """See `narrow`."""
        return narrow(self.analyzer.analyze(image), self.wanted)


def watch(
    analyzer: Analyzer, limits: Limits, clip: Any, rate: Any, attributes: Any, language: Any = "en"
) -> Generator[tuple[str | None, str | None, str | None], None, None]:
    """The video tab: how far the work is, again and again; then the annotated clip's file, who was in it, and the
    table's file. A refusal becomes a message. Closed before the end, it leaves no file behind.
    """
    say = words_in(language)
    if clip is None:
        yield None, None, None
        return
    if attributes == []:
        yield None, page.message_html(say("no_attribute"), say("no_attribute_text"), "warning"), None
        return
    yield None, progress_html(0, None, None, say), None
    folder: Path | None = None
    try:
        fps, wanted = check_rate(rate), check_attributes(attributes, tuple(analyzer.models))
        path = check_clip(clip, limits)
        folder = Path(tempfile.mkdtemp(dir=get_upload_folder(), prefix="clip-"))
        drawn, table, timeline = folder / f"{path.stem}-faces.mp4", folder / f"{path.stem}.csv", Timeline()
        start = told = time.monotonic()
        analyzed, frame = 0, None
        with closing(
            analyze_video(
                path,
                Narrowed(analyzer, wanted),
                fps=fps,
                annotated=drawn,
                csv=table,
                timeline=timeline,
                max_side=CLIP_SIDE,
            )
        ) as frames:
            for frame in frames:
                analyzed += frame.analyzed
                if frame.time > limits.clip_seconds:  # one that did not say how long it is
                    raise _too_long(path, limits)
                done, now = frame.index + 1, time.monotonic()
                if now - told >= TELL_SECONDS:
                    told = now
                    touch(path)  # nobody deletes the clip while it is being analyzed, nor what comes of it
                    touch(folder)
                    left = (now - start) / done * (frame.total - done) if frame.total and now - start > 2 else None
                    yield None, progress_html(done, frame.total, left, say), None
        count, problem = (frame.index + 1, frame.problem) if frame else (0, None)
        name, minutes = file_name(clip), KEEP_SECONDS // 60
        if problem is not None:
            problem = _as_known(problem, clip)
        answer = clip_html(timeline, count, analyzed, name, problem, minutes, say)
        folder = None  # from here on Gradio looks after its files
        yield str(drawn), answer, str(table)
    except FaceModelsError as error:
        yield None, page.error_html(type(error)(_as_known(str(error), clip)), say), None
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Stop:
    """How a visitor ends the work on their clip.

    Attributes:
        wanted: Whether it shall end.
        answer: What the page then shows; None for its beginning.
    """

    wanted: bool = False
    answer: str | None = None


def _as_known(message: str, upload: Mapping[str, Any]) -> str:
    """A message with an upload's name instead of its place on this machine."""
    path = Path(upload["path"]) if isinstance(upload, dict) and "path" in upload else None
    for place in () if path is None else (path.resolve(), path):
        message = message.replace(str(place), file_name(upload))
    return message


def read_frame(frame: Any) -> np.ndarray:
    """The pixels of a webcam frame, which the browser sends as a data URL; it never touches the disk.

    Raises:
        ImageError: If it is something else, or not an image.
    """
    url = frame.get("url") if isinstance(frame, dict) else None
    if not isinstance(url, str) or not url.startswith("data:image/"):
        raise ImageError(f"a webcam frame must be an image in a data URL; got {_short(frame)}")
    try:
        data = base64.b64decode(url.partition(",")[2], validate=True)
    except ValueError as error:
        raise ImageError(f"a webcam frame must be an image in base64: {error}") from error
    return read_image(data)


def save_picture(pixels: np.ndarray, kind: str, longest: int | None = None) -> str:
    """Write a picture where Gradio serves and later deletes it; a name of its own keeps concurrent answers apart."""
    picture = Image.fromarray(pixels)
    if longest is not None:
        picture.thumbnail((longest, longest))
    Path(get_upload_folder()).mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        dir=get_upload_folder(), prefix="annotated-", suffix=f".{kind}", delete=False
    ) as file:
        picture.save(file, quality=90, compress_level=1)
    return file.name


def describe(spec: ModelSpec) -> dict[str, Any]:
    """A model as plain data: its ``config.json``, its id, and the attributes it answers."""
    return {"id": spec.id, "attributes": list(spec.attributes), **spec.to_dict()}


def card_text(spec: ModelSpec) -> str:
    """A model's card in Markdown, without its metadata header; empty where there is none."""
    places = (WEIGHTS / spec.name / "README.md", Path(__file__).parent / "model_cards" / f"{spec.name}.md")
    text = next((path.read_text(encoding="utf-8") for path in places if path.is_file()), "")
    if text.startswith("---\n"):
        text = text.partition("\n---\n")[2]
    # Its pictures lie beside it, where the page may fetch them (`launch` allows that folder).
    return re.sub(r"\]\((?=[\w-]+\.png\))", f"](gradio_api/file={(WEIGHTS / spec.name).as_posix()}/", text)


# ---------------------------------------------------------------- layout


def answers_errors(handler: Callable[P, R]) -> Callable[P, R]:
    """Tell callers of an endpoint what was wrong; Gradio hides every exception but its own."""

    @functools.wraps(handler)
    def answer(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return handler(*args, **kwargs)
        except FaceModelsError as error:
            raise gr.Error(str(error), print_exception=False) from error

    return answer


def build_demo(
    analyzer: Analyzer,
    limits: Limits = Limits(),
    *,
    make: Callable[[Mapping[str, str]], Analyzer] | None = None,
    examples: Sequence[Path] = (),
) -> gr.Blocks:
    """The whole page and its endpoints, around an analyzer that is ready.

    Args:
        analyzer: A `FaceAnalyzer`, or another `Analyzer`; several threads call it at once.
        limits: How much work is taken on at once.
        make: See `Analyzers`.
        examples: Pictures to choose from on the image tab.

    Returns:
        The Blocks, with its queue set up; `launch` starts it.
    """
    specs = list_models()

    @answers_errors
    def analyze_endpoint(
        image: gr.FileData, max_faces: int | None = None, attributes: list[str] | None = None
    ) -> dict[str, Any]:
        return look(analyzer, image, max_faces, attributes)[1].to_dict()

    @answers_errors
    def annotate_endpoint(
        image: gr.FileData, max_faces: int | None = None, attributes: list[str] | None = None
    ) -> gr.FileData:
        pixels, analysis = look(analyzer, image, max_faces, attributes)
        return gr.FileData(path=save_picture(annotate(pixels, analysis.faces), "png"))

    @answers_errors
    def analyze_batch_endpoint(
        images: list[gr.FileData], max_faces: int | None = None, attributes: list[str] | None = None
    ) -> list[dict[str, Any]]:
        return [analysis.to_dict() for analysis in look_at_all(analyzer, images, max_faces, attributes)]

    def models_endpoint() -> list[dict[str, Any]]:
        return [describe(spec) for spec in specs]

    with gr.Blocks(title="facemodels") as demo:
        # The page itself finds out the visitor's language; handlers get it from here.
        language = gr.HTML(
            t("language"), js_on_load=page.part("language.js"), apply_default_css=False, visible="hidden"
        )
        camera = gr.HTML("", js_on_load=page.part("camera.js"), apply_default_css=False, visible="hidden")
        _in_every_language(page.header_html)
        with gr.Tabs() as tabs:
            with gr.Tab(t("tab_image"), id="image"):
                picture = _image_tab(Analyzers(analyzer, make), limits, language, examples)
            with gr.Tab(t("tab_webcam"), id="webcam"):
                webcam = _webcam_tab(analyzer, limits)
            with gr.Tab(t("tab_video"), id="video"):
                _video_tab(analyzer, limits, language)
            with gr.Tab(t("tab_models"), id="models"):
                used = {
                    *(model.partition("#")[0] for model in analyzer.models.values()),
                    *(spec.id for spec in specs if spec.name == analyzer.detector),
                }
                _in_every_language(lambda say: page.models_html(specs, used, say))
                for spec in specs:
                    if text := card_text(spec):
                        with gr.Accordion(f"{t('card')} {spec.id}", open=False):
                            gr.Markdown(text)
        tabs.change(None, js=RELEASE_JS, api_visibility="private")
        camera.release(None, None, [picture, webcam], js=UNMOUNT_JS, api_visibility="private").then(
            None, None, [picture, webcam], js=MOUNT_JS, api_visibility="private"
        )
        shared = {"concurrency_id": "analyze", "concurrency_limit": limits.analyses}
        gr.api(analyze_endpoint, api_name="analyze", api_description=ANALYZE_DOC, **shared)
        gr.api(analyze_batch_endpoint, api_name="analyze_batch", api_description=ANALYZE_BATCH_DOC, **shared)
        gr.api(annotate_endpoint, api_name="annotate", api_description=ANNOTATE_DOC, **shared)
        gr.api(models_endpoint, api_name="models", api_description=MODELS_DOC)
    return demo.queue(max_size=limits.queue)


def t(key: str) -> I18nData:
    """A text of the page, in the visitor's language once it is there."""
    return I18nData(PREFIX + key)


def _in_every_language(make: Callable[[Words], str], **options: Any) -> gr.HTML:
    """HTML that the page shows in the visitor's language, as long as it has no value."""
    pages = {name: make(say) for name, say in languages().items()}
    # The label, which this component does not show, tells the template the language.
    return gr.HTML(
        html_template="${value || pages[label]}", pages=pages, label=t("language"), apply_default_css=False, **options
    )


def _image_tab(analyzers: Analyzers, limits: Limits, language: gr.HTML, examples: Sequence[Path]) -> gr.Image:
    offered = list(analyzers.offered)
    detectors = {name: found for name in available_detectors() if (found := make_detector(name)) is not None}
    with gr.Row(equal_height=True, elem_id="fm-pictures"):
        picture = gr.Image(
            label=t("picture"),
            sources=["upload", "webcam", "clipboard"],
            type="filepath",
            height=420,
            elem_id="fm-picture",
            alt_text="The picture to analyze",
            buttons=["fullscreen"],
        )
        annotated = gr.Image(
            label=t("picture_faces"),
            interactive=False,
            height=420,
            elem_id="fm-annotated",
            buttons=["download", "fullscreen"],
            alt_text="The picture with a box and a label at each face",
        )
    if examples:
        gr.Examples(
            [[str(path)] for path in examples],
            [picture],
            label=t("examples"),
            elem_id="fm-examples",
            api_visibility="private",
        )
    with gr.Row(elem_id="fm-options"):
        attributes = gr.CheckboxGroup(
            [(t(f"attribute_{name}"), name) for name in offered],
            value=offered,
            label=t("attributes"),
            scale=4,
            min_width=280,
        )
        button = gr.Button(t("analyze"), variant="primary", scale=1, min_width=140)
    with gr.Accordion(t("options"), open=False):
        with gr.Row():
            max_faces = gr.Slider(1, 100, value=50, step=1, label=t("max_faces"), min_width=200)
            detector = gr.Dropdown(
                list(dict.fromkeys((str(analyzers.default.detector), *detectors))), label=t("detector"), min_width=200
            )
            min_score = gr.Slider(0.3, 0.95, value=MIN_SCORE, step=0.05, label=t("min_score"), min_width=200)
        with gr.Row():
            models = [
                gr.Dropdown(list(ids), label=t(f"model_{attribute}"), min_width=200)
                for attribute, ids in analyzers.offered.items()
            ]
    results = _in_every_language(page.empty_html, js_on_load=page.part("faces.js"), elem_id="fm-results")
    shown = gr.State(None)  # what `results` shows; this visitor's own
    explained = gr.HTML(
        {}, html_template="", js_on_load=page.part("explained.js"), apply_default_css=False, visible="hidden"
    )
    file = gr.DownloadButton(visible="hidden", elem_id="fm-file")
    shared: dict[str, Any] = {
        "preprocess": False,  # `read_image` opens the upload, so that every picture goes the same way
        "concurrency_id": "analyze",
        "concurrency_limit": limits.analyses,
        "api_visibility": "private",
    }

    def show_chosen(
        image: Any, max_faces: Any, attributes: Any, detector: Any, min_score: Any, language: Any, *models: Any
    ) -> tuple[str | None, str | None, Analysis | None]:
        chosen = dict(zip(offered, models, strict=True))
        return show(analyzers, detectors, image, max_faces, attributes, detector, min_score, chosen, language)

    gr.on(
        [
            *(picture.change, attributes.input, max_faces.release, detector.input, min_score.release, button.click),
            *(model.input for model in models),
        ],
        show_chosen,
        [picture, max_faces, attributes, detector, min_score, language, *models],
        [annotated, results, shown],
        trigger_mode="always_last",
        **shared,
    )

    def explain_chosen(image: Any, analysis: Analysis | None, language: Any, event: gr.EventData) -> dict[str, Any]:
        return explain(analyzers, image, analysis, getattr(event, "face", None), language)

    results.explain(
        explain_chosen, [picture, shown, language], explained, trigger_mode="multiple", show_progress="hidden", **shared
    )
    results.png(answers_errors(draw), [picture, shown], file, **shared).success(
        None, js="() => document.querySelector('#fm-file').click()"
    )
    return picture


def _webcam_tab(analyzer: Analyzer, limits: Limits) -> gr.Image:
    def handle(frame: Any, tracker: FaceTracker) -> dict[str, Any]:
        return follow(analyzer, tracker, frame)

    with gr.Row():
        with gr.Column(scale=3, min_width=320, elem_id="fm-camera"):
            camera = gr.Image(
                label=t("tab_webcam"),
                show_label=False,
                sources=["webcam"],
                streaming=True,
                elem_id="fm-webcam",
                buttons=[],
                webcam_options=gr.WebcamOptions(
                    constraints={"video": {"width": {"ideal": 640}, "height": {"ideal": 480}}}
                ),
            )
            gr.HTML(
                html_template=page.SWITCH_HTML,
                label=t("language"),
                texts=texts_of("live_"),
                js_on_load=page.part("switch.js"),
                elem_id="fm-switch",
                apply_default_css=False,
            )
        with gr.Column(scale=2, min_width=280):
            live = gr.HTML(
                html_template=page.LIVE_HTML,
                label=t("language"),
                texts=texts_of("live_", "label_"),
                js_on_load=page.part("live.js"),
                elem_id="fm-live",
                apply_default_css=False,
            )
    camera.stream(
        handle,
        [camera, gr.State(FaceTracker())],  # each visitor gets a copy of the tracker
        live,
        preprocess=False,  # frames stay in memory
        stream_every=1 / 30,
        time_limit=limits.webcam_seconds,
        show_progress="hidden",
        concurrency_id="webcam",
        concurrency_limit=limits.webcams,
        api_visibility="private",
    )
    return camera


def _video_tab(analyzer: Analyzer, limits: Limits, language: gr.HTML) -> None:
    offered = list(analyzer.models)
    with gr.Row(equal_height=True):
        clip = gr.Video(label=t("clip"), sources=["upload"], height=420, elem_id="fm-clip")
        drawn = gr.Video(
            label=t("clip_drawn"), interactive=False, height=420, elem_id="fm-clip-drawn", buttons=[], autoplay=False
        )
    with gr.Row(elem_id="fm-clip-options"):
        attributes = gr.CheckboxGroup(
            [(t(f"attribute_{name}"), name) for name in offered],
            value=offered,
            label=t("attributes"),
            scale=4,
            min_width=280,
        )
        rate = gr.Dropdown(
            [(t(f"clip_rate_{name}"), name) for name in CLIP_RATES],
            value="5",
            label=t("clip_rate"),
            scale=2,
            min_width=180,
        )
        with gr.Column(scale=1, min_width=140):
            button = gr.Button(t("analyze"), variant="primary")
            cancel = gr.Button(t("clip_cancel"), interactive=False)
    results = _in_every_language(clip_empty_html, js_on_load=page.part("clip.js"), elem_id="fm-clip-results")
    table = gr.DownloadButton(visible="hidden", elem_id="fm-clip-table")
    shown: list[Any] = [drawn, results, table]
    buttons: list[Any] = [button, cancel]

    stop = gr.State(None)  # a `Stop` for each run

    def begin(clip: Any, language: Any) -> tuple[Any, ...]:
        busy = clip is not None
        answer = clip_waiting_html(words_in(language)) if busy else None
        return None, answer, None, gr.Button(interactive=not busy), gr.Button(interactive=busy), Stop()

    def handle(
        clip: Any, rate: Any, attributes: Any, language: Any, stop: Stop
    ) -> Iterator[tuple[str | None, str | None, str | None]]:
        with closing(watch(analyzer, limits, clip, rate, attributes, language)) as steps:
            for step in steps:
                if stop.wanted:
                    break
                yield step
        if stop.wanted:  # the last word, whatever progress was still on its way to the page
            yield None, stop.answer, None

    def end() -> tuple[Any, ...]:
        return gr.Button(interactive=True), gr.Button(interactive=False)

    def give_up(stop: Stop | None, language: Any) -> tuple[Any, ...]:
        return halt(stop, clip_cancelled_html(words_in(language)))

    def forget(stop: Stop | None) -> tuple[Any, ...]:
        return halt(stop, None)

    def halt(stop: Stop | None, answer: str | None) -> tuple[Any, ...]:
        if stop is not None:
            stop.wanted, stop.answer = True, answer
        return None, answer, None, *end()

    at_once: dict[str, Any] = {
        "preprocess": False,
        "queue": False,
        "show_progress": "hidden",
        "api_visibility": "private",
    }
    work = gr.on([clip.upload, button.click], begin, [clip, language], [*shown, *buttons, stop], **at_once).then(
        handle,
        [clip, rate, attributes, language, stop],
        shown,
        preprocess=False,  # the upload goes to PyAV as it is
        show_progress="hidden",  # it shows its own
        concurrency_id="clips",
        concurrency_limit=limits.clips,
        api_visibility="private",
    )
    work.then(end, None, buttons, **at_once)
    # Gradio's own cancelling takes a run out of the queue; one that has begun sees its `Stop`.
    cancel.click(give_up, [stop, language], shown + buttons, cancels=[work], **at_once)
    clip.clear(forget, stop, shown + buttons, cancels=[work], **at_once)


# What the page does by itself to release a camera, see `camera.js`. A picture that was chosen stays where it is.
RELEASE_JS = "() => { window.dispatchEvent(new Event('fm-camera-release')); }"
UNMOUNT_JS = """() => ['#fm-picture', '#fm-webcam'].map((part) =>
    document.querySelector(part + ' video') ? {__type__: 'update', visible: false} : {__type__: 'update'})"""
# The webcam's value is the last frame that was sent, which would hide the camera's picture.
MOUNT_JS = "() => [{__type__: 'update', visible: true}, {__type__: 'update', visible: true, value: null}]"


ANALYZE_DOC = (
    "The faces in a picture and what the models perceive: schema, width, height, models, error, faces (largest first). "
    "image: an uploaded file, in Python gradio_client.handle_file('photo.jpg'). "
    f"max_faces: 1..{MAX_FACES}, or null for all. attributes: a list out of {', '.join(ATTRIBUTES)}, or null for all."
)
ANALYZE_BATCH_DOC = (
    "Several pictures in one call: a list with the answer of /analyze for each, in order; one that cannot be analyzed "
    f"says why in error. images: a list of at most {MAX_IMAGES} uploaded files. The rest as for /analyze."
)
ANNOTATE_DOC = "The picture, as PNG, with a box and a label at each face. Arguments as for /analyze."
MODELS_DOC = "Every known model: id, attributes, version, licence, data sets, metrics, files."


THEMES = {
    name: getattr(gr.themes, name.capitalize())
    for name in ("soft", "default", "base", "citrus", "glass", "monochrome", "ocean", "origin")
}
# They come with Gradio: the page asks nothing of the internet. app.css says what is like Plex.
FONTS: dict[str, Any] = {
    "font": (
        gr.themes.LocalFont("IBM Plex Sans", weights=(400, 700)),
        "Like Plex",
        "Like Plex too",
        "system-ui",
        "sans-serif",
    ),
    "font_mono": (gr.themes.LocalFont("IBM Plex Mono"), "ui-monospace", "monospace"),
}


def make_theme(name: str) -> gr.themes.Base:
    """The page's own theme, ``facemodels``, or one of Gradio's in `THEMES`."""
    if name in THEMES:
        return THEMES[name](**FONTS)
    return gr.themes.Soft(primary_hue="teal", secondary_hue="teal", neutral_hue="slate", radius_size="lg", **FONTS).set(
        body_background_fill="*neutral_100",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_600",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
        checkbox_label_background_fill_selected="*primary_700",
        checkbox_label_background_fill_selected_dark="*primary_700",
        block_label_background_fill_dark="*primary_700",
        block_label_text_color="*primary_800",
        block_title_background_fill_dark="*primary_700",
        block_title_text_color="*primary_800",
        slider_color="*primary_600",
    )


LAUNCH: dict[str, Any] = {
    "css": page.part("app.css"),
    "run_history": False,
    "ssr_mode": False,
    "footer_links": ["api", "gradio", "settings"],
    "allowed_paths": [str(WEIGHTS)],  # the cards' pictures; what lies there is published anyway
}


# ---------------------------------------------------------------- start


def launch(
    demo: gr.Blocks,
    analyzer: Analyzer,
    *,
    warmup: Callable[[], None] | None = None,
    theme: str = "facemodels",
    uploads: UploadFolder | None = None,
    prevent_thread_lock: bool = False,
    **options: Any,
) -> str:
    """Serve the page, its endpoints and ``/health``, which says 200 once the models are warm and 503 before and after.

    Args:
        demo: What `build_demo` made around `analyzer`.
        analyzer: Its models are named by ``/health``.
        warmup: Makes the analyzer as fast as it will be; called when the server is there.
        theme: See `make_theme`.
        uploads: Where they are, if they are ours to delete; ``/health`` tells how old the oldest is.
        prevent_thread_lock: Return at once, instead of when the server was stopped.
        options: Further arguments of `gr.Blocks.launch`.

    Returns:
        The address.
    """
    warm = threading.Event()

    def health() -> JSONResponse:
        status = "stopping" if not demo.is_running else "ready" if warm.is_set() else "loading"
        answer: dict[str, Any] = {"status": status, "models": dict(analyzer.models)}
        if uploads is not None:
            oldest = uploads.oldest()
            answer["oldest_upload_seconds"] = None if oldest is None else round(oldest, 1)
        return JSONResponse(answer, 200 if status == "ready" else 503)

    if uploads is not None:  # Gradio's own copies of the examples
        uploads.spare(path for block in demo.blocks.values() for path in getattr(block, "keep_in_cache", ()))
    routes = [APIRoute("/health", health)]
    address: str = demo.launch(
        **LAUNCH,
        theme=make_theme(theme),
        i18n=gr.I18n(**translations()),
        app_kwargs={"routes": routes},
        prevent_thread_lock=True,
        **options,
    )[1]
    try:
        if warmup is not None:
            warmup()
    except BaseException:  # Ctrl-C too: nobody is left to stop the server
        demo.close(verbose=False)
        raise
    warm.set()
    if not prevent_thread_lock:
        demo.block_thread()
    return address


@dataclass(frozen=True)
class Setting:
    """One thing that whoever starts the app can choose, by option or by environment variable (the option wins).

    Attributes:
        name: Of the option, ``--name``.
        variable: Of the environment.
        read: From the text to the value; raises `ArgumentError`.
        default: Without either.
        help: What it is.
        secret: Not to be shown by ``--help``.
    """

    name: str
    variable: str
    read: Callable[[str], Any]
    default: Any
    help: str
    secret: bool = False

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        """Make it an option of the command line."""
        value = os.environ.get(self.variable) or self.default
        now = "" if self.secret or value in (None, {}, ()) else f" (now: {value})"
        parser.add_argument(f"--{self.name}", default=value, type=self._read, help=f"{self.help}; {self.variable}{now}")

    def _read(self, text: str) -> Any:
        try:
            return self.read(text)
        except ArgumentError as error:
            raise argparse.ArgumentTypeError(f"{error} (this setting is also {self.variable})") from error


def read_count(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentError(f"must be a whole number of at least 1; got {text!r}")
    return int(text)


def read_port(text: str) -> int:
    """A port."""
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise ArgumentError(f"must be a port within 1..65535; got {text!r}")
    return int(text)


def read_models(text: str) -> dict[str, str]:
    """``emotion=emotion-efficientnet@1.0.0,age=…``; what the models must be, `FaceAnalyzer` checks."""
    pairs = [pair.partition("=") for pair in text.split(",")]
    if any(attribute.strip() not in ATTRIBUTES or not model.strip() for attribute, _, model in pairs):
        raise ArgumentError(
            f"must be like emotion=NAME@VERSION,age=NAME@VERSION, with attributes out of {', '.join(ATTRIBUTES)}; "
            f"got {text!r}"
        )
    return {attribute.strip(): model.strip() for attribute, _, model in pairs}


def read_user(text: str) -> tuple[str, str]:
    """``user:password``; the message does not repeat it."""
    user, _, password = text.partition(":")
    if not user or not password:
        raise ArgumentError("must be user:password, neither of them empty")
    return user, password


def read_theme(text: str) -> str:
    """The name of a theme."""
    if text not in ("facemodels", *THEMES):
        raise ArgumentError(f"must be one of facemodels, {', '.join(THEMES)}; got {text!r}")
    return text


def read_examples(text: str) -> list[Path]:
    """The pictures of a folder, by name."""
    folder = Path(text)
    kinds = Image.registered_extensions()
    if not folder.is_dir():
        raise ArgumentError(f"must be a folder of pictures; there is no folder {text!r}")
    pictures = sorted(path for path in folder.iterdir() if path.suffix.lower() in kinds and path.is_file())
    if not pictures:
        raise ArgumentError(f"must be a folder of pictures; there is none in {text!r}")
    return pictures


def settings() -> list[Setting]:
    """All that can be chosen at the start."""
    own, default = "FACEMODELS_", Limits()
    host = "0.0.0.0" if "SPACE_ID" in os.environ else "127.0.0.1"
    free = "the first free one from 7860"
    return [
        Setting("host", "GRADIO_SERVER_NAME", str, host, "address to listen on"),
        Setting("port", "GRADIO_SERVER_PORT", read_port, None, f"port to listen on, else {free}"),
        Setting(
            "auth", own + "AUTH", read_user, None, "user:password that visitors and callers must give", secret=True
        ),
        Setting("detector", own + "DETECTOR", str, "auto", "face detector: auto, libfacedetection, yunet, haar"),
        Setting(
            "models", own + "MODELS", read_models, {}, "models other than the default ones: emotion=NAME@VERSION,…"
        ),
        Setting("examples", own + "EXAMPLES", read_examples, (), "folder of pictures to choose from on the image tab"),
        Setting("theme", own + "THEME", read_theme, "facemodels", f"look: facemodels, {', '.join(THEMES)}"),
        Setting("max-upload", own + "MAX_UPLOAD", read_count, 200, "largest upload, in megabytes"),
        Setting("queue", own + "QUEUE", read_count, default.queue, "requests that may wait"),
        Setting("analyses", own + "ANALYSES", read_count, default.analyses, "pictures analyzed at the same time"),
        Setting("webcams", own + "WEBCAMS", read_count, default.webcams, "webcams that stream at the same time"),
        Setting(
            "webcam-seconds",
            own + "WEBCAM_SECONDS",
            read_count,
            default.webcam_seconds,
            "seconds a webcam keeps its place while others wait",
        ),
        Setting("clips", own + "CLIPS", read_count, default.clips, "clips analyzed at the same time"),
        Setting("clip-seconds", own + "CLIP_SECONDS", read_count, default.clip_seconds, "longest clip, in seconds"),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Load the models and serve the page until it is stopped."""
    parser = argparse.ArgumentParser(
        description="Serve the facemodels page and its API.",
        epilog="Every setting can be given by the environment variable named with it; the option wins.",
    )
    for setting in settings():
        setting.add_to(parser)
    options = parser.parse_args(arguments)
    limits = Limits(
        *(options.queue, options.analyses, options.webcams, options.webcam_seconds),
        *(options.clips, options.clip_seconds),
    )
    try:
        analyzer = FaceAnalyzer(models=options.models, detector=options.detector)

        def make(models: Mapping[str, str]) -> FaceAnalyzer:
            # A default model may be a folder, which its name would not find again.
            kept = {
                name: options.models.get(name, model)
                for name, model in models.items()
                if model == analyzer.models[name]
            }
            return FaceAnalyzer(models={**models, **kept}, detector=options.detector)

        # Stopped by the system as by Ctrl-C: Gradio then finishes the answers that it has begun.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        size = options.max_upload * 2**20
        with UploadFolder(room=size) as uploads:
            launch(
                build_demo(analyzer, limits, make=make, examples=options.examples),
                analyzer,
                warmup=analyzer.warmup,
                theme=options.theme,
                uploads=uploads,
                auth=options.auth,
                max_file_size=size,
                server_name=options.host,
                server_port=options.port,
            )
    except (FaceModelsError, OSError) as error:  # OSError: the port is taken, the address not ours
        parser.exit(1, f"app.py: {error}\n")
    except KeyboardInterrupt:
        parser.exit(0, "app.py: stopped before it was ready\n")


if __name__ == "__main__":
    main()
