"""Pipelining: items produced ahead of the caller, and items consumed behind it, each in a thread of its own.

Order is kept, queues are bounded, errors are raised on the other side, and leaving a context ends its thread. The
threads are daemons, since an unclosed generator must not keep the interpreter from exiting.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")


class Closed(Exception):
    """The other side of a channel has left."""


class Channel(Generic[T]):
    """A bounded queue between two threads. As a context manager it is the sender's: it passes on the end or the error.

    Args:
        size: Maximum number of waiting items.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._finished = self._closed = False
        self._error: BaseException | None = None

    def put(self, item: T) -> None:
        """Wait for room, and add an item.

        Raises:
            Closed: If the receiver has left.
        """
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) < self._size or self._closed)
            if self._closed:
                raise Closed
            self._items.append(item)
            self._changed.notify_all()

    def finish(self, error: BaseException | None = None) -> None:
        """End the queue: the receiver gets the end, or the error, after the remaining items."""
        with self._changed:
            self._finished, self._error = True, error
            self._changed.notify_all()

    def close(self) -> None:
        """Leave, on either side; items in the queue are lost."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._finished or self._closed)
                if self._closed:
                    raise Closed
                if not self._items:
                    if self._error is not None:
                        raise self._error
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item

    def __enter__(self) -> Channel[T]:
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> bool:
        self.finish(error)
        return True  # it is raised on the other side


class Ahead(Generic[T]):
    """Iterates in a thread of its own, a few items ahead of the consumer.

    Args:
        items: Produces the items; used only in that thread.
        size: Maximum number of waiting items.
    """

    def __init__(self, items: Iterator[T], size: int) -> None:
        self._items = items
        self._channel: Channel[T] = Channel(size)
        self._thread = threading.Thread(target=self._run, name="facemodels-ahead", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with self._channel:
            for item in self._items:
                self._channel.put(item)

    def __iter__(self) -> Iterator[T]:
        return iter(self._channel)

    def __enter__(self) -> Ahead[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()
        self._thread.join()


class Behind(Generic[T]):
    """Consumes items in a thread of its own.

    Leaving the context waits until all is done; after an error in the context the thread ends at once instead.

    Args:
        use: Called with the iterator of items, in that thread. It raises `Closed` if the work is cancelled.
        size: Maximum number of waiting items.
    """

    def __init__(self, use: Callable[[Iterator[T]], None], size: int) -> None:
        self._use = use
        self._channel: Channel[T] = Channel(size)
        self._outcome: Channel[None] = Channel(1)
        self._thread = threading.Thread(target=self._run, name="facemodels-behind", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with self._outcome:
            try:
                self._use(iter(self._channel))
            finally:
                self._channel.close()

    def put(self, item: T) -> None:
        """Wait for room, and pass an item on.

        Raises:
            Exception: What went wrong in the thread.
        """
        try:
            self._channel.put(item)
        except Closed:
            self._join()
            raise

    def _join(self) -> None:
        self._thread.join()
        for _ in self._outcome:  # raises what the thread ended with
            pass

    def __enter__(self) -> Behind[T]:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._channel.finish()
            self._join()
        else:
            self._channel.close()
            self._thread.join()
