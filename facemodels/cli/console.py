"""What the commands share of the terminal: exit codes, complaints, encoding, tables, progress."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Sequence
from typing import Any

OK, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130


def complain(message: str) -> None:
    """Say on standard error what went wrong."""
    sys.stderr.write(f"facemodels: {message}\n")


def use_utf8() -> None:
    """Make redirected output UTF-8, whatever the system's encoding; nothing that cannot be encoded ends a run.

    A file name that is no text in the system's encoding comes out as ``\\udcXX``, in JSON an escape that leads back to
    it.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            encoding = None if stream.isatty() else "utf-8"
            stream.reconfigure(encoding=encoding, errors="backslashreplace")


def is_terminal() -> bool:
    """Whether there is a terminal to show progress on."""
    return sys.stderr.isatty()


def progress(items: Iterable[Any], unit: str, total: int | None = None) -> Any:
    """A progress bar on standard error, where that is a terminal."""
    from tqdm import tqdm

    return tqdm(items, total=total, unit=unit, file=sys.stderr, disable=not is_terminal())


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[str] = ()) -> None:
    """Print a table; where output is redirected, each row stays on one line.

    Args:
        columns: The header.
        rows: The cells.
        numbers: Columns that are aligned to the right.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    terminal = sys.stdout.isatty()
    table = Table(box=SIMPLE_HEAD if terminal else None, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(
            column, justify="right" if column in numbers else "left", overflow="fold", no_wrap=not terminal
        )
    for row in rows:
        table.add_row(*map(escape, row))
    if terminal:
        Console(highlight=False, emoji=False).print(table)
        return
    text = io.StringIO()
    Console(file=text, width=10_000, highlight=False, emoji=False).print(table)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines()))
