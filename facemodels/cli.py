"""The command line: `python -m facemodels {analyze,evaluate,models,card,download,publish}`.

Results go to standard output, everything else to standard error. Exit codes: 0 all went well, 1 something could not be
done (the rest was), 2 the command itself was wrong, 130 interrupted.
"""

from __future__ import annotations

import argparse
import csv
import glob
import json
import math
import os
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facemodels import __version__
from facemodels.attributes import ATTRIBUTES, face_texts
from facemodels.errors import ArgumentError, FaceModelsError, ImageError
from facemodels.evaluation.labels import IMAGE_SUFFIXES
from facemodels.files import OutputFolder, write_errors, written_whole
from facemodels.hub.registry import ModelSpec, list_models
from facemodels.types import ROW_COLUMNS, Analysis, Face

if TYPE_CHECKING:
    from facemodels.analyzer import FaceAnalyzer

OK, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130
VIDEO_SUFFIXES = {".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".mpg", ".mpeg", ".ts", ".ogv", ".wmv", ".3gp"}
CSV_COLUMNS = ("source", "face", *ROW_COLUMNS, "error")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Those of the process by default.

    Returns:
        The exit code.
    """
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except FaceModelsError as error:
        _complain(str(error))
        return WRONG if isinstance(error, (ArgumentError, LookupError)) else FAILED
    except KeyboardInterrupt:
        _complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (head, say) has seen enough. Python would complain once more when it closes the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m facemodels",
        description="Finds faces and says what models perceive in them: emotion, age, gender, ethnicity.",
    )
    parser.add_argument("--version", action="version", version=f"facemodels {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    analyze = commands.add_parser("analyze", help="analyze photos, or clips")
    analyze.add_argument(
        "photos",
        nargs="+",
        metavar="PHOTO|CLIP",
        help="file, glob pattern, folder of photos, or - for a photo on standard input",
    )
    form = analyze.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON array, an object per photo or clip")
    form.add_argument("--csv", action="store_true", help="print one CSV row per face (of a clip, per face and frame)")
    analyze.add_argument("--annotate", type=Path, metavar="DIR", help="also write annotated copies into this folder")
    analyze.add_argument(
        "--overwrite",
        action="store_true",
        help="let --annotate and --timeline replace files of an earlier call (never a photo or clip to analyze)",
    )
    analyze.add_argument(
        "--fps",
        type=_fps,
        metavar="N|all",
        help="frames per second of a clip to analyze (default: 5); with it a GIF is a clip, without it a picture",
    )
    analyze.add_argument(
        "--timeline", type=Path, metavar="DIR", help="also write a plot of each clip's emotions (SVG) into this folder"
    )
    analyze.add_argument("--attributes", default=",".join(ATTRIBUTES), help="comma-separated (default: %(default)s)")
    analyze.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="ATTRIBUTE=MODEL",
        help="use this model for an attribute (repeatable)",
    )
    analyze.add_argument(
        "--detector", default="auto", help="auto, libfacedetection, yunet, haar, or a YuNet .onnx file"
    )
    analyze.add_argument("--backend", default="litert", choices=("litert", "keras"))
    analyze.add_argument(
        "--min-score", type=float, default=0.6, help="least confidence of a face, 0..1 (default: %(default)s)"
    )
    analyze.add_argument("--max-faces", type=int, help="keep only this many faces a photo, the largest")
    analyze.set_defaults(run=_analyze)

    evaluate = commands.add_parser("evaluate", help="measure models on your own labelled faces")
    evaluate.add_argument(
        "source",
        metavar="FOLDER_OR_CSV",
        help="Category/*.jpg, Attribute/Category/*.jpg, or a csv with path and emotion, age, gender, ethnicity",
    )
    evaluate.add_argument(
        "--model", action="append", default=[], help="measure this one (repeatable; default: the default models)"
    )
    evaluate.add_argument("--crops", action="store_true", help="each picture is one face already")
    evaluate.add_argument(
        "--group", action="append", default=[], metavar="COLUMN", help="a table by this column of the csv (repeatable)"
    )
    evaluate.add_argument("--out", type=Path, metavar="DIR", help="write tables, pictures and every answer there")
    evaluate.add_argument("--overwrite", action="store_true", help="let --out replace an earlier report")
    evaluate.add_argument("--json", action="store_true", help="print the report as JSON instead of Markdown")
    evaluate.add_argument("--detector", default="auto", help="as of analyze")
    evaluate.add_argument("--backend", default="litert", choices=("litert", "keras"))
    evaluate.add_argument(
        "--min-score", type=float, default=0.6, help="least confidence of a face, 0..1 (default: %(default)s)"
    )
    evaluate.add_argument(
        "--skip-unreadable", action="store_true", help="count pictures that cannot be read, and go on"
    )
    evaluate.set_defaults(run=_evaluate)

    models = commands.add_parser("models", help="list the models, their licences, sizes and figures")
    models.add_argument("--json", action="store_true", help="print the specs as one JSON array")
    models.add_argument("--remote", metavar="OWNER", help="instead, the versions that somebody published on the hub")
    models.set_defaults(run=_models)

    card = commands.add_parser("card", help="show the card of a model, rendered where it is a terminal")
    card.add_argument("name", help="name, name@version, OWNER/NAME@VERSION on the hub, or a folder")
    card.set_defaults(run=_card)

    download = commands.add_parser("download", help="have models here, verified, for use without a network")
    download.add_argument("names", nargs="*", metavar="NAME[@VERSION]", help="default: the default models")
    download.add_argument("--backend", default="litert", choices=("litert", "keras"), help="whose files")
    download.set_defaults(run=_download)

    publish = commands.add_parser("publish", help="check a release folder and publish it as a version on the hub")
    publish.add_argument("folder", metavar="RUN_FOLDER", help="a release folder, as training/export.py makes it")
    publish.add_argument("--repo", metavar="OWNER/NAME", help="hub repository (default: the one in its spec)")
    publish.add_argument("--version", help="refuse if the folder holds another version than this")
    publish.add_argument("--to", metavar="DIR", help="write to a new local folder instead of the hub")
    publish.add_argument("--dry-run", action="store_true", help="check everything, then only say what would be done")
    publish.set_defaults(run=_publish)
    return parser


def _analyze(options: argparse.Namespace) -> int:
    from facemodels.analyzer import FaceAnalyzer

    folders = {
        name: OutputFolder(f"--{name}", getattr(options, name), overwrite=options.overwrite)
        for name in ("annotate", "timeline")
        if getattr(options, name) is not None
    }
    photos = expand(options.photos, folders.values())
    clips = [photo for photo in photos if is_clip(photo, options.fps)]
    if clips and len(clips) < len(photos):
        raise ArgumentError(f"photos and clips have different answers: analyze {clips[0]} in a call of its own")
    if not clips and (options.fps is not None or options.timeline is not None):
        raise ArgumentError(f"--fps and --timeline are for clips, and {photos[0]} is none")
    if "annotate" in folders:
        folders["annotate"].check((photo, ".mp4" if clips else ".jpg") for photo in photos)
    if "timeline" in folders:
        folders["timeline"].check((clip, ".svg") for clip in clips)
    models = _pairs(options.model)
    analyzer = FaceAnalyzer(
        [name.strip() for name in options.attributes.split(",") if name.strip()],
        models=models,
        detector=options.detector,
        backend=options.backend,
        min_score=options.min_score,
        max_faces=options.max_faces,
    )
    for folder in folders.values():
        folder.create()
    if clips:
        return _analyze_clips(analyzer, clips, options, folders)
    results = _progress(_results(analyzer, photos, folders.get("annotate")), len(photos))
    write = _write_json if options.json else _write_csv if options.csv else _write_text
    return FAILED if write(results) else OK


def expand(arguments: Iterable[str], outputs: Collection[OutputFolder] = ()) -> list[str]:
    """Files, folders (their pictures, sorted, subfolders too) and glob patterns as one list of files, each once.

    A name that does not exist stays in the list: reading it then fails like any other bad photo, and the others go on.

    Args:
        arguments: As they stand on the command line.
        outputs: Folders to be written into: what folders and patterns find there is of an earlier call, and left out.

    Raises:
        ImageError: If a folder holds no picture, or a pattern fits none.
        ArgumentError: If a folder is to be written into itself.
    """
    photos: list[str] = []
    for argument in arguments:
        for folder in outputs:
            folder.check_root(argument)
        within = [folder for folder in outputs if folder.is_below(argument)]
        if Path(argument).is_dir():
            found = sorted(
                str(p)
                for p in Path(argument).rglob("*")
                if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file() and not any(one.holds(p) for one in within)
            )
            if not found:
                raise ImageError(f"the folder {argument} holds no picture ({', '.join(sorted(IMAGE_SUFFIXES))})")
        elif glob.has_magic(argument) and not Path(argument).exists():
            # Path.glob takes no absolute pattern.
            matches = glob.glob(argument, recursive=True)  # noqa: PTH207
            found = sorted(
                path for path in matches if Path(path).is_file() and not any(one.holds(Path(path)) for one in within)
            )
            if not found:
                raise ImageError(f"no file fits the pattern {argument}")
        else:
            found = [argument]
        photos.extend(found)
    return list(dict.fromkeys(photos))


def is_clip(path: str, fps: float | None = None) -> bool:
    """Whether a file is to be analyzed as a clip, by its name; a GIF is one if a sampling rate was asked for."""
    suffix = Path(path).suffix.lower()
    return suffix in VIDEO_SUFFIXES or (suffix == ".gif" and fps is not None)


def _fps(text: str) -> float:
    """Frames per second; all of them are infinitely many."""
    try:
        number = math.inf if text == "all" else float(text)
    except ValueError:
        number = 0.0
    if not number > 0:
        raise argparse.ArgumentTypeError(f"it must be a number above 0, or all; got {text!r}")
    return number


def _analyze_clips(
    analyzer: FaceAnalyzer, clips: list[str], options: argparse.Namespace, folders: Mapping[str, OutputFolder]
) -> int:
    from facemodels.clips import write_clips

    fps = 5.0 if options.fps is None else None if math.isinf(options.fps) else options.fps
    form = "json" if options.json else "csv" if options.csv else "text"
    failed = 0
    for trouble in write_clips(form, clips, analyzer, fps, folders.get("annotate"), folders.get("timeline")):
        _complain(trouble)
        failed += 1
    return FAILED if failed else OK


def _results(analyzer: FaceAnalyzer, photos: list[str], folder: OutputFolder | None) -> Iterator[tuple[str, Analysis]]:
    """Each photo with its analysis; one that cannot be read says why in `error`."""
    from facemodels.images import read_image

    for photo in photos:
        target = None if folder is None else folder.claim(photo, ".jpg")
        try:
            pixels = read_image(sys.stdin.buffer.read() if photo == "-" else photo)
            analysis = analyzer.analyze(pixels)
        except ImageError as error:
            yield photo, Analysis((), 0, 0, analyzer.models, str(error))
            continue
        if folder is not None and target is not None:
            _write_annotated(pixels, analysis, target, overwrite=folder.overwrite)
        yield photo, analysis


def _write_annotated(pixels: Any, analysis: Analysis, target: Path, *, overwrite: bool) -> None:
    from PIL import Image

    from facemodels.drawing import annotate

    with written_whole(target, overwrite=overwrite) as part, write_errors(target):
        Image.fromarray(annotate(pixels, analysis)).save(part, "jpeg", quality=92)


def _progress(results: Iterable[tuple[str, Analysis]], total: int) -> Iterable[tuple[str, Analysis]]:
    """The results, with a progress bar on standard error when that is a terminal and there is something to wait for."""
    if total < 5 or not sys.stderr.isatty():
        return results
    from tqdm import tqdm

    return tqdm(results, total=total, unit="photo", file=sys.stderr)


def _write_json(results: Iterable[tuple[str, Analysis]]) -> int:
    """One JSON array, written as it grows; returns how many photos failed."""
    failed, out = 0, sys.stdout
    out.write("[")
    for index, (source, analysis) in enumerate(results):
        out.write(",\n" if index else "\n")
        out.write(json.dumps({"source": source, **analysis.to_dict()}, ensure_ascii=False, indent=2))
        failed += _complain_about(source, analysis)
    out.write("\n]\n")
    return failed


def _write_csv(results: Iterable[tuple[str, Analysis]]) -> int:
    """One row per face, and one for a photo that failed; returns how many failed."""
    failed = 0
    writer = csv.DictWriter(sys.stdout, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for source, analysis in results:
        if analysis.error is not None:
            writer.writerow({"source": source, "error": analysis.error})
            failed += _complain_about(source, analysis)
        for number, face in enumerate(analysis, start=1):
            writer.writerow({"source": source, "face": number, **face.to_row()})
    return failed


def _write_text(results: Iterable[tuple[str, Analysis]]) -> int:
    """Lines for people; returns how many photos failed."""
    failed = 0
    for source, analysis in results:
        failed += _complain_about(source, analysis)
        if analysis.error is not None:
            continue
        count = len(analysis)
        sys.stdout.write(f"{source}: {count or 'no'} {'face' if count == 1 else 'faces'}\n")
        for face in analysis:
            sys.stdout.write(f"  {describe(face)}\n")
    return failed


def describe(face: Face) -> str:
    """One line about a face: where it is and what is perceived in it."""
    box = face.box
    parts = [f"{box.width:.0f}x{box.height:.0f} at {box.x1:.0f},{box.y1:.0f}"]
    return "  ".join([*parts, *face_texts(face.values)])


def _complain_about(source: str, analysis: Analysis) -> int:
    """Say on standard error that a photo failed, if it did; returns 1 then, else 0."""
    if analysis.error is None:
        return 0
    _complain(f"{source}: {analysis.error}")
    return 1


def _complain(message: str) -> None:
    sys.stderr.write(f"facemodels: {message}\n")


def _pairs(options: Iterable[str]) -> dict[str, str | Path] | None:
    """``["age=NAME"]`` as a dict."""
    pairs: dict[str, str | Path] = {}
    for option in options:
        attribute, separator, model = option.partition("=")
        if not separator or not model:
            raise ArgumentError(
                f"--model {option}: write ATTRIBUTE=MODEL, for example age=demographics-efficientnet@1.0.0"
            )
        pairs[attribute] = model
    return pairs or None


def _evaluate(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from facemodels.evaluation import report
    from facemodels.evaluation.evaluate import evaluate

    if options.out is not None:
        report.check_folder(options.out, overwrite=options.overwrite)
        if options.out.resolve() in Path(options.source).resolve().parents:
            raise ArgumentError(f"--out {options.out}: holds {options.source}, which is to be evaluated")
    result = evaluate(
        options.source,
        options.model,
        crops=options.crops,
        groups=options.group,
        detector=options.detector,
        min_score=options.min_score,
        backend=options.backend,
        skip_unreadable=options.skip_unreadable,
        progress=lambda pictures: tqdm(pictures, unit=" pictures", file=sys.stderr, disable=not sys.stderr.isatty()),
    )
    text = json.dumps(result.report, indent=2, ensure_ascii=False) + "\n"
    sys.stdout.write(text if options.json else report.markdown(result.report))
    if options.out is not None:
        sys.stderr.write(f"written: {report.write(result, options.out)}\n")
    return OK


def _models(options: argparse.Namespace) -> int:
    if options.remote:
        return _remote_models(options.remote, as_json=options.json)
    specs = list_models()
    if options.json:
        json.dump([spec.to_dict() for spec in specs], sys.stdout, indent=2)
        sys.stdout.write("\n")
        return OK
    rows = [
        ("name", "version", "answers", "licence", "size", "from", "headline"),
        *(_model_row(spec) for spec in specs),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write(line.rstrip() + "\n")
    return OK


def _remote_models(owner: str, *, as_json: bool) -> int:
    from facemodels.hub.publish import remote_versions

    versions = remote_versions(owner)
    if as_json:
        found = [
            {"reference": v.reference, "problem": v.problem, "spec": v.spec and v.spec.to_dict()} for v in versions
        ]
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return OK
    for version in versions:
        said = "; ".join(headlines(version.spec)) if version.spec else f"cannot be used here: {version.problem}"
        sys.stdout.write(f"{version.reference}  {said}\n")
    if not versions:
        _complain(f"{owner} has published no model for facemodels")
    return OK if versions else FAILED


def _model_row(spec: ModelSpec) -> tuple[str, ...]:
    from facemodels.hub import store

    size = sum(file.size for file in spec.files.values()) / 1e6
    answers = " ".join(spec.attributes) or spec.kind
    return (
        *(spec.name, spec.version, answers, spec.license_name or spec.license),
        *(f"{size:.1f} MB", store.locate(spec), "; ".join(headlines(spec))),
    )


def headlines(spec: ModelSpec) -> list[str]:
    """A model's main figure per attribute, for people: the first that its spec lists."""
    lines: dict[str, str] = {}
    for row in spec.metrics:
        value = f"{row['value']:.2f} years" if row["metric"] == "mae" else f"{row['value']:.1%}"
        lines.setdefault(row["label"], f"{row['label']} {value}")
    return list(lines.values())


def _card(options: argparse.Namespace) -> int:
    from facemodels.hub import publish, store

    text = publish.card(store.resolve(options.name))
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.markdown import Markdown

        # The metadata on top is for the hub.
        Console().print(Markdown(text.partition("\n---\n")[2] or text))
    else:
        sys.stdout.write(text)
    return OK


def _download(options: argparse.Namespace) -> int:
    from facemodels.hub.store import download

    for name, folder in download(options.names or None, backend=options.backend).items():
        sys.stdout.write(f"{name}: {folder}\n")
    return OK


def _publish(options: argparse.Namespace) -> int:
    from facemodels.hub.publish import publish

    result = publish(
        options.folder, repo_id=options.repo, version=options.version, to=options.to, dry_run=options.dry_run
    )
    for step in result.steps:
        sys.stderr.write(f"{'would ' if not result.done else ''}{step}\n")
    # The spec with its commit and hashes: what others pin.
    sys.stdout.write(json.dumps(result.spec.to_dict()) + "\n")
    return OK
