"""Clips: the faces in a video followed over time, and a copy with them drawn, frame by frame through PyAV.

Nothing grows with the length of a clip. Frames stream through; what waits for the next analyzed frame, so that boxes
can glide to it, is numbers and not pictures: the drawn copy comes from a second reading of the file, a little behind.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from facemodels.errors import ArgumentError
from facemodels.types import Face
from facemodels.video.frames import ImageAnalyzer, VideoFrame
from facemodels.video.reading import Reader, check_source
from facemodels.video.timeline import Timeline
from facemodels.video.tracking import FaceTracker
from facemodels.video.writing import draw_copy, write_table

_MEMORY = 0.55  # seconds after which the tracker has half forgotten a score, at any sampling rate
_AWAY = 2.0  # seconds that a face may be away and still keep its id


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
) -> Generator[VideoFrame, None, None]:
    """Analyze a clip, frame after frame.

    The work is done while the result is iterated. To cancel, leave the loop and call ``close()`` on the result
    (``contextlib.closing`` does): the files asked for then do not appear. They are written beside their final names, as
    ``NAME.part``, and appear whole when the last frame is done.

    Args:
        source: Path of the clip: MP4, MOV, WebM, MKV, AVI, animated GIF and more. Turned clips are analyzed upright.
        analyzer: A `FaceAnalyzer`.
        fps: How many frames per second the models see; None for every frame. Faces are followed over the others.
        annotated: Write a copy with the faces drawn, as an ``.mp4`` that browsers play (H.264), with the same frames
            at the same times and the sound.
        csv: Write a table with a row per face and frame, with the columns `VIDEO_COLUMNS`; times in seconds, boxes in
            pixels, `analyzed` 1 or 0 (see `VideoFrame.analyzed`).
        timeline: Is told what was seen: who, when, with which emotion. For a plot.
        tracker: Follows the faces; by default one that suits `fps`.
        max_side: Longest side of the annotated copy in pixels; larger clips are shrunk. None keeps their size.

    Returns:
        A generator over all frames. The last one says in `VideoFrame.problem` if the clip turned out incomplete: what
        could be read is kept. No face in a frame is an empty analysis, not an error.

    Raises:
        ArgumentError: If an argument has a wrong value, or a file to write is the clip itself.
        VideoError: If the source is no clip, has no video or no frame in it, or a file cannot be written; on the call
            or while iterating.

    Example:
        >>> from facemodels import FaceAnalyzer
        >>> for frame in analyze_video("party.mp4", FaceAnalyzer(), annotated="drawn.mp4"):      # doctest: +SKIP
        ...     print(f"{frame.index + 1} of {frame.total or '?'}: {len(frame.analysis)} faces")
    """
    path = check_source(source)
    if fps is not None and (isinstance(fps, bool) or not isinstance(fps, (int, float)) or not 0 < fps < math.inf):
        raise ArgumentError(f"fps must be a number above 0, or None for every frame; got {fps!r}")
    if max_side is not None and (isinstance(max_side, bool) or not isinstance(max_side, int) or max_side < 16):
        raise ArgumentError(f"max_side must be a whole number from 16 up, or None; got {max_side!r}")
    targets = {"annotated": annotated, "csv": csv}
    paths = {name: _check_target(name, Path(target), path) for name, target in targets.items() if target is not None}
    if "annotated" in paths and paths["annotated"].suffix.lower() != ".mp4":
        raise ArgumentError(f"annotated must be the name of an .mp4 file; got {paths['annotated']}")
    if len(set(paths.values())) < len(paths):
        raise ArgumentError(f"annotated and csv are the same file: {paths['csv']}")
    return _run(Reader(path), analyzer, fps, paths, timeline, tracker, max_side)


def _check_target(name: str, target: Path, source: Path) -> Path:
    target = target.resolve()
    if target == source or (target.exists() and target.samefile(source)):
        raise ArgumentError(f"{name} is the clip itself, {source}: choose another name")
    if not target.parent.is_dir() or target.is_dir():
        missing = "that is a directory" if target.is_dir() else f"there is no directory {target.parent}"
        raise ArgumentError(f"{name} {target} cannot be written: {missing}")
    return target


def _run(
    reader: Reader,
    analyzer: ImageAnalyzer,
    fps: float | None,
    targets: dict[str, Path],
    timeline: Timeline | None,
    tracker: FaceTracker | None,
    max_side: int | None,
) -> Generator[VideoFrame, None, None]:
    with ExitStack() as stack:
        stack.enter_context(reader)
        if tracker is None:
            updates = min(rate for rate in (fps, reader.rate, 30.0) if rate)
            tracker = FaceTracker(max_age=max(1, round(_AWAY * updates)), smoothing=0.5 ** (1 / updates / _MEMORY))
        writers: list[Callable[[VideoFrame], None]] = []
        if "csv" in targets:
            writers.append(stack.enter_context(write_table(targets["csv"])))
        if "annotated" in targets:
            writers.append(stack.enter_context(draw_copy(reader.path, targets["annotated"], max_side)))
        for frame in _followed(reader, analyzer, fps, tracker, timeline):
            for write in writers:
                write(frame)
            yield frame


def _followed(
    reader: Reader, analyzer: ImageAnalyzer, fps: float | None, tracker: FaceTracker, timeline: Timeline | None
) -> Iterator[VideoFrame]:
    """All frames in order; those between two analyzed ones come when the second is known."""
    before: VideoFrame | None = None
    waiting: list[tuple[int, float]] = []
    sample = -1
    for index, (time, picture, is_last) in enumerate(_with_last(reader.frames())):
        # A grid of times, not every n-th frame: frame rates may vary. Half a tick forgives rounded times.
        due = index if fps is None else math.floor(time * fps + 1e-3)
        if due == sample and not is_last:
            waiting.append((index, time))
            continue
        sample = due
        pixels = reader.pixels(picture)
        analysis = tracker.update(analyzer.analyze(pixels))
        if timeline is not None:
            timeline.add(time, analysis, pixels)
        problem = reader.problem if is_last else None
        total = index + 1 if is_last and problem is None else reader.total and max(reader.total, index + 1)
        now = VideoFrame(index, time, analysis, True, total, problem)
        if before is not None:
            yield from (_between(before, now, index, time) for index, time in waiting)
        waiting.clear()
        yield now
        before = now
    if before is None:
        raise reader.no_frames()


def _with_last(frames: Iterable[tuple[float, Any]]) -> Iterator[tuple[float, Any, bool]]:
    """Each item, and whether it is the last one."""
    held: tuple[float, Any] | None = None
    for item in frames:
        if held is not None:
            yield *held, False
        held = item
    if held is not None:
        yield *held, True


def _between(before: VideoFrame, after: VideoFrame, index: int, time: float) -> VideoFrame:
    """A frame that was not analyzed: boxes on their way, and what the earlier analyzed frame says of them."""
    share = (time - before.time) / max(after.time - before.time, 1e-9)
    later = {face.track_id: face for face in after.analysis}
    faces = [_moved(face, later.pop(face.track_id, None), share) for face in before.analysis]
    # Who is in one of the two frames only is shown in the half that is nearer to it.
    faces += [face for face in later.values() if share >= 0.5]
    analysis = replace(before.analysis, faces=tuple(face for face in faces if face is not None))
    return VideoFrame(index, time, analysis, False, before.total)


def _moved(face: Face, later: Face | None, share: float) -> Face | None:
    if later is None:
        return face if share < 0.5 else None
    return face.interpolate(later, share)
