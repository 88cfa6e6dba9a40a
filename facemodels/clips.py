"""The command line's answers about clips: text, CSV or JSON, each written while the clip is being read."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from facemodels.attributes import face_texts
from facemodels.errors import VideoError
from facemodels.files import OutputFolder, write_errors, written_whole
from facemodels.video.analyze import analyze_video
from facemodels.video.frames import VIDEO_COLUMNS, ImageAnalyzer, VideoFrame
from facemodels.video.person import Person
from facemodels.video.plot import clock
from facemodels.video.timeline import Timeline

CSV_COLUMNS = ("source", *VIDEO_COLUMNS, "error")


class Clip:
    """One clip on its way through the analyzer. Iterating does the work; a clip that fails says why in `error`.

    Attributes:
        source: Its path.
        timeline: Who was seen.
        frames: How many frames have passed.
        analyzed: How many of them the models saw.
        last: The last frame so far.
        error: When the frames have passed: why there are none, or fewer than there should be.
    """

    def __init__(self, source: str, analyzer: ImageAnalyzer, options: dict[str, Any]) -> None:
        self.source = source
        self.timeline = Timeline()
        self.frames = self.analyzed = 0
        self.last: VideoFrame | None = None
        self.error: str | None = None
        self._analyzer = analyzer
        self._options = options

    def __iter__(self) -> Iterator[VideoFrame]:
        from tqdm import tqdm

        try:
            work = analyze_video(self.source, self._analyzer, timeline=self.timeline, **self._options)
            # Closed whatever happens, so that a clip that was interrupted leaves no half file.
            with closing(work), tqdm(unit="frame", file=sys.stderr, disable=not sys.stderr.isatty()) as bar:
                for frame in work:
                    self.last = frame
                    self.frames += 1
                    self.analyzed += frame.analyzed
                    bar.total = frame.total
                    bar.update()
                    yield frame
            self.error = self.last.problem if self.last else None
        except VideoError as error:
            self.error = str(error)


def write_clips(
    form: str,
    clips: Sequence[str],
    analyzer: ImageAnalyzer,
    fps: float | None,
    annotated: OutputFolder | None = None,
    plotted: OutputFolder | None = None,
) -> Iterator[str]:
    """Analyze clips and write what was found to standard output.

    Args:
        form: ``text``, ``csv`` or ``json``.
        clips: Their paths.
        analyzer: Answers.
        fps: As for `analyze_video`.
        annotated: The folder for drawn copies, if they are wanted.
        plotted: The folder for plots, SVG, likewise.

    Yields:
        What went wrong, if anything, clip by clip.
    """
    write: Callable[[Clip, bool, bool], None] = {"text": _write_text, "csv": _write_csv, "json": _write_json}[form]
    for place, source in enumerate(clips):
        with ExitStack() as stack:
            part = None
            if annotated is not None:
                target = annotated.claim(source, ".mp4")
                part = stack.enter_context(written_whole(target, overwrite=annotated.overwrite))
            clip = Clip(source, analyzer, {"fps": fps, "annotated": part})
            write(clip, place == 0, place == len(clips) - 1)
        sys.stdout.flush()
        plot = None if plotted is None else plotted.claim(source, ".svg")
        if plot is not None and plotted is not None and clip.last is not None:
            with written_whole(plot, overwrite=plotted.overwrite) as part, write_errors(plot):
                part.write_text(clip.timeline.to_svg(Path(source).name), encoding="utf-8")
        if clip.error is not None:
            yield clip.error if source in clip.error else f"{source}: {clip.error}"


def _write_json(clip: Clip, is_first: bool, is_last: bool) -> None:
    """An object per clip in one array, its frames in an array inside, written as they come."""
    out = sys.stdout
    out.write("[\n" if is_first else "")
    out.write(json.dumps({"source": clip.source}, ensure_ascii=False)[:-1] + ', "frames": [')
    between = "\n"
    for frame in clip:
        out.write(between + json.dumps(frame.to_dict(), ensure_ascii=False))
        between = ",\n"
    seen = clip.last.analysis if clip.last else None
    rest = {
        "width": seen.width if seen else 0,
        "height": seen.height if seen else 0,
        "models": dict(seen.models) if seen else {},
        "error": clip.error,
    }
    out.write("\n], " + json.dumps(rest, ensure_ascii=False)[1:] + ("\n]\n" if is_last else ",\n"))


def _write_csv(clip: Clip, is_first: bool, _last: bool) -> None:
    """A row per face and frame, and one for a clip that failed."""
    writer = csv.DictWriter(sys.stdout, CSV_COLUMNS, lineterminator="\n")
    if is_first:
        writer.writeheader()
    for frame in clip:
        writer.writerows({"source": clip.source, **row} for row in frame.rows())
    if clip.error is not None:
        writer.writerow({"source": clip.source, "error": clip.error})


def _write_text(clip: Clip, _first: bool, _last: bool) -> None:
    """Lines for people: who was in the clip."""
    for _frame in clip:
        pass
    if clip.last is None:
        return
    people = clip.timeline.people
    count = len(people) + clip.timeline.others
    found = f"{count or 'no'} {'face' if count == 1 else 'faces'}"
    sys.stdout.write(
        f"{clip.source}: {found} in {clock(clip.last.time)}, {clip.frames} frames, {clip.analyzed} of them analyzed\n"
    )
    for person in people:
        sys.stdout.write(f"  {describe(person)}\n")
    if clip.timeline.others:
        sys.stdout.write(f"  and {clip.timeline.others} more who were seen for less long\n")


def describe(person: Person) -> str:
    """One line about a person: when it was seen, and what was perceived on average."""
    parts = [f"#{person.track_id} from {clock(person.first)} to {clock(person.last)}"]
    return "  ".join([*parts, *face_texts(person.values)])
