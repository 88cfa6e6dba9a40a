"""Locks that survive a fork: a child must not inherit one that another thread held."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def after_fork(owner: T, renew: Callable[[T], object]) -> None:
    """Call `renew` in every child process that is forked while the owner is alive.

    Args:
        owner: An object that may be in use by another thread when the process forks. It is not kept alive by this.
        renew: A function of the owner; it must not refer to the owner otherwise.

    Example:
        >>> after_fork(threading.Event(), threading.Event.clear)
    """
    reference = weakref.ref(owner)

    def run() -> None:
        if (alive := reference()) is not None:
            renew(alive)

    if hasattr(os, "register_at_fork"):  # Windows never forks
        os.register_at_fork(after_in_child=run)


class Lock:
    """A `threading.Lock` for ``with`` that a forked child finds free, whoever held it.

    What it guards may be half changed in that child: only use it where that does no harm, renew that too, or let forks
    wait.

    Args:
        delays_forks: Whether a fork waits until the lock is free. For libraries with locks of their own, which a child
            would inherit as another thread holds them. The thread that holds it must not fork.
    """

    def __init__(self, *, delays_forks: bool = False) -> None:
        self._renew()
        after_fork(self, Lock._renew)
        if delays_forks and hasattr(os, "register_at_fork"):
            reference = weakref.ref(self)
            held: list[threading.Lock] = []

            def acquire() -> None:
                if (alive := reference()) is not None:
                    alive._lock.acquire()
                    held.append(alive._lock)

            def release() -> None:
                while held:
                    held.pop().release()

            os.register_at_fork(before=acquire, after_in_parent=release, after_in_child=held.clear)

    def _renew(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
