"""`facemodels card`: what a model is, what it may be used for, and how well it does."""

from __future__ import annotations

import argparse
import sys

from facemodels.cli.command import Command
from facemodels.cli.console import OK, print_markdown


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="name, name@version, OWNER/NAME@VERSION on the hub, or a folder")


def _run(options: argparse.Namespace) -> int:
    from facemodels.hub import publish, store

    text = publish.card(store.resolve(options.name))
    # The metadata on top is for the hub.
    print_markdown(text.partition("\n---\n")[2] if text.startswith("---\n") and sys.stdout.isatty() else text)
    return OK


COMMAND = Command(
    name="card",
    help="print the card of a model",
    description="""\
Print the card of a model: its intended use, licences, data and figures. Markdown, rendered if the output is a
terminal.""",
    examples="""\
examples:
  %(prog)s emotion-efficientnet
  %(prog)s OWNER/emotion-finetune@1.0.0 > card.md""",
    add_arguments=_add_arguments,
    run=_run,
)
