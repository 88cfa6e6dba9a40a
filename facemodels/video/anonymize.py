"""A copy of a video in which every face is hidden.

Faces are detected in every frame, at a low score threshold. A face that is missed for a while between two sightings
stays hidden between them, and every face also shortly before its first and after its last sighting. Frames that wait
until that is known are kept without their pixels: the copy is made in a second pass over the video.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from facemodels.privacy import FaceFinder, anonymize, check_how, thorough
from facemodels.types import Analysis, Box, Face
from facemodels.video.frames import VideoFrame
from facemodels.video.reading import Reader, check_source
from facemodels.video.samples import SAMPLES_AHEAD, Sample, read_samples
from facemodels.video.threads import Ahead
from facemodels.video.tracking import FaceTracker
from facemodels.video.writing import check_max_side, check_mp4, check_target, write_copy

BRIDGED = 2.0  # seconds between two sightings of a face within which it stays hidden
HELD = 0.5  # seconds before the first sighting of a face, and after the last one, in which it is hidden too
GROWTH = 1.5  # by how much a box grows per second away from the nearest sighting: the face may have moved otherwise
LARGEST = 2.0  # most of that, as a factor


def anonymize_video(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    analyzer: FaceFinder,
    *,
    how: str = "blur",
    sound: bool = True,
    max_side: int | None = None,
    overwrite: bool = False,
) -> Generator[VideoFrame, None, None]:
    """Write a copy of a video in which every face is hidden.

    The work is done while the result is iterated, for progress; leave the loop and call ``close()`` on the result to
    cancel. The copy is written under a temporary name beside its own, and renamed when it is complete. It has the same
    frames at the same times and the same length. It carries no metadata, subtitles or further streams: nothing but the
    frames, encoded anew, and the sound. The sound is not changed, so voices can still be recognized; `sound` drops it.

    Faces are detected in every frame, at a low score threshold; no other model runs. A face that the detector misses
    between two sightings stays hidden on the way between them, for up to BRIDGED seconds, and every face is hidden HELD
    seconds before it is first seen and after it is last seen, within its scene. A face that is never found stays
    visible: check the copy where that matters.

    Args:
        source: Path of the video, as for `analyze_video`.
        target: Name of the copy, an ``.mp4`` that browsers play (H.264).
        analyzer: A `FaceAnalyzer`; its detector finds the faces, at a lower threshold than its own.
        how: As for `anonymize`: ``blur``, ``pixelate`` or ``fill``.
        sound: Whether the copy has the sound of the video.
        max_side: Longest side of the copy in pixels; larger videos are shrunk. None keeps their size.
        overwrite: Replace a file that exists at `target`. The video itself is never replaced.

    Returns:
        A generator over all frames, with the faces that are hidden in each, and without attributes. If the video
        is incomplete, the last one says so in `VideoFrame.problem`: what could be read is kept.

    Raises:
        ArgumentError: If an argument has a wrong value, the target is the video itself, or it exists and `overwrite` is
            not set.
        VideoError: If the source is not a video, has no frames, or the copy cannot be written; on the call or while
            iterating.

    Example:
        >>> from facemodels import FaceAnalyzer
        >>> for frame in anonymize_video("party.mp4", "hidden.mp4", FaceAnalyzer()):      # doctest: +SKIP
        ...     print(f"{frame.index + 1} of {frame.total or '?'}")
    """
    path = check_source(source)
    check_how(how)
    check_max_side(max_side)
    copy = check_target("target", Path(target), path, overwrite)
    check_mp4("target", copy)
    reader = Reader(path)

    def frames() -> Generator[VideoFrame, None, None]:
        with ExitStack() as stack:
            stack.enter_context(reader)
            hide = partial(anonymize, how=how)
            write = stack.enter_context(
                write_copy(path, copy, max_side=max_side, overwrite=overwrite, draw=hide, sound=sound)
            )
            samples = stack.enter_context(Ahead(read_samples(reader, None), SAMPLES_AHEAD))
            for frame in hidden_frames(samples, thorough(analyzer), reader.rate or 30.0):
                write(frame)
                yield frame

    return frames()


@dataclass(frozen=True, slots=True)
class _Seen:
    """A frame with its detections.

    Attributes:
        frame: With its detected faces.
        scene: Number of its scene.
        faces: By the id of their track.
    """

    frame: VideoFrame
    scene: int
    faces: Mapping[int | None, Face]


def hidden_frames(samples: Iterable[Sample], finder: FaceFinder, rate: float = 30.0) -> Iterator[VideoFrame]:
    """All frames in order, with the faces to hide; each comes when the BRIDGED seconds after it are known.

    Args:
        samples: Every frame of a video.
        finder: Finds the faces.
        rate: Frames per second.
    """
    tracker = FaceTracker(max_age=max(1, round(BRIDGED * rate)), smoothing=0.0)
    waiting: deque[_Seen] = deque()
    before: dict[int | None, _Seen] = {}  # a face's last sighting in the frames that were yielded
    scene = 0
    for sample in samples:
        if sample.is_cut:
            tracker.cut()
            scene += 1
        height, width = sample.pixels.shape[:2]
        found = tracker.update(Analysis(tuple(finder.detect(sample.pixels)), width, height, {}))
        frame = VideoFrame(sample.index, sample.time, found, True, sample.total, sample.problem)
        waiting.append(_Seen(frame, scene, {face.track_id: face for face in found}))
        while sample.time - waiting[0].frame.time >= BRIDGED:
            yield _next(waiting, before)
    while waiting:
        yield _next(waiting, before)


def _next(waiting: deque[_Seen], before: dict[int | None, _Seen]) -> VideoFrame:
    """The first of the waiting frames, with the faces to hide in it."""
    now = waiting.popleft()
    before.update(dict.fromkeys(now.faces, now))
    for id_ in [id_ for id_, seen in before.items() if now.frame.time - seen.frame.time > BRIDGED]:
        del before[id_]
    after: dict[int | None, _Seen] = {}
    for seen in waiting:
        for id_ in seen.faces:
            after.setdefault(id_, seen)
    faces = [_cover(id_, now, before.get(id_), after.get(id_)) for id_ in dict.fromkeys((*before, *after))]
    return replace(now.frame, analysis=replace(now.frame.analysis, faces=tuple(face for face in faces if face)))


def _cover(id_: int | None, now: _Seen, before: _Seen | None, after: _Seen | None) -> Face | None:
    """The face to hide in a frame for one that was last seen in, or before, it and is next seen after it."""
    if before is now:
        return now.faces[id_]
    time = now.frame.time
    if before is not None and after is not None:
        past, ahead = time - before.frame.time, after.frame.time - time
        if past + ahead <= BRIDGED:
            between = before.faces[id_].interpolate(after.faces[id_], past / (past + ahead))
            return _enlarged(between, min(past, ahead))
    for seen in (before, after):
        if seen is not None and seen.scene == now.scene and (away := abs(seen.frame.time - time)) <= HELD:
            return _enlarged(seen.faces[id_], away)
    return None


def _enlarged(face: Face, away: float) -> Face:
    """A face that was not seen for some seconds, with the box in which it may be."""
    box = face.box
    more = (min(1 + GROWTH * away, LARGEST) - 1) / 2
    x, y = box.width * more, box.height * more
    return face.replace(box=Box(box.x1 - x, box.y1 - y, box.x2 + x, box.y2 + y))
