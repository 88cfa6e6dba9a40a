"""`facemodels report`: a summary of the tables of a batch."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from facemodels.cli.command import Command
from facemodels.cli.console import OK


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="the folder of `facemodels batch --out`")
    parser.add_argument("--labels", type=Path, metavar="CSV", help="true labels: source and emotion, age, gender, …")
    parser.add_argument(
        "--group", action="append", default=[], metavar="COLUMN", help="a table by this column of the csv (repeatable)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier report")


def _run(options: argparse.Namespace) -> int:
    from facemodels.batch.report import report

    sys.stdout.write(f"{report(options.folder, options.labels, options.group, overwrite=options.overwrite)}\n")
    return OK


COMMAND = Command(
    name="report",
    help="summarize the tables of a batch",
    description="""\
Write DIR/report: a page with the distributions of all attributes, and with --labels an audit: accuracy by class and by
group. The csv has a column source, as in the tables, and a column per attribute.""",
    examples="""\
examples:
  %(prog)s faces/
  %(prog)s faces/ --labels labels.csv --group camera""",
    add_arguments=_add_arguments,
    run=_run,
)
