"""Run code that may crash in a child process with limits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from facemodels.errors import FaceModelsError


class ChildError(FaceModelsError):
    """The child process died, took too long or could not be started; the message says which, as a predicate."""


def call(module: str, header: dict[str, Any], content: bytes, *, seconds: float, memory: int) -> Any:
    """Call `main` of a module in a child process.

    Args:
        module: Full name of a module with ``main(header, content)``, which returns plain data.
        header: Plain data for it.
        content: Bytes for it.
        seconds: Time limit.
        memory: Limit of the memory that it allocates, in bytes; not enforced on macOS and Windows.

    Returns:
        What `main` returned.

    Raises:
        ChildError: If the child gave no result.

    Example:
        >>> call("facemodels.sandbox", {"echo": 1}, b"", seconds=60, memory=2**30)
        {'echo': 1}
    """
    code = f"from facemodels.sandbox import serve; serve({module!r}, {memory}, {seconds})"
    # The same packages as here, and -P: a module that happens to lie in the working folder is not imported.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)}
    payload = json.dumps(header).encode() + b"\n" + content
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", code],
            input=payload,
            capture_output=True,
            env=environment,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ChildError(f"did not end within {seconds:g} s") from error
    except OSError as error:
        raise ChildError(f"could not be started: {error}") from error
    if done.returncode == 0:
        try:
            return json.loads(done.stdout.splitlines()[-1])
        except (IndexError, ValueError) as error:
            raise ChildError(f"gave no answer: {done.stdout[-500:]!r}") from error
    if done.returncode < 0:
        raise ChildError(f"was ended by {_signal_name(-done.returncode)}")
    last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
    raise ChildError(f"ended with exit status {done.returncode}: {last[:500]}")


def serve(module: str, memory: int, seconds: float) -> None:
    """The entry point of the child process; see `call`."""
    import importlib

    _limit(memory, seconds)
    header, _, content = sys.stdin.buffer.read().partition(b"\n")
    answer = importlib.import_module(module).main(json.loads(header), content)
    sys.stdout.write(f"\n{json.dumps(answer)}\n")


def main(header: dict[str, Any], content: bytes) -> dict[str, Any]:
    """The header, as an example of what `call` calls."""
    return header


def _limit(memory: int, seconds: float) -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    processors = os.cpu_count() or 1
    for kind, value in (
        (resource.RLIMIT_DATA, memory),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, int(seconds * processors) + 1),  # it ends even if its parent is gone
    ):
        most = resource.getrlimit(kind)[1]
        value = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(kind, (value, value))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
