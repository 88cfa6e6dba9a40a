"""Starting the app from the command line: `python app.py`, or `facemodels app`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from facemodels.app.settings import Settings, add_options, read_settings
from facemodels.errors import FaceModelsError
from facemodels.streams import use_utf8

DESCRIPTION = "Serve the facemodels page and its API."
EPILOG = "Every setting can be given by the environment variable named with it; the option wins."


def main(arguments: Sequence[str] | None = None, prog: str = "app.py") -> None:
    """Load the models and serve the page until it is stopped; ends the process with a message if that fails.

    Args:
        arguments: Those of the process by default.
        prog: The program's name in messages.
    """
    use_utf8()
    parser = argparse.ArgumentParser(prog=prog, description=DESCRIPTION, epilog=EPILOG)
    add_options(parser)
    run(parser, read_settings(parser, arguments))


def run(parser: argparse.ArgumentParser, settings: Settings) -> None:
    """Serve the page; ends the process with a message of the parser's program if that fails."""
    from facemodels.app.server import serve

    try:
        serve(settings)
    except (FaceModelsError, OSError) as error:  # OSError: the port is taken, the address not ours
        parser.exit(1, f"{parser.prog}: {error}\n")
    except KeyboardInterrupt:
        parser.exit(0, f"{parser.prog}: stopped before it was ready\n")
