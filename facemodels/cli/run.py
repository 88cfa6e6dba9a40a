"""The entry point of the command line."""

from __future__ import annotations

import argparse
import difflib
import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from facemodels import __version__
from facemodels.cli.analyze import COMMAND as ANALYZE
from facemodels.cli.app import COMMAND as APP
from facemodels.cli.batch import COMMAND as BATCH
from facemodels.cli.card import COMMAND as CARD
from facemodels.cli.console import FAILED, INTERRUPTED, OK, WRONG, complain
from facemodels.cli.download import COMMAND as DOWNLOAD
from facemodels.cli.evaluate import COMMAND as EVALUATE
from facemodels.cli.models import COMMAND as MODELS
from facemodels.cli.publish import COMMAND as PUBLISH
from facemodels.cli.report import COMMAND as REPORT
from facemodels.errors import ArgumentError, FaceModelsError
from facemodels.streams import use_utf8

COMMANDS = (ANALYZE, APP, BATCH, REPORT, EVALUATE, MODELS, CARD, DOWNLOAD, PUBLISH)
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}  # a disk, or what is left of it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Those of the process by default.

    Returns:
        The exit code.
    """
    use_utf8()
    # Its log of every retry would stand before the one sentence that says what failed.
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["help"]:
        words = [*words[1:2], "--help"]
    parser = _parser()
    if not words:
        parser.print_help(sys.stderr)
        return WRONG
    options = parser.parse_args(words)
    try:
        with _terminated_like_interrupted():
            code = options.run(options)
            sys.stdout.flush()
            return code
    except FaceModelsError as error:
        options.complain(str(error))
        return WRONG if isinstance(error, (ArgumentError, LookupError)) else FAILED
    except KeyboardInterrupt:
        options.complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        _drop_output()  # the reader (head, say) has seen enough
        return OK
    except OSError as error:
        # Files are written with errors of our own: without a name it is standard output.
        if error.errno not in _FULL or error.filename is not None:
            raise
        _drop_output()
        options.complain(f"cannot write the output: {error.strerror}")
        return FAILED


def _drop_output() -> None:
    """Discard the buffer of standard output: Python would report the error again on closing it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Make SIGTERM clean up as Ctrl-C does: JSON arrays are closed, partial files deleted."""

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Parser(argparse.ArgumentParser):
    """A parser that suggests similar names."""

    def error(self, message: str) -> NoReturn:
        if "invalid choice" in message and "COMMAND" in message:
            word = message.partition("invalid choice: ")[2].partition(" (choose")[0].strip("'\"")
            names = [command.name for command in COMMANDS]
            close = difflib.get_close_matches(word, names, 1)
            hint = f"{self.prog} {close[0]}" if close else ""
            if not close and (Path(word).exists() or Path(word).suffix):
                hint = f"{self.prog} analyze {word}"
            message = f"unknown command {word!r}; " + (
                f"did you mean: {hint}" if hint else f"known: {', '.join(names)}"
            )
        super().error(message)


def _parser() -> argparse.ArgumentParser:
    # Installed as a script it has a name of its own.
    is_module = Path(sys.argv[0]).name == "__main__.py"
    parser = _Parser(
        prog="python -m facemodels" if is_module else "facemodels",
        description="Find faces and report what models perceive in them: emotion, age, gender, ethnicity.",
        epilog="Help for each command: %(prog)s analyze --help",
    )
    parser.add_argument("-V", "--version", action="version", version=f"facemodels {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=argparse.ArgumentParser)
    for command in COMMANDS:
        one = commands.add_parser(
            command.name,
            help=command.help,
            description=command.description,
            epilog=command.examples,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(one)
        one.set_defaults(run=command.run, complain=complain)
    return parser
