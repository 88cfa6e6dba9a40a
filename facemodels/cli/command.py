"""The parts of a command."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """One command of the command line.

    Attributes:
        name: Its name on the command line.
        help: A summary in one line.
        description: The text of its own help.
        examples: Example calls; ``%(prog)s`` stands for the program and the command.
        add_arguments: Declares its arguments.
        run: Does the work; returns the exit code.
    """

    name: str
    help: str
    description: str
    examples: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
