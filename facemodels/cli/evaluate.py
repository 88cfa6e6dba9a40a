"""`facemodels evaluate`: measure models on labelled faces."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from facemodels.cli.command import Command
from facemodels.cli.console import OK, print_markdown, progress
from facemodels.cli.options import add_model_options, check_detector
from facemodels.errors import ArgumentError


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        metavar="FOLDER_OR_CSV",
        help="Category/*.jpg, Attribute/Category/*.jpg, or a csv with path and emotion, age, gender, ethnicity",
    )
    parser.add_argument(
        "--model", action="append", default=[], help="model to evaluate (repeatable; default: the default models)"
    )
    parser.add_argument("--crops", action="store_true", help="the images are already cropped to one face each")
    parser.add_argument(
        "--group",
        action="append",
        default=[],
        metavar="COLUMN",
        help="a table by this column of the csv, or, with pose, by how far heads are turned (repeatable)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="write tables, figures and every answer there")
    parser.add_argument("--overwrite", action="store_true", help="let --out replace an earlier report")
    parser.add_argument("--json", action="store_true", help="print the report as JSON instead of Markdown")
    add_model_options(parser)
    parser.add_argument(
        "--skip-unreadable", action="store_true", help="skip images that cannot be read, and count them"
    )


def _run(options: argparse.Namespace) -> int:
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
        detector=check_detector(options.detector),
        min_score=options.min_score,
        backend=options.backend,
        skip_unreadable=options.skip_unreadable,
        progress=lambda images: progress(images, " images", len(images)),
    )
    if options.json:
        sys.stdout.write(json.dumps(result.report, indent=2, ensure_ascii=False) + "\n")
    else:
        print_markdown(report.markdown(result.report))
    if options.out is not None:
        sys.stderr.write(f"written: {report.write(result, options.out)}\n")
    return OK


COMMAND = Command(
    name="evaluate",
    help="evaluate models on your own labelled faces",
    description="""\
Evaluate models on your own labelled faces, side by side, and print the report as Markdown.

Labels come from folder names (Category/*.jpg, or Attribute/Category/*.jpg), or from a csv file with a column path and
one or more of emotion, age, gender, ethnicity. Every model sees the same faces.""",
    examples="""\
examples:
  %(prog)s faces/
  %(prog)s faces.csv --crops --group camera --out report/
  %(prog)s faces/ --model emotion-efficientnet --model emotion4-vgg16""",
    add_arguments=_add_arguments,
    run=_run,
)
