"""The Gradio app: faces in a picture or a webcam, for visitors and for `gradio_client`; `python app.py` starts it.

From top to bottom: the arguments that come over HTTP, the handlers (plain functions), the page's own HTML, the layout,
the start. The page's style sheet and scripts are files of their own, in `facemodels/page/`.
"""

# No `from __future__ import annotations` here: Gradio reads the endpoints' types from live annotations.
import argparse
import base64
import csv
import functools
import html
import io
import json
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

from facemodels import FaceAnalyzer, FaceTracker, annotate, list_models, read_image
from facemodels.cli import CSV_COLUMNS, csv_row
from facemodels.detectors import DETECTORS, FaceDetector, YuNet
from facemodels.errors import ArgumentError, FaceModelsError, ImageError
from facemodels.registry import WEIGHTS, ModelSpec
from facemodels.types import ATTRIBUTES, Analysis, Box, Classification, Face

P = ParamSpec("P")
R = TypeVar("R")

PAGE = WEIGHTS.parent / "page"  # style sheet and scripts
MAX_FACES = 1000  # the most that a caller may ask for
MIN_SCORE = 0.6  # least confidence of a detected face, unless the visitor chooses another
MAX_IMAGES = 100  # in one call of /analyze_batch
FIRST_FACES = 12  # cards shown at once; the others unfold
SHOWN_SIDE = 1920  # longest side of the annotated picture on the page, in pixels
KEEP_SECONDS = 300  # how long Gradio's temporary copy of an upload lives


class Analyzer(Protocol):
    """What the app needs of a `FaceAnalyzer`."""

    @property
    def models(self) -> Mapping[str, str]: ...

    @property
    def detector(self) -> str | None: ...

    def analyze(self, image: Any, *, boxes: Iterable[Box] | None = None) -> Analysis: ...


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
    analyze: Callable[[np.ndarray], Analysis] | None = None,
) -> tuple[np.ndarray, Analysis]:
    """Check the arguments, read the picture and analyze it.

    Args:
        analyzer: Answers the attributes.
        image: The uploaded file.
        max_faces: See `check_max_faces`.
        attributes: See `check_attributes`.
        analyze: Takes the place of the analyzer's own `analyze`.

    Returns:
        The picture, ``(H, W, 3)`` RGB uint8, and at most `max_faces` faces with the wanted attributes.

    Raises:
        FaceModelsError: If an argument or the picture is refused.
    """
    limit, wanted = check_max_faces(max_faces), check_attributes(attributes, tuple(analyzer.models))
    pixels = read_upload(image)
    analysis = (analyze or analyzer.analyze)(pixels)
    unwanted = {name: None for name in ATTRIBUTES if name not in wanted}
    faces = tuple(face.replace(**unwanted) for face in analysis.faces[:limit])
    models = {name: model for name, model in analysis.models.items() if name in wanted}
    return pixels, replace(analysis, faces=faces, models=models)


def analyze_found(analyzer: Analyzer, detector: FaceDetector, min_score: float, pixels: np.ndarray) -> Analysis:
    """Analyze the faces that another detector finds."""
    found = detector.detect(pixels, min_score)
    analysis = analyzer.analyze(pixels, boxes=[face.box for face in found])
    faces = (face.replace(score=at.score, landmarks=at.landmarks) for face, at in zip(analysis, found, strict=True))
    return replace(analysis, faces=tuple(faces))


def read_upload(image: Any) -> np.ndarray:
    """The pixels of an uploaded file.

    Raises:
        FaceModelsError: If it is no upload, or no image.
    """
    path = check_image(image)
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
        return None, EMPTY, None
    if attributes == []:
        return None, message_html("Nothing to answer", "Choose at least one attribute.", "warning"), None
    try:
        analyze = None
        if (detector, min_score) != (analyzer.detector, MIN_SCORE):
            check_detection(detector, min_score, detectors)
            analyze = functools.partial(analyze_found, analyzer, detectors[detector], min_score)
        pixels, analysis = look(analyzer, image, max_faces, attributes, analyze)
    except FaceModelsError as error:
        return None, message_html("This did not work", str(error), "error"), None
    picture = save_picture(annotate(pixels, analysis.faces), "jpeg", SHOWN_SIDE)
    return picture, analysis_html(analysis, pixels, file_name(image)), analysis


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


# ---------------------------------------------------------------- the page's own HTML


def message_html(title: str, text: str, kind: str = "info") -> str:
    """A short message where the results would be; `kind` is info, warning or error."""
    role = "status" if kind == "info" else "alert"
    return (
        f'<div class="fm-message fm-{kind}" role="{role}"><b>{html.escape(title)}</b><p>{html.escape(text)}</p></div>'
    )


EMPTY = message_html("No picture yet", "Drop a photo, paste one, or take a snapshot: the faces in it will appear here.")


def analysis_html(analysis: Analysis, pixels: np.ndarray, name: str) -> str:
    """What was found in the file of this name: a summary with the downloads, a card per face, and a table."""
    count = len(analysis)
    if not count:
        text = (
            "Faces that are small, turned away, covered or blurred are easily missed. Try a larger or brighter picture."
        )
        found = message_html("No face found", text)
    else:
        cards = [face_html(face, place, pixels) for place, face in enumerate(analysis, 1)]
        found = f'<div class="fm-cards">{"".join(cards[:FIRST_FACES])}</div>'
        if rest := cards[FIRST_FACES:]:
            found += (
                f'<details class="fm-more"><summary>Show {len(rest)} more {_plural("face", len(rest))}</summary>'
                f'<div class="fm-cards fm-scroll" tabindex="0">{"".join(rest)}</div></details>'
            )
    if count > 1:
        found += (
            f'<details class="fm-more"><summary>All {count} faces in a table</summary>{faces_table(analysis)}</details>'
        )
    stem = html.escape(Path(name).stem)
    links = (
        _download("JSON", f"{stem}.json", "application/json", json.dumps(analysis.to_dict(), indent=2))
        + _download("CSV", f"{stem}.csv", "text/csv", csv_text(analysis, name))
        + '<button class="fm-download" data-action="png" aria-label="Download the annotated picture">PNG</button>'
    )
    return (
        f'<div class="fm-summary" role="status" data-box="0 0 {analysis.width} {analysis.height}">'
        f"<b>{count or 'No'} {_plural('face', count)}</b>"
        f"<span>in {analysis.width} × {analysis.height} pixels</span>"
        f'<span class="fm-downloads">Download {links}</span></div>{found}'
    )


def _download(name: str, file: str, kind: str, text: str) -> str:
    """A link that saves a text as a file."""
    data = f"data:{kind};base64,{base64.b64encode(text.encode()).decode()}"
    return f'<a class="fm-download" download="{file}" href="{data}" aria-label="Download {name}">{name}</a>'


def csv_text(analysis: Analysis, name: str) -> str:
    """A row per face, in the columns of the command line."""
    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({"source": name, "face": place, **csv_row(face)} for place, face in enumerate(analysis, 1))
    return text.getvalue()


def faces_table(analysis: Analysis) -> str:
    """All faces, a row each, with the columns that were asked for."""
    columns: dict[str, Callable[[Face], str]] = {"Found": lambda face: f"{face.score:.0%}"}
    for name in analysis.models:
        columns[name.capitalize()] = _age if name == "age" else functools.partial(_best, name)
    columns["Place, pixels"] = lambda face: (
        f"{face.box.width:.0f} × {face.box.height:.0f} at {face.box.x1:.0f}, {face.box.y1:.0f}"
    )
    rows = ((str(place), *(cell(face) for cell in columns.values())) for place, face in enumerate(analysis, 1))
    return table_html("All faces", ("Face", *columns), rows)


def _age(face: Face) -> str:
    return f"{face.age.value:.0f} ± {face.age.error:.0f}" if face.age else ""


def _best(attribute: str, face: Face) -> str:
    value: Classification | None = getattr(face, attribute)
    return f"{_name(value.label)} {value.score:.0%}" if value else ""


def table_html(name: str, head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table that scrolls by itself where the page is narrow; cells are HTML."""
    cells = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        f'<div class="fm-table" tabindex="0" role="region" aria-label="{name}">'
        f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def face_html(face: Face, place: int, pixels: np.ndarray) -> str:
    """The card of one face: its crop and what the models perceive."""
    facts = []
    if face.age is not None:
        facts.append(("Age", f"{_age(face)} years"))
    for name, value in (("Gender", face.gender), ("Ethnicity", face.ethnicity)):
        if value is not None:
            facts.append((name, _top_scores(value)))
    rows = "".join(f"<div><dt>{name}</dt><dd>{text}</dd></div>" for name, text in facts)
    headline = (
        f"<b>{_name(face.emotion.label)}</b> {face.emotion.score:.0%}" if face.emotion else f"Found, {face.score:.0%}"
    )
    bars = bars_html(face.emotion) if face.emotion else ""
    place_of = f"{face.box.x1:.0f} {face.box.y1:.0f} {face.box.width:.0f} {face.box.height:.0f}"
    return (
        f'<article class="fm-card" aria-label="Face {place}" tabindex="-1" data-face="{place}" data-box="{place_of}">'
        "<header>"
        f'<img src="{thumbnail(face, pixels)}" alt="Face {place}, cut from the picture" width="72" height="72">'
        f"<div><small>Face {place}</small><p>{headline}</p></div></header>"
        f"<dl>{rows}</dl>{bars}</article>"
    )


def bars_html(value: Classification) -> str:
    """A bar per label, in the model's order; the text says it all, so the bars are hidden from screen readers."""
    rows = (
        f"<li{' class=fm-top' if label == value.label else ''}><span>{_name(label)}</span>"
        f'<i aria-hidden="true"><i style="width:{score:.1%}"></i></i><span>{score:.0%}</span></li>'
        for label, score in value.scores.items()
    )
    return f'<ul class="fm-bars" aria-label="Emotion scores">{"".join(rows)}</ul>'


def thumbnail(face: Face, pixels: np.ndarray) -> str:
    """The face as a small picture in a data URL."""
    box, height, width = face.box, *pixels.shape[:2]
    reach = 0.65 * max(box.width, box.height)
    cx, cy = (box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2
    left, top = (int(min(max(middle - reach, 0), size - 1)) for middle, size in ((cx, width), (cy, height)))
    picture = Image.fromarray(pixels[top : int(cy + reach) + 1, left : int(cx + reach) + 1])
    picture.thumbnail((144, 144))
    buffer = io.BytesIO()
    picture.save(buffer, "jpeg", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def models_html(specs: Sequence[ModelSpec], used: Sequence[str]) -> str:
    """The table of models; `used` holds the ``name@version`` of those that answer here."""
    rows = []
    for spec in specs:
        figures = "<br>".join(_figure(row) for row in spec.metrics if row["metric"] in ("accuracy", "mae"))
        cells = (
            f"<b>{html.escape(spec.name)}</b>{' <mark>in use</mark>' if spec.id in used else ''}",
            html.escape(spec.version),
            html.escape(", ".join(spec.attributes) or spec.kind),
            html.escape(spec.license_name or spec.license),
            figures or "–",
        )
        rows.append(cells)
    return table_html("Models", ("Model", "Version", "Answers", "Licence", "Measured"), rows)


def _figure(row: Mapping[str, Any]) -> str:
    """One measured figure: ``emotion 83.7% right``, ``age 5.9 years off``, and the data set."""
    value = f"{row['value']:.1%} right" if row["metric"] == "accuracy" else f"{row['value']:.1f} years off"
    return f"{html.escape(row['label'])} <b>{value}</b> <small>{html.escape(row['dataset'])}</small>"


def _top_scores(value: Classification) -> str:
    """The likely labels with their scores: ``Female 93 %``, or up to three where the model hesitates."""
    best = sorted(value.scores.items(), key=lambda item: -item[1])[:3]
    shown = [best[0], *(item for item in best[1:] if item[1] >= 0.1)]
    return " · ".join(f"{_name(label)} {score:.0%}".replace(" ", "\N{NO-BREAK SPACE}") for label, score in shown)


def _name(label: str) -> str:
    return html.escape(label.replace("_", " ").title())


def _plural(word: str, count: int) -> str:
    return word if count == 1 else word + "s"


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
        analyzer: A `FaceAnalyzer`, or anything with its `models` and `analyze`; several threads call it at once.
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
        gr.HTML(HEADER, apply_default_css=False)
        with gr.Tabs():
            with gr.Tab("Image"):
                _image_tab(analyzer, limits)
            with gr.Tab("Webcam"):
                _webcam_tab(analyzer, limits)
            with gr.Tab("Models"):
                gr.HTML(models_html(specs, tuple(analyzer.models.values())), apply_default_css=False)
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
    results = gr.HTML(EMPTY, js_on_load=_page("faces.js"), elem_id="fm-results", apply_default_css=False)
    shown = gr.State(None)  # what `results` shows; this visitor's own
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
                html_template=LIVE_HTML, js_on_load=_page("live.js"), elem_id="fm-live", apply_default_css=False
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


HEADER = """
<header class="fm-header"><h1>facemodels</h1>
<p>The faces in a picture, and the emotion, age, gender and ethnicity that a model perceives in each.</p></header>
<aside class="fm-notice" aria-label="What the predictions are">
<b>Perceived, not known.</b> A model judges looks alone and is often wrong, for some groups more than for others. Its
answers are not facts, feelings or identities: don't decide about people with them. <b>Nothing is kept:</b> pictures are
analyzed in memory, the copy that an upload needs is deleted within minutes, and nobody is recognized or recorded.
</aside>
"""

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

LIVE_HTML = """
<div class="fm-status"><output>Allow the camera, then press Record.</output></div>
<figure class="fm-plot"><figcaption>Emotions over time <span></span></figcaption>
<svg preserveAspectRatio="none" role="img" aria-label="A line per emotion: the mean of the faces in view"></svg>
<ul aria-label="Emotions seen so far"></ul></figure>
<div class="fm-cards fm-live" tabindex="0" role="region" aria-label="Faces now"></div>
"""


def _page(name: str) -> str:
    """A style sheet or script of the page."""
    return (PAGE / name).read_text(encoding="utf-8")


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
    body_text_color_subdued="*neutral_500",
    body_text_color_subdued_dark="*neutral_400",
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_hover="*primary_600",
    button_primary_background_fill_dark="*primary_700",
    button_primary_background_fill_hover_dark="*primary_600",
    checkbox_label_background_fill_selected="*primary_700",
    checkbox_label_background_fill_selected_dark="*primary_700",
    block_label_text_color="*primary_800",
    block_title_text_color="*primary_800",
    slider_color="*primary_600",
)

LAUNCH: dict[str, Any] = {
    "theme": THEME,
    "css": _page("app.css"),
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
