"""`facemodels analyze`: photos and videos, to standard output, with annotated copies and plots."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facemodels.attributes import face_texts
from facemodels.cli.command import Command
from facemodels.cli.console import FAILED, OK, complain, is_terminal, progress
from facemodels.cli.options import add_analyzer_options, make_analyzer, parse_fps
from facemodels.errors import ArgumentError, ImageError, VideoError
from facemodels.files import OutputFolder, write_errors, written_whole
from facemodels.results import SINKS, Sink, printable
from facemodels.sources import Sources
from facemodels.types import Analysis

if TYPE_CHECKING:
    from facemodels.analyzer import FaceAnalyzer
    from facemodels.video.frames import VideoFrame


_SUFFIXES = {  # of outputs, by `is_video`
    "annotate": {False: ".jpg", True: ".mp4"},
    "anonymize": {False: ".jpg", True: ".mp4"},
    "timeline": {True: ".svg"},
}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="photo, video, folder, glob pattern, or - for a photo on standard input",
    )
    form = parser.add_mutually_exclusive_group()
    for name, sink in SINKS.items():
        if name != "text":
            form.add_argument(f"--{name}", dest="form", action="store_const", const=name, help=sink.help)
    parser.set_defaults(form="text")
    parser.add_argument("--annotate", type=Path, metavar="DIR", help="also write annotated copies into this folder")
    parser.add_argument(
        "--anonymize",
        type=Path,
        metavar="DIR",
        help="also write copies with blurred faces and no metadata into this folder; videos keep their sound",
    )
    parser.add_argument(
        "--timeline", type=Path, metavar="DIR", help="also write a plot of each video's emotions (SVG) into this folder"
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="let --annotate, --anonymize and --timeline replace files from an earlier run (never a source)",
    )
    parser.add_argument(
        "--fps",
        type=parse_fps,
        metavar="N|all",
        help="frames per second of a video to analyze (default: 5); with it a GIF is a video, without it a photo",
    )
    add_analyzer_options(parser)


def _run(options: argparse.Namespace) -> int:
    outputs = {
        name: OutputFolder(f"--{name}", folder, overwrite=options.overwrite)
        for name in _SUFFIXES
        if (folder := getattr(options, name)) is not None
    }
    sources = Sources(options.files, animations=options.fps is not None, outputs=outputs.values())
    _check_options(options, sources)
    for name, output in outputs.items():
        output.check(
            (source.path, _SUFFIXES[name][source.is_video]) for source in sources if source.is_video in _SUFFIXES[name]
        )
    analyzer = make_analyzer(options)
    for output in outputs.values():
        output.create()
    images, videos = sources.kinds() if options.form == "csv" else (True, True)
    with SINKS[options.form](sys.stdout, images=images or not videos, videos=videos) as sink:
        failed = _write(sources, analyzer, sink, outputs, options)
    for problem in sources.problems:
        complain(problem)
    if left_out := sources.left_out_text():
        complain(f"left out: {left_out}")
    if hint := sources.left_out_hint():
        complain(hint)
    return FAILED if failed or sources.problems else OK


def _check_options(options: argparse.Namespace, sources: Sources) -> None:
    """Refuse options that need a video where only photos were named, and copies that would have the same names."""
    copies = [folder for folder in (options.annotate, options.anonymize) if folder is not None]
    if len({folder.resolve() for folder in copies}) < len(copies):
        raise ArgumentError(f"--annotate and --anonymize are the same folder, {copies[0]}; give each its own")
    if (options.fps is not None or options.timeline is not None) and sources.are_files and not sources.kinds()[1]:
        raise ArgumentError(f"--fps and --timeline are for videos, and {options.files[0]} is not a video")


def _write(
    sources: Sources,
    analyzer: FaceAnalyzer,
    sink: Sink,
    outputs: dict[str, OutputFolder],
    options: argparse.Namespace,
) -> int:
    """Analyze the sources one after the other; returns how many failed."""
    failed = 0
    many = len(options.files) > 4 or not sources.are_files
    for source in progress(sources, " files") if many else sources:
        if source.is_video:
            fps = 5.0 if options.fps is None else None if math.isinf(options.fps) else options.fps
            error: str | None = _write_video(source.path, analyzer, fps, sink, outputs)
        else:
            error = _write_image(source.path, analyzer, sink, outputs)
        if error is not None:
            complain(f"{printable(source.path)}: {error}")
            failed += 1
    return failed


def _write_image(path: str, analyzer: FaceAnalyzer, sink: Sink, outputs: dict[str, OutputFolder]) -> str | None:
    """Analyze an image and write the result; returns the reason if it failed."""
    from facemodels.images import read_reduced, read_whole

    targets = {name: (output, output.claim(path, ".jpg")) for name, output in outputs.items() if name in _COPIES}
    read = read_whole if targets else read_reduced  # a copy has the size of the original
    try:
        image = read(sys.stdin.buffer.read() if path == "-" else path)
        analysis = analyzer.analyze(image)
    except ImageError as error:
        analysis = Analysis((), 0, 0, analyzer.models, error.reason)
    else:
        for name, (output, target) in targets.items():
            _write_jpeg(_COPIES[name](image.pixels, analysis, analyzer), target, overwrite=output.overwrite)
    sink.write_image(path, analysis)
    return analysis.error


def _annotated(pixels: Any, analysis: Analysis, analyzer: FaceAnalyzer) -> Any:
    from facemodels.drawing import annotate

    return annotate(pixels, analysis)


def _anonymized(pixels: Any, analysis: Analysis, analyzer: FaceAnalyzer) -> Any:
    """Every face is hidden, including those below the analyzer's thresholds."""
    from facemodels.privacy import anonymize, thorough

    return anonymize(pixels, [*analysis, *thorough(analyzer).detect(pixels)])


_COPIES = {"annotate": _annotated, "anonymize": _anonymized}


def _write_jpeg(pixels: Any, target: Path, *, overwrite: bool) -> None:
    from PIL import Image

    with written_whole(target, overwrite=overwrite) as part, write_errors(target):
        Image.fromarray(pixels).save(part, "jpeg", quality=92)


def _write_video(
    path: str, analyzer: FaceAnalyzer, fps: float | None, sink: Sink, outputs: dict[str, OutputFolder]
) -> str | None:
    """Analyze a video and write the result; returns the reason if it failed or is incomplete."""
    copies = outputs.get("annotate")
    target = copies and copies.claim(path, ".mp4")
    video = _Video(path, analyzer, fps=fps, annotated=target, overwrite=copies is not None and copies.overwrite)
    sink.write_video(path, video)
    if (output := outputs.get("timeline")) and (target := output.claim(path, ".svg")) and video.last is not None:
        with written_whole(target, overwrite=output.overwrite) as part, write_errors(target):
            part.write_text(video.timeline.to_svg(Path(path).name), encoding="utf-8", errors="replace")
    if (output := outputs.get("anonymize")) and (target := output.claim(path, ".mp4")) and video.last is not None:
        try:
            _anonymize_video(path, target, analyzer, overwrite=output.overwrite)
        except VideoError as error:
            return _without_name(str(error), path)
    return video.error


def _anonymize_video(path: str, target: Path, analyzer: FaceAnalyzer, *, overwrite: bool) -> None:
    """Write a copy of a video in which every face is hidden."""
    from tqdm import tqdm

    from facemodels.video.anonymize import anonymize_video

    work = anonymize_video(path, target, analyzer, overwrite=overwrite)
    with closing(work), tqdm(desc="anonymize", unit="frame", file=sys.stderr, disable=not is_terminal()) as bar:
        for frame in work:
            bar.total = frame.total
            bar.update()


class _Video:
    """A video that is being analyzed, for a `Sink`."""

    def __init__(self, path: str, analyzer: FaceAnalyzer, **options: Any) -> None:
        from facemodels.video.timeline import Timeline

        self.timeline = Timeline()
        self.error: str | None = None
        self.last: VideoFrame | None = None
        self._path = path
        self._analyzer = analyzer
        self._options = options
        self._frames = self._analyzed = 0

    def __iter__(self) -> Iterator[VideoFrame]:
        from tqdm import tqdm

        from facemodels.video.analyze import analyze_video

        problem: str | None = None
        try:
            work = analyze_video(self._path, self._analyzer, timeline=self.timeline, **self._options)
            # Closed whatever happens, so that a video that was interrupted leaves no half file.
            with closing(work), tqdm(unit="frame", file=sys.stderr, disable=not is_terminal()) as bar:
                for frame in work:
                    self.last = frame
                    self._frames += 1
                    self._analyzed += frame.analyzed
                    bar.total = frame.total
                    bar.update()
                    yield frame
            problem = self.last.problem if self.last else None
        except VideoError as error:
            problem = str(error)
        self.error = problem and _without_name(problem, self._path)

    def facts(self) -> dict[str, Any]:
        """See `VideoAnswer.facts`."""
        seen = self.last.analysis if self.last else None
        return {
            "width": seen.width if seen else 0,
            "height": seen.height if seen else 0,
            "models": dict(seen.models) if seen else {},
        }

    def lines(self) -> Iterator[str]:
        """See `VideoAnswer.lines`."""
        from facemodels.video.plot import clock

        if self.last is None:
            return
        people, others = self.timeline.people, self.timeline.others
        count = len(people) + others
        found = f"{count or 'no'} {'person' if count == 1 else 'people'}"
        yield f"{found} in {clock(self.timeline.seconds)}, {self._frames} frames, {self._analyzed} of them analyzed"
        for person in people:
            seen = f"#{person.track_id} from {clock(person.first)} to {clock(person.last)}"
            yield "  ".join([seen, *face_texts(person.values)])
        if others:
            yield f"and {others} more who were seen for less long"


def _without_name(message: str, path: str) -> str:
    """A message about a file, without the file name at its beginning."""
    for name in (path, str(Path(path)), str(Path(path).resolve())):
        message = message.removeprefix(f"{name}: ")
    return message


COMMAND = Command(
    name="analyze",
    help="analyze photos and videos",
    description="""\
Find the faces in photos and videos, and report what models perceive in each: emotion, age, gender, ethnicity.

Folders are searched recursively; hidden files and folders of thumbnails or trash are skipped, and files that are
neither photo nor video are counted on standard error. Exit codes: 0 success, 1 a file could not be read (the others are
done), 2 a usage error.""",
    examples="""\
examples:
  %(prog)s photo.jpg
  %(prog)s photos/ --json > faces.json
  %(prog)s photos/ --jsonl --attributes emotion,age > faces.jsonl
  %(prog)s "*.jpg" --csv --annotate drawn/ > faces.csv
  %(prog)s video.mp4 --fps 10 --annotate drawn/ --timeline plots/
  %(prog)s photos/ video.mp4 --anonymize hidden/""",
    add_arguments=_add_arguments,
    run=_run,
)
