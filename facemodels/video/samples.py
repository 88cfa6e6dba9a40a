"""The frames of a video that are analyzed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from facemodels.video.cuts import mark_cuts
from facemodels.video.frames import Problem
from facemodels.video.reading import Reader

SAMPLES_AHEAD = 2  # that wait for the models

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sample:
    """A frame to analyze, and the skipped frames before it.

    Attributes:
        index: Number of the frame.
        time: When it appears, in seconds.
        pixels: Of the frame.
        skipped: Number and time of the frames since the sample before.
        is_cut: Whether a new scene begins with it.
        total: Frames in the video, if known.
        end: Of the last sample: when the video ends, in seconds; else None.
        problem: Of the last sample, as in `VideoFrame`.
    """

    index: int
    time: float
    pixels: np.ndarray
    skipped: tuple[tuple[int, float], ...]
    is_cut: bool
    total: int | None
    end: float | None
    problem: Problem | None


def read_samples(reader: Reader, fps: float | None) -> Iterator[Sample]:
    """Read the video and yield the frames to analyze.

    Args:
        reader: Of the video.
        fps: Frames per second to analyze; None for every frame.

    Raises:
        VideoError: If it has no frames.
    """
    skipped: list[tuple[int, float]] = []
    taken = -1
    index = -1
    small = ((item, reader.thumbnail(item[1])) for item in reader.frames())
    for index, (((time, frame), is_cut), is_last) in enumerate(_with_last(mark_cuts(small))):
        # A grid of times, not every n-th frame: frame rates may vary. Half a tick forgives rounded times.
        due = index if fps is None else math.floor(time * fps + 1e-3)
        if due == taken and not is_cut and not is_last:
            skipped.append((index, time))
            continue
        taken = due
        problem, end = (reader.problem, reader.end) if is_last else (None, None)
        total = index + 1 if is_last and problem is None else reader.total and max(reader.total, index + 1)
        yield Sample(index, time, reader.pixels(frame), tuple(skipped), is_cut, total, end, problem)
        skipped.clear()
    if index < 0:
        raise reader.no_frames()


def _with_last(items: Iterable[T]) -> Iterator[tuple[T, bool]]:
    """Each item, and whether it is the last one."""
    held: list[T] = []
    for item in items:
        if held:
            yield held.pop(), False
        held.append(item)
    if held:
        yield held.pop(), True
