"""The image tab, and the endpoints that read images."""

from __future__ import annotations

import functools
import re
import shutil
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from facemodels import annotate
from facemodels.app.analyzers import Analyzer, choose
from facemodels.app.answers import Known, analyze, learn
from facemodels.app.html.image import Second, analysis_html, heat_html
from facemodels.app.html.parts import error_html, no_attribute_html
from facemodels.app.memory import ImageMemory
from facemodels.app.progress import stopping_error
from facemodels.app.requests import (
    MAX_IMAGES,
    check_attributes,
    check_max_faces,
    check_number,
    file_name,
    reading_upload,
    shorten,
)
from facemodels.app.uploads import save_image, upload_folder
from facemodels.app.words import words_in
from facemodels.attributes import ATTRIBUTES, HEADLINE, ON_REQUEST
from facemodels.errors import ArgumentError, FaceModelsError
from facemodels.explain import occlusion_map, view
from facemodels.images import SizedImage
from facemodels.privacy import anonymize, thorough
from facemodels.types import Analysis
from facemodels.values import Classification

LOWEST_SCORE = 0.3  # lowest score threshold that the page offers
HEAT_SIDE = 320  # pixels of an explained face


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
                raise stopping_error()
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
    layers: Any = (),
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
        layers: What is drawn over the image: those of `ON_REQUEST` are answered as well.
    """
    say = words_in(language)
    if image is None:
        return None, None
    if attributes == []:
        return no_attribute_html(say), shown
    try:
        chosen = choose(analyzer, models, detector, min_score)
        limit, wanted = check_max_faces(max_faces), check_attributes(attributes, tuple(analyzer.models))
        beside = _second(analyzer, second, wanted)
        on_request = tuple(name for name in analyzer.models if name in ON_REQUEST)
        wanted += tuple(name for name in on_request if name in (layers if isinstance(layers, list) else ()))
        with reading_upload(image, memory) as read:
            known = learn(None if shown is None else shown.known, chosen, image["path"], read, wanted, limit, beside)
            answering = {name: chosen.models[name] for name in chosen.models if name in wanted}
            analysis = known.select(chosen.min_score, limit, answering)
            other = None
            if beside is not None:
                key = (beside[1], beside[0].models[beside[1]])
                other = Second(*key, known.second(key, chosen.min_score, limit))
            page = analysis_html(
                analysis,
                read.pixels,
                file_name(image),
                say,
                second=other,
                harder=chosen.min_score > LOWEST_SCORE,
                on_request=on_request,
                embedded=not _is_shown_by_browsers(Path(image["path"])),
            )
    except FaceModelsError as error:
        return error_html(error, say), None
    return page, Shown(known, analysis)


# What the files that every browser shows begin with: JPEG, PNG, GIF, WebP, BMP, AVIF.
_SHOWN_BY_BROWSERS = re.compile(rb"\xff\xd8\xff|\x89PNG|GIF8|RIFF....WEBP|BM|....ftypavi[fs]", re.DOTALL)


def _is_shown_by_browsers(path: Path) -> bool:
    with path.open("rb") as file:
        return _SHOWN_BY_BROWSERS.match(file.read(16)) is not None


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
    return str(shutil.copy(str(check_number("example", examples, number)), upload_folder("example-")))


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
        value = face.values.get(attribute) if isinstance(attribute, str) and attribute in ATTRIBUTES else None
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


def decode_upload(image: Any, memory: ImageMemory | None = None) -> str:
    """An image that no browser shows, as a PNG of its full size: the page draws on it, in the visitor's language."""
    with reading_upload(image, memory) as read:
        return save_image(read.pixels, Path(file_name(image)).stem)


def anonymize_upload(
    analyzer: Analyzer, image: Any, analysis: Analysis | None, memory: ImageMemory | None = None
) -> str | None:
    """A copy with every face hidden, without metadata, for download: JPEG of a JPEG file, else PNG."""
    if analysis is None:
        return None
    name = Path(file_name(image))
    suffix = ".jpg" if name.suffix.lower() in (".jpg", ".jpeg") else ".png"
    with reading_upload(image, memory) as read:
        hidden = anonymize(read.pixels, [*_fitted(analysis, read), *thorough(analyzer).detect(read.decoded)])
        del read  # one copy at a time
        return save_image(hidden, name.stem, f"-anonymized{suffix}")
