"""Terminal output shared by the commands: exit codes, errors, tables, progress."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Sequence
from typing import Any

OK, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130


def complain(message: str) -> None:
    """Print an error to standard error."""
    sys.stderr.write(f"facemodels: {message}\n")


def is_terminal() -> bool:
    """Whether there is a terminal to show progress on."""
    return sys.stderr.isatty()


def progress(items: Iterable[Any], unit: str, total: int | None = None) -> Any:
    """A progress bar on standard error, if that is a terminal."""
    from tqdm import tqdm

    return tqdm(items, total=total, unit=unit, file=sys.stderr, disable=not is_terminal())


Cell = str | Sequence[str]


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Cell]], numbers: Sequence[str] = ()) -> None:
    """Print a table; where output is redirected, each row is one line.

    Args:
        columns: The header.
        rows: The cells; several items in a cell are stacked, or separated by commas in redirected output.
        numbers: Columns to align to the right.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    terminal = sys.stdout.isatty()
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for index, column in enumerate(columns):
        # The first names the row: it can be copied as it is.
        table.add_column(column, justify="right" if column in numbers else "left", overflow="fold", no_wrap=index == 0)
    for row in rows:
        cells = (cell if isinstance(cell, str) else ("\n" if terminal else ", ").join(cell) for cell in row)
        table.add_row(*map(escape, cells))
    if terminal:
        Console(highlight=False, emoji=False).print(table)
        return
    text = io.StringIO()
    Console(file=text, width=10_000, highlight=False, emoji=False).print(table)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines()))


def print_markdown(text: str) -> None:
    """Print Markdown: rendered on a terminal, else as it is."""
    if not sys.stdout.isatty():
        sys.stdout.write(text)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console().print(Markdown(text))
