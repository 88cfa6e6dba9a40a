"""`facemodels app`: the page and its API."""

from __future__ import annotations

import argparse
from importlib.util import find_spec

from facemodels.cli.command import Command
from facemodels.cli.console import OK
from facemodels.errors import ArgumentError

NEEDED = ("av", "filelock", "gradio", "pydantic_settings")  # what the library does not need
INSTALLED = all(find_spec(name) is not None for name in NEEDED)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    if INSTALLED:
        from facemodels.app.settings import add_options

        add_options(parser)
    parser.set_defaults(parser=parser)


def _run(options: argparse.Namespace) -> int:
    if not INSTALLED:
        raise ArgumentError("the app needs packages that are not installed: install facemodels with its extra 'app'")
    from facemodels.app.command import run
    from facemodels.app.settings import make_settings

    run(options.parser, make_settings(options.parser, vars(options)))
    return OK


COMMAND = Command(
    name="app",
    help="serve the page and its API",
    description="""\
Serve the page and its API until it is stopped. Every setting can also be given by the environment variable named with
it; the option takes precedence.""",
    examples="""\
examples:
  %(prog)s
  %(prog)s --port 8000 --auth ada:lovelace
  %(prog)s --examples photos --models emotion=emotion4-vgg16""",
    add_arguments=_add_arguments,
    run=_run,
)
