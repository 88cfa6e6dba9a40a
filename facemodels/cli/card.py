"""`facemodels card`: what a model is, what it may be used for, and how well it does."""

from __future__ import annotations

import argparse
import sys

from facemodels.cli.command import Command
from facemodels.cli.console import OK


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="name, name@version, OWNER/NAME@VERSION on the hub, or a folder")


def _run(options: argparse.Namespace) -> int:
    from facemodels.hub import publish, store

    text = publish.card(store.resolve(options.name))
    if not sys.stdout.isatty():
        sys.stdout.write(text)
        return OK
    from rich.console import Console
    from rich.markdown import Markdown

    # The metadata on top is for the hub.
    Console().print(Markdown(text.partition("\n---\n")[2] or text))
    return OK


COMMAND = Command(
    name="card",
    help="print the card of a model",
    description="""\
Print the card of a model: what it is meant for, its licences, its data and its figures. Markdown, rendered where the
output is a terminal.""",
    examples="""\
examples:
  %(prog)s emotion-efficientnet
  %(prog)s OWNER/emotion-finetune@1.0.0 > card.md""",
    add_arguments=_add_arguments,
    run=_run,
)
