"""Several photos at once."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

from facemodels.app.analyzers import Analyzer, choose
from facemodels.app.handlers.image import analyze_upload
from facemodels.app.html.parts import error_html, error_text, message_html, no_attribute_html
from facemodels.app.html.photos import Photo, photos_html, photos_progress_html, shrink
from facemodels.app.memory import ImageMemory
from facemodels.app.progress import REPORT_SECONDS, Stop
from facemodels.app.requests import (
    MAX_IMAGES,
    check_image,
    check_number,
    file_name,
)
from facemodels.app.words import words_in
from facemodels.errors import FaceModelsError
from facemodels.types import Analysis


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
        yield no_attribute_html(say)
        return
    if len(images) > MAX_IMAGES:
        yield message_html(say("failed"), say("photos_limit", limit=MAX_IMAGES, count=len(images)), "error")
        return
    try:
        chosen = choose(analyzer, models, detector, min_score)
    except FaceModelsError as error:
        yield error_html(error, say)
        return
    photos: list[Photo] = []
    told = 0.0
    for image in images:
        if stop is not None and stop.wanted:
            break
        if time.monotonic() - told >= REPORT_SECONDS:
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
    return str(check_image(check_number("photo", images if isinstance(images, list) else (), number)))
