"""The video tab."""

from __future__ import annotations

import functools
import shutil
import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image

from facemodels import Timeline, analyze_video, annotate, anonymize_video
from facemodels.app.analyzers import Analyzer
from facemodels.app.html.clip import clip_html, preview_html, progress_html
from facemodels.app.html.parts import error_html, message_html, no_attribute_html, picture_url
from facemodels.app.lettering import lettering
from facemodels.app.limits import Limits
from facemodels.app.progress import REPORT_SECONDS
from facemodels.app.requests import (
    check_attributes,
    check_clip,
    check_rate,
    file_name,
    named_as_uploaded,
    too_long,
)
from facemodels.app.uploads import KEEP_SECONDS, touch, upload_folder
from facemodels.app.words import Words, words_in
from facemodels.drawing import Lettering
from facemodels.errors import FaceModelsError
from facemodels.files import fit_name
from facemodels.video.frames import VideoFrame

CLIP_SIDE = 1280  # longest side of the annotated video, in pixels
PREVIEW_SIDE = 640  # of the frames shown while it is analyzed


class _Preview:
    """What is seen of a video while it is analyzed, and what stands for it afterwards.

    Args:
        lettering: Of its captions.

    Attributes:
        poster: The first of the drawn frames with the most faces, as a data URL; None before the first.
    """

    def __init__(self, lettering: Lettering) -> None:
        self.poster: str | None = None
        self._lettering = lettering
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
        faces = frame.analysis.scaled(*image.size).faces
        drawn = picture_url(annotate(np.asarray(image), faces, self._lettering))
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
        yield None, no_attribute_html(say), None, None
        return
    yield None, progress_html(0, None, None, say), None, None
    folder: Path | None = None
    try:
        fps, wanted = check_rate(rate), check_attributes(attributes, tuple(analyzer.models))
        path = check_clip(clip, limits)
        folder = upload_folder("clip-")
        drawn, table, timeline = folder / f"{path.stem}-faces.mp4", folder / f"{path.stem}.csv", Timeline()
        start = told = time.monotonic()
        analyzed, frame, preview = 0, None, _Preview(lettering(say))
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
                lettering=lettering(say),
            )
        ) as frames:
            for frame in frames:
                analyzed += frame.analyzed
                if frame.time > limits.clip_seconds:  # one that did not say how long it is
                    raise too_long(path, limits)
                now = time.monotonic()
                if now - told >= REPORT_SECONDS:
                    told = now
                    touch(path)  # nobody deletes the clip while it is being analyzed, nor what comes of it
                    touch(folder)
                    told_so = _progress(frame, now - start, say)
                    yield None, told_so, None, preview_html(preview.draw(), say)
        count, problem = (frame.index + 1, frame.problem) if frame else (0, None)
        name, minutes = file_name(clip), KEEP_SECONDS // 60
        answer = clip_html(timeline, count, analyzed, name, problem, minutes, preview.poster, say)
        folder = None  # from here on its files are deleted by their age
        yield str(drawn), answer, str(table), None
    except FaceModelsError as error:
        yield None, error_html(named_as_uploaded(error, clip), say), None, None
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def anonymize_clip(
    analyzer: Analyzer, limits: Limits, clip: Any, language: Any = "en"
) -> Generator[tuple[str | None, str], None, None]:
    """A copy of a video with every face hidden: at last its file, and always a text, such as how far the work is.

    A refusal becomes a message. Closed before the end, it leaves no file behind.
    """
    say = words_in(language)
    yield None, progress_html(0, None, None, say)
    folder: Path | None = None
    try:
        path = check_clip(clip, limits)
        folder = upload_folder("clip-")
        target = folder / fit_name(path.stem, "-anonymized.mp4")
        start = told = time.monotonic()
        with closing(anonymize_video(path, target, analyzer, max_side=CLIP_SIDE)) as frames:
            for frame in frames:
                if frame.time > limits.clip_seconds:
                    raise too_long(path, limits)
                now = time.monotonic()
                if now - told >= REPORT_SECONDS:
                    told = now
                    touch(path)
                    touch(folder)
                    yield None, _progress(frame, now - start, say)
        folder = None  # from here on it is deleted by its age
        yield str(target), message_html(say("anonymized"), say("clip_hidden"))
    except FaceModelsError as error:
        yield None, error_html(named_as_uploaded(error, clip), say)
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _progress(frame: VideoFrame, seconds: float, say: Words) -> str:
    """How far the work is after so many seconds."""
    done = frame.index + 1
    left = seconds / done * (frame.total - done) if frame.total and seconds > 2 else None
    return progress_html(done, frame.total, left, say)
