"""The engine of this machine: processes with an analyzer each, which may die or hang over an input."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from itertools import chain
from multiprocessing.connection import Connection, wait
from types import TracebackType

from facemodels.analyzer import FaceAnalyzer
from facemodels.batch.worker import Chunk, Result, Task, Worker
from facemodels.errors import FaceModelsError

_BEAT, _READY, _FAILED, _RESULTS = "beat", "ready", "failed", "results"
_START_SECONDS = 300.0
_QUEUED = 2  # chunks of a worker: one in progress, and one that is being read


class LocalEngine:
    """Worker processes of this machine. A context manager; leaving it ends them.

    Args:
        analyzer: Is sent to each of them.
        task: What they do.
        workers: How many.
        time_limit: Seconds after which a worker that is at one image or frame is ended.

    Attributes:
        restarts: How many workers died or were ended over an input.
    """

    name = "local"

    def __init__(self, analyzer: FaceAnalyzer, task: Task, *, workers: int, time_limit: float) -> None:
        self.restarts = 0
        self._make = lambda: _Lane(analyzer, task, time_limit)
        self._workers = workers
        self._lanes: list[_Lane] = []

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for lane in self._lanes:
            lane.end()

    def run(self, chunks: Iterable[Chunk]) -> Iterator[list[Result]]:
        """The results of each chunk, as they are ready.

        A chunk over which a worker dies or hangs is done again, item by item, by a worker that has nothing else to
        do: the item that is to blame has an error, and the others have their results.

        Raises:
            FaceModelsError: If a worker cannot start.
        """
        coming = iter(chunks)
        if (first := next(coming, None)) is None:
            return
        coming = chain([first], coming)
        self._lanes = self._lanes or [self._make() for _ in range(self._workers)]
        again: deque[Chunk] = deque()  # after a worker's end
        is_over = False
        while True:
            for lane in sorted(self._lanes * _QUEUED, key=lambda lane: len(lane.chunks)):
                if not lane.has_room or (is_over and not again):
                    continue
                chunk = again.popleft() if again else next(coming, None)
                if chunk is None:
                    is_over = True
                elif not lane.send(chunk):
                    again.appendleft(chunk)
            busy = [lane for lane in self._lanes if lane.chunks]
            if not busy:
                return
            timeout = max(0.0, min(lane.deadline for lane in busy) - time.monotonic())
            ready = wait([lane.connection for lane in busy], timeout)
            for number, lane in enumerate(self._lanes):
                if lane.connection in ready:
                    results = lane.receive()
                    if results is not None:
                        yield results
                elif lane.chunks and time.monotonic() > lane.deadline:
                    lane.overdue()
                if lane.ended is not None:
                    self.restarts += 1
                    suspect, *others = lane.chunks
                    again.extend(others)
                    self._lanes[number] = self._make()
                    if len(suspect) == 1:
                        yield [Result.of(suspect[0], error=lane.ended)]
                    else:
                        again.extend((item,) for item in suspect)


class _Lane:
    """A worker process, seen from here.

    Attributes:
        chunks: What it has been given and not answered, the one in progress first.
        connection: Is ready when there is something to `receive`.
        deadline: When it is to be ended, by the monotonic clock.
        time_limit: See `LocalEngine`.
        ended: Why it has ended, or None.
    """

    def __init__(self, analyzer: FaceAnalyzer, task: Task, time_limit: float) -> None:
        self.chunks: deque[Chunk] = deque()
        self.time_limit = time_limit
        self.ended: str | None = None
        self.deadline = time.monotonic() + _START_SECONDS
        self._is_ready = False
        # Not fork: models and libraries of this process have threads. And a worker starts as it does elsewhere.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, analyzer, task), daemon=True)
        self._process.start()
        theirs.close()

    @property
    def has_room(self) -> bool:
        """Whether it takes another chunk. Beside a single item nothing waits: if the worker dies, that item did it."""
        return len(self.chunks) < _QUEUED and not any(len(chunk) == 1 for chunk in self.chunks)

    def send(self, chunk: Chunk) -> bool:
        """Give it a chunk; returns whether it takes it: a single item waits until it is idle."""
        if self.chunks and len(chunk) == 1:
            return False
        if not self.chunks and self._is_ready:
            self.deadline = time.monotonic() + self.time_limit
        self.chunks.append(chunk)
        with suppress(OSError):  # it has died; `receive` will say so
            self.connection.send(chunk)
        return True

    def receive(self) -> list[Result] | None:
        """The results of its next chunk, if it says those.

        Raises:
            FaceModelsError: If it could not start.
        """
        try:
            kind, value = self.connection.recv()
        except (EOFError, OSError) as error:
            self._process.join(10)
            code = self._process.exitcode
            how = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
            if not self._is_ready:
                raise FaceModelsError(
                    f"a worker process ended while it started ({how}). In a script, call analyze_many below "
                    '`if __name__ == "__main__":`'
                ) from error
            self.end(f"the process that read it ended: {how}")
            return None
        self.deadline = time.monotonic() + self.time_limit
        if kind == _FAILED:
            raise FaceModelsError(f"a worker process could not start: {value}")
        if kind == _READY:
            self._is_ready = True
        if kind == _RESULTS:
            self.chunks.popleft()
            return value
        return None

    def overdue(self) -> None:
        """End the process because it takes too long.

        Raises:
            FaceModelsError: If it has not started yet.
        """
        if not self._is_ready:
            raise FaceModelsError(f"a worker process did not start within {_START_SECONDS:g} seconds")
        self.end(f"it took longer than {self.time_limit:g} seconds")

    def end(self, why: str = "") -> None:
        """End the process at once."""
        self.ended = why
        self._process.kill()
        self._process.join(10)
        self.connection.close()


def _serve(connection: Connection, analyzer: FaceAnalyzer, task: Task) -> None:
    """The worker process: chunks in, results out, until the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the other side ends this process
    worker = Worker(analyzer, task, lambda: connection.send((_BEAT, None)))
    waiting: queue.SimpleQueue[tuple[Chunk, list[Future[bytes]]]] = queue.SimpleQueue()

    def receive() -> None:
        while True:
            try:
                chunk = connection.recv()
            except (EOFError, OSError):
                os._exit(0)  # also when the other side was killed
            waiting.put((chunk, worker.read(chunk)))

    try:
        analyzer.warmup()
    except FaceModelsError as error:
        connection.send((_FAILED, str(error)))
        return
    connection.send((_READY, None))
    threading.Thread(target=receive, daemon=True).start()
    while True:
        connection.send((_RESULTS, worker.analyze(*waiting.get())))
