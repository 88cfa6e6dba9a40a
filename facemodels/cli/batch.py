"""`facemodels batch`: any number of images and videos into a folder of tables."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facemodels.cli.command import Command
from facemodels.cli.console import FAILED, OK, is_terminal
from facemodels.cli.options import add_analyzer_options, make_analyzer, parse_fps

if TYPE_CHECKING:
    from facemodels.batch.run import BatchProgress


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="folder, photo, video, glob pattern, list (.txt, .csv), tar, Parquet or Arrow file, or a URL of these",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the tables")
    parser.add_argument("--format", default="parquet", choices=("parquet", "csv", "jsonl"), help="default: %(default)s")
    parser.add_argument("--engine", default="local", choices=("local", "ray"), help="default: %(default)s")
    parser.add_argument(
        "--workers", type=_workers, metavar="N|MIN:MAX", help="processes or actors (default: one per processor)"
    )
    parser.add_argument("--address", help="of a running Ray cluster (default: one is started here)")
    parser.add_argument(
        "--fps", type=parse_fps, default=5.0, metavar="N|all", help="frames per second of videos (default: 5)"
    )
    parser.add_argument(
        "--time-limit",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="time limit per photo or frame (default: %(default)g)",
    )
    parser.add_argument("--image-column", metavar="NAME", help="column of images in Parquet and Arrow files")
    parser.add_argument("--crops", action="store_true", help="also write the face crops, as tar files in DIR/crops")
    parser.add_argument(
        "--anonymize",
        action="store_true",
        help="also write copies with blurred faces and no metadata, as tar files in DIR/anonymized",
    )
    parser.add_argument("--retry-errors", action="store_true", help="retry inputs that failed in earlier runs")
    parser.add_argument(
        "--progress",
        default="bar",
        choices=("bar", "json", "none"),
        help="on standard error (default: %(default)s); json: an object per line, messages among them",
    )
    add_analyzer_options(parser)


def _workers(text: str) -> int | tuple[int, int]:
    try:
        least, colon, most = text.partition(":")
        return (int(least), int(most)) if colon else int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"it must be a number, or MIN:MAX; got {text!r}") from error


def _run(options: argparse.Namespace) -> int:
    from facemodels.batch.run import analyze_many

    if options.progress == "json":
        options.complain = _complain_in_json
    analyzer = make_analyzer(options, threads=1)
    with _progress(options.progress) as tell:
        summary = analyze_many(
            options.inputs,
            options.out,
            analyzer,
            engine=options.engine,
            workers=options.workers,
            address=options.address,
            output=options.format,
            fps=None if math.isinf(options.fps) else options.fps,
            time_limit=options.time_limit,
            image_column=options.image_column,
            crops=options.crops,
            anonymized=options.anonymize,
            retry_errors=options.retry_errors,
            progress=tell,
        )
    for problem in summary["problems"]:
        options.complain(problem)
    if summary["left_out"]:
        options.complain(
            "left out: " + ", ".join(f"{count:,} {suffix}" for suffix, count in summary["left_out"].items())
        )
    counts, run = summary["counts"], summary["run"]
    sys.stdout.write(
        f"{options.out}: faces {counts['faces']:,}, inputs {counts['inputs']:,}, errors {counts['errors']:,}\n"
        f"this run: inputs {run['inputs']:,}, seconds {run['seconds']:.1f}, per second {run['inputs_per_second']:.1f}\n"
    )
    return FAILED if counts["errors"] or summary["problems"] else OK


def _progress(form: str) -> AbstractContextManager[Callable[[BatchProgress], None] | None]:
    """The receiver of progress reports."""
    if form == "json":
        return nullcontext(_write_json)
    return _Bar() if form == "bar" and is_terminal() else nullcontext(None)


def _write_json(progress: BatchProgress) -> None:
    facts = {**asdict(progress), "seconds": round(progress.seconds, 3), "rate": round(progress.rate, 3)}
    sys.stderr.write(json.dumps(facts) + "\n")
    sys.stderr.flush()


def _complain_in_json(message: str) -> None:
    sys.stderr.write(json.dumps({"message": message}) + "\n")


class _Bar:
    """A progress bar."""

    def __enter__(self) -> Callable[[BatchProgress], None]:
        from tqdm import tqdm

        self._bar = tqdm(unit=" inputs", file=sys.stderr)
        self._has_begun = False
        return self._tell

    def __exit__(self, *arguments: Any) -> None:
        self._bar.close()

    def _tell(self, progress: BatchProgress) -> None:
        if not self._has_begun:
            self._has_begun = True
            self._bar.initial = self._bar.n = progress.earlier  # for the rate
        self._bar.total = progress.total
        self._bar.set_postfix(faces=progress.faces, errors=progress.errors, refresh=False)
        self._bar.update(progress.done - self._bar.n)


COMMAND = Command(
    name="batch",
    help="analyze any number of photos and videos into tables",
    description="""\
Analyze any number of photos and videos into a folder of tables: faces/ (a row per face; of a video, per face and
analyzed frame), errors/ (a row per input that could not be analyzed, and why) and summary.json.

Each input is analyzed once. The same command resumes an interrupted or killed run. Exit codes: 0 success,
1 an input could not be analyzed (the others are done), 2 a usage error.""",
    examples="""\
examples:
  %(prog)s photos/ --out faces/
  %(prog)s "shards/*.tar" data.parquet list.txt --out faces/ --attributes emotion,age
  %(prog)s photos/ --out faces/ --crops --anonymize
  %(prog)s s3://bucket/photos/ --out faces/ --engine ray --address auto --workers 4:64
  %(prog)s photos/ --out faces/ --progress json 2> progress.jsonl""",
    add_arguments=_add_arguments,
    run=_run,
)
