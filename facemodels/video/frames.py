"""One frame of a video with its faces, and its rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from facemodels.results import FRAME_COLUMNS
from facemodels.types import ROW_COLUMNS, Analysis

VIDEO_COLUMNS = (*FRAME_COLUMNS, *ROW_COLUMNS)


class ImageAnalyzer(Protocol):
    """Analyzes one frame: a `FaceAnalyzer`, or anything with its `analyze` method."""

    def analyze(self, image: Any, /) -> Analysis:
        """See `FaceAnalyzer.analyze`."""
        ...


PROBLEMS = ("cut", "end", "damaged", "unreadable", "colours")


class Problem(str):
    """Why a video is incomplete, damaged or not in its natural colours.

    Attributes:
        code: One of `PROBLEMS`, for translations: ``cut`` (it ends after `last` of `seconds`), ``end`` (it is missing),
            ``damaged`` (`count` pieces were skipped), ``unreadable`` (from there on) or ``colours``.
        values: What the sentence holds, for translations.
    """

    code: str
    values: dict[str, Any]

    def __new__(cls, text: str, code: str = "", **values: Any) -> Problem:
        """The sentence itself is the text. What is pickled comes back by it, and then by its attributes."""
        problem = super().__new__(cls, text)
        problem.code, problem.values = code, values
        return problem


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """One frame of a video, and the faces in it.

    Attributes:
        index: Its number, from 0.
        time: When it appears, in seconds of a player's clock: 0 for the first frame, unless the sound begins before it.
        analysis: The faces with their `track_id`; boxes in pixels of the upright frame.
        analyzed: Whether this frame was analyzed; else its faces are interpolated from the analyzed frames around it.
        total: Number of visible frames, at least `index` + 1, for progress. None if unknown.
        problem: On the last frame: why the video is incomplete, damaged or not in its natural colours; else None.
    """

    index: int
    time: float
    analysis: Analysis
    analyzed: bool
    total: int | None = None
    problem: Problem | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: the number, the time, and the faces as `Face.to_dict` gives them."""
        faces = [face.to_dict() for face in self.analysis]
        return {"frame": self.index, "time": round(self.time, 4), "analyzed": self.analyzed, "faces": faces}

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row per face for a table with the columns `VIDEO_COLUMNS`."""
        columns = {"frame": self.index, "time": round(self.time, 4), "analyzed": int(self.analyzed)}
        for face in self.analysis:
            yield {**columns, "track_id": face.track_id, **face.to_row()}
