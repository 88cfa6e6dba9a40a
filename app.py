"""The Gradio app: faces in a picture or a webcam, for visitors and for `gradio_client`; `python app.py` starts it.

From top to bottom: the arguments that come over HTTP, the handlers (plain functions), the layout, the start. The page's
own HTML, style sheet and scripts are in `facemodels/page/`.
"""

# No `from __future__ import annotations` here: Gradio reads the endpoints' types from live annotations.
import argparse
import base64
import functools
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read by Gradio when it makes its first Blocks

import gradio as gr
import numpy as np
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from gradio.utils import get_upload_folder, is_in_or_equal
from PIL import Image

from facemodels import FaceAnalyzer, FaceTracker, annotate, list_models, page, read_image
from facemodels.detectors import DETECTORS, FaceDetector, YuNet
from facemodels.errors import ArgumentError, FaceModelsError, ImageError
from facemodels.explain import occlusion_map, view
from facemodels.registry import WEIGHTS, ModelSpec, get_spec
from facemodels.types import ATTRIBUTES, Analysis, Face

P = ParamSpec("P")
R = TypeVar("R")

MAX_FACES = 1000  # the most that a caller may ask for
MIN_SCORE = 0.6  # least confidence of a detected face, unless the visitor chooses another
MAX_IMAGES = 100  # in one call of /analyze_batch
SHOWN_SIDE = 1920  # longest side of the annotated picture on the page, in pixels
KEEP_SECONDS = 300  # how long Gradio's temporary copy of an upload lives


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
    """

    queue: int = 64
    analyses: int = 2
    webcams: int = 4
    webcam_seconds: int = 60


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
    unwanted = {name: None for name in ATTRIBUTES if name not in wanted}
    faces = tuple(face.replace(**unwanted) for face in analysis.faces[:limit])
    models = {name: model for name, model in analysis.models.items() if name in wanted}
    return pixels, replace(analysis, faces=faces, models=models)


def read_upload(image: Any) -> np.ndarray:
    """The pixels of an uploaded file.

    Raises:
        FaceModelsError: If it is no upload, or no image.
    """
    path = check_image(image)
    if not path.exists():
        kept = f"{KEEP_SECONDS // 60} minutes"
        raise ImageError(f"{file_name(image)} is no longer here: uploads are deleted after {kept}. Choose it again")
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
    analyzer: Analyzer,
    detectors: Mapping[str, FaceDetector],
    image: Any,
    max_faces: Any,
    attributes: Any,
    detector: Any,
    min_score: Any,
) -> tuple[str | None, str, Analysis | None]:
    """The image tab: the annotated picture's file, the cards, and what they show; a refusal becomes a message."""
    if image is None:
        return None, page.EMPTY, None
    if attributes == []:
        return None, page.message_html("Nothing to answer", "Choose at least one attribute.", "warning"), None
    try:
        find = None
        if (detector, min_score) != (analyzer.detector, MIN_SCORE):
            check_detection(detector, min_score, detectors)
            find = functools.partial(detectors[detector].detect, min_score=min_score)
        pixels, analysis = look(analyzer, image, max_faces, attributes, find)
    except FaceModelsError as error:
        return None, page.message_html("This did not work", str(error), "error"), None
    picture = save_picture(annotate(pixels, analysis.faces), "jpeg", SHOWN_SIDE)
    return picture, page.analysis_html(analysis, pixels, file_name(image)), analysis


def explain(analyzer: Analyzer, image: Any, analysis: Analysis | None, place: Any) -> dict[str, Any]:
    """What the emotion model looked at in one face: for the card with this number.

    Args:
        analyzer: Asked again, with places of the face covered.
        image: The uploaded file.
        analysis: What the page shows of it.
        place: The number of the face, from 1.

    Returns:
        ``"face"``, the number; ``"page"``, the HTML for its card; ``"when"``, so that no two answers are equal.
    """
    try:
        count = 0 if analysis is None else len(analysis)
        if analysis is None or not isinstance(place, int) or not 1 <= place <= count:
            raise ArgumentError(f"there is no face {_short(place)} among the {count} on the page: analyze again")
        face = analysis.faces[place - 1]
        if face.emotion is None:
            raise ArgumentError("only an emotion can be explained, and it was not asked for")
        crop = view(read_upload(image), face, get_spec(analysis.models["emotion"]))
        heat = occlusion_map(analyzer, crop, face.emotion.label)
        answer = page.heat_html(crop, heat, face.emotion.label)
    except FaceModelsError as error:
        answer = page.message_html("This did not work", str(error), "error")
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
    return text


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


def build_demo(analyzer: Analyzer, limits: Limits = Limits()) -> gr.Blocks:
    """The whole page and its endpoints, around an analyzer that is ready.

    Args:
        analyzer: A `FaceAnalyzer`, or another `Analyzer`; several threads call it at once.
        limits: How much work is taken on at once.

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

    with gr.Blocks(title="facemodels", delete_cache=(60, KEEP_SECONDS)) as demo:
        gr.HTML(page.HEADER, apply_default_css=False)
        with gr.Tabs():
            with gr.Tab("Image"):
                _image_tab(analyzer, limits)
            with gr.Tab("Webcam"):
                _webcam_tab(analyzer, limits)
            with gr.Tab("Models"):
                gr.HTML(page.models_html(specs, tuple(analyzer.models.values())), apply_default_css=False)
                for spec in specs:
                    if text := card_text(spec):
                        with gr.Accordion(f"Card: {spec.id}", open=False):
                            gr.Markdown(text)
        shared = {"concurrency_id": "analyze", "concurrency_limit": limits.analyses}
        gr.api(analyze_endpoint, api_name="analyze", api_description=ANALYZE_DOC, **shared)
        gr.api(analyze_batch_endpoint, api_name="analyze_batch", api_description=ANALYZE_BATCH_DOC, **shared)
        gr.api(annotate_endpoint, api_name="annotate", api_description=ANNOTATE_DOC, **shared)
        gr.api(models_endpoint, api_name="models", api_description=MODELS_DOC)
    return demo.queue(max_size=limits.queue)


def _image_tab(analyzer: Analyzer, limits: Limits) -> None:
    offered = list(analyzer.models)
    # Those that can run here without a download.
    detectors = {name: make() for name, make in DETECTORS.items() if name != "yunet" or YuNet.is_here()}
    with gr.Row(equal_height=True):
        picture = gr.Image(
            label="Picture",
            sources=["upload", "webcam", "clipboard"],
            type="filepath",
            height=420,
            elem_id="fm-picture",
            alt_text="The picture to analyze",
            buttons=["fullscreen"],
        )
        annotated = gr.Image(
            label="Faces",
            interactive=False,
            height=420,
            elem_id="fm-annotated",
            buttons=["download", "fullscreen"],
            alt_text="The picture with a box and a label at each face",
        )
    with gr.Row(elem_id="fm-options"):
        attributes = gr.CheckboxGroup(
            [(name.capitalize(), name) for name in offered], value=offered, label="Attributes", scale=4, min_width=280
        )
        button = gr.Button("Analyze", variant="primary", scale=1, min_width=140)
    with gr.Accordion("Options", open=False), gr.Row():
        max_faces = gr.Slider(1, 100, value=50, step=1, label="Maximum faces", min_width=200)
        detector = gr.Dropdown(
            list(dict.fromkeys((str(analyzer.detector), *detectors))), label="Detector", min_width=200
        )
        min_score = gr.Slider(0.3, 0.95, value=MIN_SCORE, step=0.05, label="Minimum score of a face", min_width=200)
    results = gr.HTML(page.EMPTY, js_on_load=page.part("faces.js"), elem_id="fm-results", apply_default_css=False)
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
    gr.on(
        [picture.change, attributes.input, max_faces.release, detector.input, min_score.release, button.click],
        functools.partial(show, analyzer, detectors),
        [picture, max_faces, attributes, detector, min_score],
        [annotated, results, shown],
        trigger_mode="always_last",
        **shared,
    )

    def explain_chosen(image: Any, analysis: Analysis | None, event: gr.EventData) -> dict[str, Any]:
        return explain(analyzer, image, analysis, getattr(event, "face", None))

    results.explain(
        explain_chosen, [picture, shown], explained, trigger_mode="multiple", show_progress="hidden", **shared
    )
    results.png(answers_errors(draw), [picture, shown], file, **shared).success(
        None, js="() => document.querySelector('#fm-file').click()"
    )


def _webcam_tab(analyzer: Analyzer, limits: Limits) -> None:
    def handle(frame: Any, tracker: FaceTracker) -> dict[str, Any]:
        return follow(analyzer, tracker, frame)

    with gr.Row():
        with gr.Column(scale=3, min_width=320):
            camera = gr.Image(
                label="Webcam",
                show_label=False,
                sources=["webcam"],
                streaming=True,
                elem_id="fm-webcam",
                buttons=[],
                webcam_options=gr.WebcamOptions(
                    constraints={"video": {"width": {"ideal": 640}, "height": {"ideal": 480}}}
                ),
            )
        with gr.Column(scale=2, min_width=280):
            live = gr.HTML(
                html_template=page.LIVE_HTML,
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


THEME = gr.themes.Soft(
    primary_hue="teal",
    secondary_hue="teal",
    neutral_hue="slate",
    radius_size="lg",
    font=(
        gr.themes.LocalFont("IBM Plex Sans", weights=(400, 700)),
        "ui-sans-serif",
        "system-ui",
        "sans-serif",
    ),  # comes with Gradio
).set(
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
    "theme": THEME,
    "css": page.part("app.css"),
    "run_history": False,
    "ssr_mode": False,
    "max_file_size": "32mb",
    "footer_links": ["api", "gradio", "settings"],
}


# ---------------------------------------------------------------- start


def launch(demo: gr.Blocks, analyzer: Analyzer, **options: Any) -> str:
    """Serve the page, its endpoints and ``/health``.

    Args:
        demo: What `build_demo` made around `analyzer`.
        analyzer: Its models are named by ``/health``.
        options: Further arguments of `gr.Blocks.launch`.

    Returns:
        The address, when the server was stopped, or at once with ``prevent_thread_lock=True``.
    """

    def health() -> JSONResponse:
        # The analyzer came with its models loaded; what may still be missing, or gone again, is the queue.
        status = {"status": "ready" if demo.is_running else "not ready", "models": dict(analyzer.models)}
        return JSONResponse(status, 200 if demo.is_running else 503)

    routes = [APIRoute("/health", health)]
    return demo.launch(**LAUNCH, app_kwargs={"routes": routes}, **options)[1]


def main(arguments: Sequence[str] | None = None) -> None:
    """Load the models and serve the page until it is stopped."""
    default = Limits()
    parser = argparse.ArgumentParser(description="Serve the facemodels page and its API.")
    host = os.environ.get("GRADIO_SERVER_NAME") or ("0.0.0.0" if "SPACE_ID" in os.environ else "127.0.0.1")
    port = os.environ.get("GRADIO_SERVER_PORT")
    parser.add_argument("--host", default=host, help="address to listen on; GRADIO_SERVER_NAME (now: %(default)s)")
    parser.add_argument(
        "--port", default=port, type=int, help="port; GRADIO_SERVER_PORT (without either, the first free one from 7860)"
    )
    parser.add_argument(
        "--detector", default="auto", help="face detector: auto, libfacedetection, yunet, haar (default: %(default)s)"
    )
    for name, text in (
        ("queue", "requests that may wait"),
        ("analyses", "pictures analyzed at the same time"),
        ("webcams", "webcams that stream at the same time"),
        ("webcam_seconds", "seconds a webcam keeps its place while others wait"),
    ):
        variable = f"FACEMODELS_{name.upper()}"
        value = os.environ.get(variable, getattr(default, name))
        parser.add_argument(
            f"--{name.replace('_', '-')}", default=value, type=int, help=f"{text}; {variable} (now: %(default)s)"
        )
    options = parser.parse_args(arguments)
    limits = Limits(options.queue, options.analyses, options.webcams, options.webcam_seconds)
    try:
        analyzer = FaceAnalyzer(detector=options.detector)
        analyzer.warmup()
    except FaceModelsError as error:
        parser.exit(1, f"app.py: {error}\n")
    # Stopped by the system as by Ctrl-C: Gradio then finishes the answers that it has begun.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    launch(build_demo(analyzer, limits), analyzer, server_name=options.host, server_port=options.port)


if __name__ == "__main__":
    main()
