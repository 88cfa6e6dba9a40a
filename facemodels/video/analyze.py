"""Analyze videos: track faces over time, and write an annotated copy.

Frames are read ahead in a thread, the models run in the caller's thread, and the copy is drawn and encoded in another
thread a little behind. Memory does not grow with the length of a video: frames that wait for the next analyzed one, to
interpolate boxes, are kept without their pixels.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from facemodels.drawing import ENGLISH, Lettering, annotate
from facemodels.errors import ArgumentError
from facemodels.types import Face
from facemodels.video.frames import ImageAnalyzer, VideoFrame
from facemodels.video.reading import Reader, check_source
from facemodels.video.samples import SAMPLES_AHEAD, Sample, read_samples
from facemodels.video.threads import Ahead
from facemodels.video.timeline import Timeline
from facemodels.video.tracking import FaceTracker
from facemodels.video.writing import check_max_side, check_mp4, check_target, write_copy, write_table

SCORE_HALF_LIFE = 0.55  # seconds after which the tracker has half forgotten a score, at any sampling rate
MAX_ABSENCE = 2.0  # seconds that a face may be absent and still keep its id

Preview = Callable[[VideoFrame, np.ndarray], None]


def analyze_video(
    source: str | os.PathLike[str],
    analyzer: ImageAnalyzer,
    *,
    fps: float | None = 5.0,
    annotated: str | os.PathLike[str] | None = None,
    csv: str | os.PathLike[str] | None = None,
    timeline: Timeline | None = None,
    tracker: FaceTracker | None = None,
    max_side: int | None = None,
    overwrite: bool = False,
    preview: Preview | None = None,
    lettering: Lettering = ENGLISH,
) -> Generator[VideoFrame, None, None]:
    """Analyze a video frame by frame.

    The work is done while the result is iterated. To cancel, leave the loop and call ``close()`` on the result
    (``contextlib.closing`` does): no output files appear then. They are written under temporary names beside their
    final ones, and renamed when they are complete.

    Args:
        source: Path of the video: MP4, MOV, WebM, MKV, AVI, animated GIF and more, whatever its name. Frames are
            analyzed as a player shows them: rotated and mirrored, with HDR and wide-gamut colours converted.
        analyzer: A `FaceAnalyzer`. It is called in the thread that iterates.
        fps: Frames per second to analyze; None for every frame. Faces are interpolated in between. The first frame
            after a cut is always analyzed, and so is the last frame.
        annotated: Write a copy with the faces drawn, as an ``.mp4`` that browsers play (H.264), with the same frames
            at the same times, the sound, and the same length.
        csv: Write a table with a row per face and frame, with the columns `VIDEO_COLUMNS`; times in seconds, boxes in
            pixels, `analyzed` 1 or 0 (see `VideoFrame.analyzed`).
        timeline: Records who was seen when, with which emotion, for totals and a plot.
        tracker: The tracker; by default one that suits `fps`. A cut ends all its tracks.
        max_side: Longest side of the annotated copy in pixels; larger videos are shrunk. None keeps their size.
        overwrite: Replace files that exist at `annotated` and `csv`. The video itself is never replaced.
        preview: Called with each analyzed frame and its pixels, ``(H, W, 3)`` RGB uint8, before the frame is yielded,
            to show progress.
        lettering: Of the captions in the annotated copy.

    Returns:
        A generator over all frames. If the video is incomplete, the last one says so in `VideoFrame.problem`: what
        could be read is kept. A frame without faces has an empty analysis; that is not an error.

    Raises:
        ArgumentError: If an argument has a wrong value, a file to write is the video itself, or one exists and
            `overwrite` is not set.
        VideoError: If the source is not a video, has no frames, or a file cannot be written; on the call or while
            iterating.

    Example:
        >>> from facemodels import FaceAnalyzer
        >>> for frame in analyze_video("party.mp4", FaceAnalyzer(), annotated="drawn.mp4"):      # doctest: +SKIP
        ...     print(f"{frame.index + 1} of {frame.total or '?'}: {len(frame.analysis)} faces")
    """
    path = check_source(source)
    if fps is not None and (isinstance(fps, bool) or not isinstance(fps, (int, float)) or not 0 < fps < math.inf):
        raise ArgumentError(f"fps must be a number above 0, or None for every frame; got {fps!r}")
    check_max_side(max_side)
    targets = {
        name: check_target(name, Path(target), path, overwrite)
        for name, target in {"annotated": annotated, "csv": csv}.items()
        if target is not None
    }
    if "annotated" in targets:
        check_mp4("annotated", targets["annotated"])
    if len(set(targets.values())) < len(targets):
        raise ArgumentError(f"annotated and csv are the same file: {targets['csv']}")
    reader = Reader(path)
    if tracker is None:
        updates = min(rate for rate in (fps, reader.rate, 30.0) if rate)
        max_age = max(1, round(MAX_ABSENCE * updates))
        tracker = FaceTracker(max_age=max_age, smoothing=0.5 ** (1 / updates / SCORE_HALF_LIFE))
    run = _Run(analyzer, tracker, timeline, preview)
    return _frames(reader, run, fps, targets, max_side, overwrite, functools.partial(annotate, lettering=lettering))


def _frames(
    reader: Reader,
    run: _Run,
    fps: float | None,
    targets: dict[str, Path],
    max_side: int | None,
    overwrite: bool,
    draw: Callable[[np.ndarray, tuple[Face, ...]], np.ndarray],
) -> Generator[VideoFrame, None, None]:
    with ExitStack() as stack:
        stack.enter_context(reader)
        writers: list[Callable[[VideoFrame], None]] = []
        if "csv" in targets:
            writers.append(stack.enter_context(write_table(targets["csv"], overwrite=overwrite)))
        if "annotated" in targets:
            target = targets["annotated"]
            copy = write_copy(reader.path, target, max_side=max_side, overwrite=overwrite, draw=draw)
            writers.append(stack.enter_context(copy))
        samples = stack.enter_context(Ahead(read_samples(reader, fps), SAMPLES_AHEAD))
        for frame in run.frames(samples):
            for write in writers:
                write(frame)
            yield frame


@dataclass(frozen=True, slots=True)
class _Run:
    """The models at work on the samples of one video."""

    analyzer: ImageAnalyzer
    tracker: FaceTracker
    timeline: Timeline | None
    preview: Preview | None

    def frames(self, samples: Iterable[Sample]) -> Iterator[VideoFrame]:
        """All frames in order; those between two samples are yielded when the second is known."""
        before: VideoFrame | None = None
        for sample in samples:
            if sample.is_cut:
                self.tracker.cut()
            analysis = self.tracker.update(self.analyzer.analyze(sample.pixels))
            now = VideoFrame(sample.index, sample.time, analysis, True, sample.total, sample.problem)
            if self.timeline is not None:
                self.timeline.add(sample.time, analysis, sample.pixels)
                if sample.end is not None:
                    self.timeline.finish(sample.end)
            if self.preview is not None:
                self.preview(now, sample.pixels)
            if before is not None:
                for index, time in sample.skipped:
                    yield _between(before, None if sample.is_cut else now, index, time)
            yield now
            before = now


def _between(before: VideoFrame, after: VideoFrame | None, index: int, time: float) -> VideoFrame:
    """A frame that was not analyzed: interpolated boxes, with the values of the analyzed frame before it.

    Args:
        before: The analyzed frame before it.
        after: The one after it; None if that is another scene.
        index: Its number.
        time: Its time.
    """
    faces: list[Face] = list(before.analysis)
    if after is not None:
        fraction = (time - before.time) / max(after.time - before.time, 1e-9)
        later = {face.track_id: face for face in after.analysis}
        # A face in only one of the two frames is shown in the half that is nearer to it.
        faces = [
            face.interpolate(later[face.track_id], fraction) if face.track_id in later else face
            for face in faces
            if face.track_id in later or fraction < 0.5
        ]
        known = {face.track_id for face in before.analysis}
        faces += [face for id_, face in later.items() if id_ not in known and fraction >= 0.5]
    total = before.total and max(before.total, index + 1)
    return VideoFrame(index, time, replace(before.analysis, faces=tuple(faces)), False, total)
