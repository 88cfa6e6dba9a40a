"""What the app does for a request: plain functions of their arguments."""

from __future__ import annotations

import functools
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from gradio.utils import get_upload_folder
from PIL import Image

from facemodels import FaceTracker, Timeline, analyze_video, annotate
from facemodels.app.analyzers import Analyzer, choose
from facemodels.app.answers import Known, analyze, learn
from facemodels.app.html.clip import clip_html, preview_html, progress_html
from facemodels.app.html.image import Second, analysis_html, heat_html
from facemodels.app.html.parts import error_html, error_text, message_html, picture_url
from facemodels.app.html.photos import Photo, photos_html, photos_progress_html, shrink
from facemodels.app.limits import Limits
from facemodels.app.memory import ImageMemory
from facemodels.app.requests import (
    MAX_FACES,
    MAX_IMAGES,
    check_attributes,
    check_clip,
    check_image,
    check_max_faces,
    check_rate,
    file_name,
    hide_path,
    reading_frame,
    reading_upload,
    shorten,
    too_long,
)
from facemodels.app.uploads import KEEP_SECONDS, touch
from facemodels.app.words import Words, words_in
from facemodels.attributes import ATTRIBUTES, HEADLINE, Classification
from facemodels.errors import ArgumentError, FaceModelsError
from facemodels.explain import occlusion_map, view
from facemodels.hub.registry import WEIGHTS, ModelSpec
from facemodels.images import SizedImage
from facemodels.privacy import MIN_SCORE, anonymize
from facemodels.types import Analysis
from facemodels.video.frames import VideoFrame

CLIP_SIDE = 1280  # longest side of the annotated video, in pixels
PREVIEW_SIDE = 640  # of what is shown of it meanwhile
LOWEST_SCORE = 0.3  # lowest score threshold that the page offers
HEAT_SIDE = 320  # pixels of an explained face
STOPPING = "the app is being stopped; try again in a moment"
TELL_SECONDS = 0.4  # between two reports of progress


def analyze_upload(
    analyzer: Analyzer, image: Any, max_faces: Any = None, attributes: Any = None, memory: ImageMemory | None = None
) -> tuple[np.ndarray, Analysis]:
    """Check the arguments, read the image and analyze it.

    Args:
        analyzer: Answers the attributes.
        image: The uploaded file.
        max_faces: See `check_max_faces`.
        attributes: See `check_attributes`; models that answer none of them do not run.
        memory: See `reading_upload`.

    Returns:
        The image, ``(H, W, 3)`` RGB uint8, and at most `max_faces` faces with the wanted attributes. A very large image
        (see `read_within`) comes smaller; its faces are in pixels of the original all the same.

    Raises:
        FaceModelsError: If an argument or the image is refused.
    """
    limit, wanted = check_max_faces(max_faces), check_attributes(attributes, tuple(analyzer.models))
    with reading_upload(image, memory) as read:
        return read.pixels, analyze(analyzer, read, limit, wanted)


def annotate_result(
    analyzer: Analyzer, image: Any, max_faces: Any = None, attributes: Any = None, memory: ImageMemory | None = None
) -> str:
    """The file of an annotated image; arguments as for `analyze_upload`."""
    limit, wanted = check_max_faces(max_faces), check_attributes(attributes, tuple(analyzer.models))
    with reading_upload(image, memory) as read:
        drawn = annotate(read.pixels, _fitted(analyze(analyzer, read, limit, wanted), read).faces)
        del read  # one copy at a time
        return save_image(drawn)


def _fitted(analysis: Analysis, read: SizedImage) -> Analysis:
    """An analysis in pixels of what was decoded."""
    return analysis.scaled(*read.pixels.shape[1::-1])


def analyze_uploads(
    analyzer: Analyzer,
    images: Any,
    max_faces: Any,
    attributes: Any,
    memory: ImageMemory | None = None,
    stopping: threading.Event | None = None,
) -> list[Analysis]:
    """`analyze_upload` for several images, one after the other; once `stopping` is set, the rest is refused.

    Returns:
        One analysis per image, in order; one that is refused has no faces and says why in `Analysis.error`.

    Raises:
        ArgumentError: If `images` is no list or too long, or one of the other arguments is refused.
    """
    if not isinstance(images, list) or len(images) > MAX_IMAGES:
        came = f"{len(images)} of them" if isinstance(images, list) else shorten(images)
        raise ArgumentError(f"images must be a list of at most {MAX_IMAGES} uploaded files; got {came}")
    check_max_faces(max_faces)
    wanted = check_attributes(attributes, tuple(analyzer.models))
    models = {name: model for name, model in analyzer.models.items() if name in wanted}
    analyses = []
    for image in images:
        try:
            if stopping is not None and stopping.is_set():
                raise FaceModelsError(STOPPING)
            analyses.append(analyze_upload(analyzer, image, max_faces, attributes, memory)[1])
        except FaceModelsError as error:
            analyses.append(Analysis((), 0, 0, models, str(error)))
    return analyses


def show_upload(
    analyzer: Analyzer,
    image: Any,
    max_faces: Any,
    attributes: Any,
    detector: Any,
    min_score: Any,
    models: dict[str, Any],
    language: Any = "en",
    second: Any = "",
    shown: Shown | None = None,
    memory: ImageMemory | None = None,
) -> tuple[str | None, Shown | None]:
    """The image tab: the cards, and what they show; a refusal becomes a message.

    Args:
        analyzer: The app's.
        image: The uploaded file.
        max_faces: See `check_max_faces`.
        attributes: See `check_attributes`.
        detector: Name of one that is offered.
        min_score: Score threshold of the detector.
        models: Attribute to model.
        language: Of the page.
        second: ``attribute=model`` of a second model, whose answer stands beside; empty for none.
        shown: What the page has shown so far: only what is missing there runs.
        memory: See `reading_upload`.
    """
    say = words_in(language)
    if image is None:
        return None, None
    if attributes == []:
        return _no_attribute(say), shown
    try:
        chosen = choose(analyzer, models, detector, min_score)
        limit, wanted = check_max_faces(max_faces), check_attributes(attributes, tuple(analyzer.models))
        beside = _second(analyzer, second, wanted)
        with reading_upload(image, memory) as read:
            known = learn(None if shown is None else shown.known, chosen, image["path"], read, wanted, limit, beside)
            answering = {name: chosen.models[name] for name in chosen.models if name in wanted}
            analysis = known.select(chosen.min_score, limit, answering)
            other = None
            if beside is not None:
                key = (beside[1], beside[0].models[beside[1]])
                other = Second(*key, known.second(key, chosen.min_score, limit))
            page = analysis_html(
                analysis, read.pixels, file_name(image), say, second=other, harder=chosen.min_score > LOWEST_SCORE
            )
    except FaceModelsError as error:
        return error_html(error, say), None
    return page, Shown(known, analysis)


def analyze_photos(
    analyzer: Analyzer,
    images: Any,
    max_faces: Any,
    attributes: Any,
    detector: Any,
    min_score: Any,
    models: dict[str, Any],
    language: Any = "en",
    stop: Stop | None = None,
    memory: ImageMemory | None = None,
) -> Generator[str | None, None, None]:
    """Several photos: how far the work is, again and again; then what was found in those that were done.

    Arguments are those of `show_upload`; `stop` is how the visitor ends the work.
    """
    say = words_in(language)
    if not isinstance(images, list) or not images:
        yield None
        return
    if attributes == []:
        yield _no_attribute(say)
        return
    try:
        if len(images) > MAX_IMAGES:
            raise ArgumentError(say("photos_limit", limit=MAX_IMAGES, count=len(images)))
        chosen = choose(analyzer, models, detector, min_score)
    except FaceModelsError as error:
        yield error_html(error, say)
        return
    photos: list[Photo] = []
    told = 0.0
    for image in images:
        if stop is not None and stop.wanted:
            break
        if time.monotonic() - told >= TELL_SECONDS:
            told = time.monotonic()
            yield photos_progress_html(len(photos), len(images), say)
        try:
            pixels, analysis = analyze_upload(chosen, image, max_faces, attributes, memory)
            photos.append(Photo(file_name(image), analysis, shrink(pixels)))
        except FaceModelsError as error:
            name = file_name(image) if isinstance(image, dict) and "path" in image else ""
            failed = Analysis((), 0, 0, {}, str(error))
            photos.append(Photo(name, failed, refused=error_text(error, say)))
    yield photos_html(photos, len(images), say)


def open_photo(images: Any, number: Any) -> str:
    """The file of one of several photos; `number` counts from 0.

    Raises:
        ArgumentError: If there is no such photo.
    """
    return str(check_image(_numbered("photo", images if isinstance(images, list) else (), number)))


@dataclass(frozen=True)
class Shown:
    """What the image tab shows a visitor, and all that is known of the upload."""

    known: Known
    analysis: Analysis


def _second(analyzer: Analyzer, choice: Any, wanted: Sequence[str]) -> tuple[Analyzer, str] | None:
    """The analyzer with a second model, and the attribute that it answers; None where that is not shown."""
    if not choice:
        return None
    attribute, _, model = choice.partition("=") if isinstance(choice, str) else (choice, "", None)
    other = choose(analyzer, {attribute: model})
    return (other, attribute) if attribute in wanted else None


def take_example(examples: Sequence[Path], number: Any) -> str:
    """A copy of an example among the uploads, as if the visitor had chosen that file; `number` counts from 0.

    Raises:
        ArgumentError: If there is no such example.
    """
    return str(shutil.copy(str(_numbered("example", examples, number)), _upload_folder("example-")))


def _numbered(what: str, some: Sequence[Any], number: Any) -> Any:
    """One of some things, by a number that came from the page."""
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(some):
        raise ArgumentError(f"there is no {what} {shorten(number)} among {len(some)}")
    return some[number]


def _no_attribute(say: Words) -> str:
    """What the page says while nothing is chosen that could be answered."""
    return message_html(say("no_attribute"), say("no_attribute_text"), "warning")


def explain_face(
    analyzer: Analyzer,
    image: Any,
    analysis: Analysis | None,
    number: Any,
    language: Any = "en",
    attribute: Any = HEADLINE,
    memory: ImageMemory | None = None,
) -> dict[str, Any]:
    """Where in one face an answer comes from: for the card with this number.

    Args:
        analyzer: The app's; the model that answered is asked again, with patches of the face covered.
        image: The uploaded file.
        analysis: What the page shows of it.
        number: Of the face, from 1.
        language: Of the answer.
        attribute: To explain.
        memory: See `reading_upload`.

    Returns:
        ``"face"``, the number; ``"attribute"``; ``"page"``, the HTML; ``"when"``, so that no two answers are equal.
    """
    say = words_in(language)
    try:
        count = 0 if analysis is None else len(analysis)
        if analysis is None or not isinstance(number, int) or not 1 <= number <= count:
            raise ArgumentError(f"there is no face {shorten(number)} among the {count} on the page: analyze again")
        face = analysis.faces[number - 1]
        value = face.values.get(attribute) if isinstance(attribute, str) else None
        if value is None:
            raise ArgumentError(f"{shorten(attribute)} cannot be explained: it was not asked for")
        answering = choose(analyzer, {attribute: analysis.models[attribute]})
        with reading_upload(image, memory) as read:
            shown = _fitted(analysis, read).faces[number - 1]
            crop = view(read.pixels, shown, answering.specs[attribute], size=HEAT_SIDE)
        alone = SimpleNamespace(analyze_crops=functools.partial(answering.analyze_crops, attributes=[attribute]))
        label = value.label if isinstance(value, Classification) else None
        answer = heat_html(crop, occlusion_map(alone, crop, label, attribute=attribute), label, say)
    except FaceModelsError as error:
        answer = error_html(error, say)
    return {"face": number, "attribute": attribute, "page": answer, "when": time.time()}


def annotate_upload(image: Any, analysis: Analysis | None, memory: ImageMemory | None = None) -> str | None:
    """The annotated image as a PNG, for download."""
    if analysis is None:
        return None
    with reading_upload(image, memory) as read:
        drawn = annotate(read.pixels, _fitted(analysis, read).faces)
        del read  # one copy at a time
        return save_image(drawn, f"{Path(file_name(image)).stem}-faces.png")


def anonymize_upload(
    analyzer: Analyzer, image: Any, analysis: Analysis | None, memory: ImageMemory | None = None
) -> str | None:
    """A copy with every face hidden, without metadata, for download: JPEG of a JPEG file, else PNG."""
    if analysis is None:
        return None
    # A missed face costs more than a patch too many.
    every = analyzer.using(min_score=min(MIN_SCORE, analyzer.min_score), max_faces=MAX_FACES)
    name = Path(file_name(image))
    suffix = ".jpg" if name.suffix.lower() in (".jpg", ".jpeg") else ".png"
    with reading_upload(image, memory) as read:
        hidden = anonymize(read.pixels, [*_fitted(analysis, read), *every.detect(read.pixels)])
        del read  # one copy at a time
        return save_image(hidden, f"{name.stem}-anonymized{suffix}")


def analyze_frame(
    analyzer: Analyzer,
    tracker: FaceTracker,
    frame: Any,
    memory: ImageMemory | None = None,
    attributes: Any = None,
    sent: Any = None,
) -> dict[str, Any]:
    """The webcam tab: one frame in, the faces with stable ids out.

    Args:
        analyzer: Answers the attributes.
        tracker: This visitor's.
        frame: See `reading_frame`.
        memory: What images in work may take; None for no limit.
        attributes: See `check_attributes`; none at all means boxes alone.
        sent: When the page sent the frame, by its own clock.

    Returns:
        `Analysis.to_dict()`, with boxes as they were detected: the page smooths them, which knows when it draws them;
        ``"ms"``, the time this took; and ``"sent"``. A refused frame comes back with its ``"error"``: an exception
        would end the stream.
    """
    start = time.perf_counter()
    try:
        offered = tuple(analyzer.models)
        shown = () if attributes == [] else check_attributes(attributes, offered)
        with reading_frame(frame, memory) as read:
            seen = analyzer.analyze(read.pixels, attributes=shown or offered[:1])
        analysis = tracker.update(seen)
        # A track remembers what the visitor does not want to see any more.
        hidden = dict.fromkeys(name for name in ATTRIBUTES if name not in shown)
        faces = (face.replace(box=found.box, **hidden) for face, found in zip(analysis.faces, seen.faces, strict=True))
        analysis = replace(analysis, faces=tuple(faces))
    except FaceModelsError as error:
        analysis = Analysis((), 0, 0, {}, str(error))
    return {
        **analysis.to_dict(),
        "ms": round((time.perf_counter() - start) * 1000, 2),
        "sent": sent if isinstance(sent, (int, float)) else None,
    }


class _Preview:
    """What is seen of a video while it is analyzed, and what stands for it afterwards.

    Attributes:
        poster: The first of the drawn frames with the most faces, as a data URL; None before the first.
    """

    def __init__(self) -> None:
        self.poster: str | None = None
        self._faces = -1
        self._latest: tuple[VideoFrame, np.ndarray] | None = None

    def take(self, frame: VideoFrame, pixels: np.ndarray) -> None:
        """Keep the latest analyzed frame; the first is drawn, so that short videos have a poster."""
        self._latest = (frame, pixels)
        if self.poster is None:
            self.draw()

    def draw(self) -> str | None:
        """The latest frame with its faces, as a data URL."""
        if self._latest is None:
            return self.poster
        frame, pixels = self._latest
        image = Image.fromarray(pixels)
        image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
        drawn = picture_url(annotate(np.asarray(image), frame.analysis.scaled(*image.size).faces))
        if len(frame.analysis) > self._faces:
            self._faces, self.poster = len(frame.analysis), drawn
        return drawn


def analyze_clip(
    analyzer: Analyzer, limits: Limits, clip: Any, rate: Any, attributes: Any, language: Any = "en"
) -> Generator[tuple[str | None, str | None, str | None, str | None], None, None]:
    """The video tab, again and again: the annotated video's file, the answer, the table's file, and a preview.

    While it works, the answer says how far the work is, beside the frame that is being analyzed; at last come the files
    and who was in the video. A refusal becomes a message. Closed before the end, it leaves no file behind.
    """
    say = words_in(language)
    if clip is None:
        yield None, None, None, None
        return
    if attributes == []:
        yield None, _no_attribute(say), None, None
        return
    yield None, progress_html(0, None, None, say), None, None
    folder: Path | None = None
    try:
        fps, wanted = check_rate(rate), check_attributes(attributes, tuple(analyzer.models))
        path = check_clip(clip, limits)
        folder = Path(tempfile.mkdtemp(dir=get_upload_folder(), prefix="clip-"))
        drawn, table, timeline = folder / f"{path.stem}-faces.mp4", folder / f"{path.stem}.csv", Timeline()
        start = told = time.monotonic()
        analyzed, frame, preview = 0, None, _Preview()
        with closing(
            analyze_video(
                path,
                SimpleNamespace(analyze=functools.partial(analyzer.analyze, attributes=wanted)),
                fps=fps,
                annotated=drawn,
                csv=table,
                timeline=timeline,
                max_side=CLIP_SIDE,
                preview=preview.take,
            )
        ) as frames:
            for frame in frames:
                analyzed += frame.analyzed
                if frame.time > limits.clip_seconds:  # one that did not say how long it is
                    raise too_long(path, limits)
                done, now = frame.index + 1, time.monotonic()
                if now - told >= TELL_SECONDS:
                    told = now
                    touch(path)  # nobody deletes the clip while it is being analyzed, nor what comes of it
                    touch(folder)
                    left = (now - start) / done * (frame.total - done) if frame.total and now - start > 2 else None
                    yield None, progress_html(done, frame.total, left, say), None, preview_html(preview.draw(), say)
        count, problem = (frame.index + 1, frame.problem) if frame else (0, None)
        name, minutes = file_name(clip), KEEP_SECONDS // 60
        if problem is not None:
            problem = hide_path(problem, clip)
        answer = clip_html(timeline, count, analyzed, name, problem, minutes, preview.poster, say)
        folder = None  # from here on its files are deleted by their age
        yield str(drawn), answer, str(table), None
    except FaceModelsError as error:
        yield None, error_html(type(error)(hide_path(str(error), clip)), say), None, None
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


def save_image(pixels: np.ndarray, name: str = "annotated.png") -> str:
    """Write an image among the uploads, under this name in a folder of its own."""
    path = _upload_folder("annotated-") / name
    Image.fromarray(pixels).save(path, compress_level=1, quality=92)  # each is of one format only
    return str(path)


def _upload_folder(prefix: str) -> Path:
    """A new folder among the uploads, which is deleted by its age."""
    folder = Path(get_upload_folder())
    folder.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=folder, prefix=prefix))


def describe(spec: ModelSpec) -> dict[str, Any]:
    """A model as plain data: its ``config.json``, its id, and the attributes it answers."""
    return {"id": spec.id, "attributes": list(spec.attributes), **spec.to_dict()}


def card_text(spec: ModelSpec) -> str:
    """A model's card in Markdown, without its metadata header; empty where there is none."""
    places = (WEIGHTS / spec.name / "README.md", Path(__file__).parents[2] / "model_cards" / f"{spec.name}.md")
    text = next((path.read_text(encoding="utf-8") for path in places if path.is_file()), "")
    if text.startswith("---\n"):
        text = text.partition("\n---\n")[2]
    # Its pictures lie beside it, where the page may fetch them (`launch` allows that folder).
    return re.sub(r"\]\((?=[\w-]+\.png\))", f"](gradio_api/file={(WEIGHTS / spec.name).as_posix()}/", text)
