"""Standard output and error: UTF-8 where redirected, and complete items where a run is interrupted.

Standard library only.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

_INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM)


def use_utf8() -> None:
    """Make redirected output UTF-8, whatever the system's encoding; unencodable text never ends a run.

    A file name that is no text in the system's encoding comes out as ``\\udcXX``, in JSON an escape that leads back to
    it. A stream that was closed before the start swallows what is written to it.
    """
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    if isinstance(getattr(sys.stdout, "buffer", None), io.RawIOBase):
        # PYTHONUNBUFFERED: Python loses the rest of what a signal interrupts while it is written without a buffer.
        encoding = sys.stdout.encoding
        sys.stdout = open(sys.stdout.fileno(), "w", 1, encoding, closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            encoding = None if stream.isatty() else "utf-8"
            stream.reconfigure(encoding=encoding, errors="backslashreplace")


def _nowhere() -> io.TextIOWrapper:
    return Path(os.devnull).open("w", encoding="utf-8")


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold an interruption (Ctrl-C, SIGTERM) back until the block has ended, so that no item is cut in two where the
    reader of a pipe is slow. A second one is not held back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []

    def hold(number: int, frame: FrameType | None) -> None:
        held.append(number)
        if len(held) > 1:
            restore()
            signal.raise_signal(held.pop())

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    # A handler that is None was not installed by Python and could not be put back.
    before = {number: handler for number in _INTERRUPTIONS if (handler := signal.getsignal(number)) is not None}
    for number in before:
        signal.signal(number, hold)
    try:
        yield
    finally:
        restore()
        if held:
            signal.raise_signal(held.pop())
