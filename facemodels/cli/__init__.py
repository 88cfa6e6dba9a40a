"""The command line, one file per command.

Results go to standard output, everything else to standard error. Exit codes: 0 success, 1 an input failed (the others
are done), 2 a usage error, 130 interrupted.

To add a command: a file with a `Command`, and its row in `run.COMMANDS`.
"""

from facemodels.cli.run import main

__all__ = ["main"]
