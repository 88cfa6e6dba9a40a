"""Hand-made csv files, read row by row, with the line number of each row for errors. Standard library
only.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from pathlib import Path

from facemodels.errors import DataError

_MOST_PROBLEMS = 20  # shown one by one


def read_table(
    file: Path,
    required: Sequence[str],
    known: Collection[str] = (),
    names: Sequence[str] = (),
    problems: list[str] | None = None,
) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a csv file, each with its ``file:line``.

    Args:
        file: The file.
        required: Columns it must have.
        known: If given, the other columns that it may have.
        names: Its columns, for a file that may come without a header.
        problems: Collects the errors of rows instead of raising; such rows are left out.

    Raises:
        DataError: If it is missing, is not text, or lacks a column or a cell; the message names the file and the line.
    """
    line = 0
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream)
            first = [name.strip() for name in next(reader, [])]
            bare = bool(names) and first[:1] != list(names[:1])
            header = list(names)[: len(first)] if bare else first
            if missing := [name for name in required if name not in header]:
                raise DataError(f"{file}:1: lacks the column {', '.join(missing)}; it has: {', '.join(header)}")
            if known and (unknown := [name for name in header if name not in required and name not in known]):
                raise DataError(
                    f"{file}:1: unknown column {', '.join(unknown)}; known: {', '.join([*required, *known])}"
                )
            for cells in chain([first] if bare else [], reader):
                if not cells:  # a blank line
                    continue
                line = reader.line_num
                where = f"{file}:{line}"
                if len(cells) != len(header):
                    problem = f"{where}: {len(cells)} cells where the header has {len(header)}; is it cut off?"
                    if problems is None:
                        raise DataError(problem)
                    problems.append(problem)
                    continue
                yield where, {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
    except FileNotFoundError as error:
        raise DataError(f"{file}: no such file") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file}: cannot be read as a csv file after line {line}: {error}") from error


def all_problems(problems: Sequence[str]) -> DataError:
    """One error for all problems of a file; each begins with its ``file:line``."""
    if len(problems) == 1:
        return DataError(problems[0])
    shown = [
        *problems[:_MOST_PROBLEMS],
        *([f"and {len(problems) - _MOST_PROBLEMS:,} more"] * (len(problems) > _MOST_PROBLEMS)),
    ]
    return DataError("\n  ".join([f"{len(problems):,} problems:", *shown]))
