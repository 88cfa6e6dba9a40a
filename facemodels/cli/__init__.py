"""The command line, one file per command.

Results go to standard output, everything else to standard error. Exit codes: 0 all went well, 1 something could not be
done (the rest was), 2 the command itself was wrong, 130 interrupted.

To add a command: a file with a `Command`, and its row in `run.COMMANDS`.
"""

from facemodels.cli.run import main

__all__ = ["main"]
