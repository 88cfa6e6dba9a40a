"""A `.tflite` model on LiteRT, for many threads and inputs of several shapes."""

from __future__ import annotations

import ctypes
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from math import prod

import numpy as np

from facemodels.errors import WeightsError
from facemodels.forking import Lock, after_fork

Runner = Callable[..., dict[str, np.ndarray]]


class Interpreters:
    """A pool of interpreters of one model, created on demand and shared between threads.

    An interpreter serves one call at a time, and a new shape of its input costs it several calls' time; so there is one
    for each shape in use, and there are never more at work than processors. All are made from the same bytes, which
    none of them copies. A forked child starts with an empty pool of its own.

    Args:
        content: The verified content of a file; its signature has one input, ``image``.
        threads: Threads of one interpreter; None takes one per processor, at most four.
        name: Of the model, for messages.
        kept_values: Idle interpreters are kept while their inputs together have at most this many values per
            processor: a large tile of a photo, or a model's batches of every size. An interpreter's memory grows with
            its input.

    Example:
        >>> Interpreters(Path("model.tflite").read_bytes()).run(np.zeros((1, 48, 48, 3), np.float32))  # doctest: +SKIP
        {'emotion': array([[0.02, …
    """

    def __init__(
        self, content: bytes, threads: int | None = None, name: str = "the model", kept_values: int = 1_250_000
    ) -> None:
        self._processors = os.cpu_count() or 1
        self._content = content
        self._threads = threads or min(4, self._processors)
        self._name = name
        self._most = kept_values * self._processors
        self._empty()
        after_fork(self, Interpreters._renew)

    def _empty(self) -> None:
        """Start anew: no interpreter idle, none at work."""
        self._places = _Queue(self._processors)
        self._lock = threading.Lock()
        self._idle: list[tuple[tuple[int, ...], Runner]] = []  # the one used last stands last

    def _renew(self) -> None:
        """In a forked child: start anew."""
        # To destroy an interpreter is to end its threads, which are not in this process; so these are never destroyed.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._idle))
        self._empty()

    @property
    def idle(self) -> list[tuple[int, ...]]:
        """The shapes that idle interpreters are made for; the one used last stands last."""
        with self._lock:
            return [shape for shape, _ in self._idle]

    def run(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Run the model.

        Args:
            image: ``(N, H, W, 3)`` float32.

        Returns:
            Output name to a new array.

        Raises:
            WeightsError: If LiteRT cannot run the model on this shape.
        """
        with self._places:
            runner = self._taken(image.shape) or self._made(image.shape)
            try:
                # The outputs are views into the interpreter's memory, which the next call overwrites.
                outputs = {name: np.array(output) for name, output in runner(image=image).items()}
            except Exception as error:
                raise WeightsError(f"{self._name} cannot be run by LiteRT: {error}") from error
            self._put_back(image.shape, runner)
        return outputs

    def _taken(self, shape: tuple[int, ...]) -> Runner | None:
        with self._lock:
            for index in reversed(range(len(self._idle))):
                if self._idle[index][0] == shape:
                    return self._idle.pop(index)[1]
        return None

    def _put_back(self, shape: tuple[int, ...], runner: Runner) -> None:
        with self._lock:
            self._idle.append((shape, runner))
            while len(self._idle) > 1 and sum(prod(shape) for shape, _ in self._idle) > self._most:
                del self._idle[0]

    def _made(self, shape: tuple[int, ...]) -> Runner:
        from ai_edge_litert.interpreter import Interpreter

        try:
            with NOTICE.kept_from_stderr():
                interpreter = Interpreter(model_content=self._content, num_threads=self._threads)
                (image,) = interpreter.get_input_details()
                interpreter.resize_tensor_input(image["index"], shape)
                interpreter.allocate_tensors()
            return interpreter.get_signature_runner("serving_default")
        except Exception as error:
            raise WeightsError(f"{self._name} cannot be run by LiteRT: {error}") from error


class _Queue:
    """A semaphore that serves in the order of arrival.

    `threading.Semaphore` lets a returning thread overtake those that wait: under steady load, a caller may wait
    forever.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: deque[threading.Lock] = deque()
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            if self._free and not self._waiting:
                self._free -= 1
                return
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        try:
            turn.acquire()
        except BaseException:  # Ctrl-C while it waits: the turn goes to the next
            with self._lock:
                waits = turn in self._waiting
                if waits:
                    self._waiting.remove(turn)
            if not waits:
                self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1


class _Notice:
    """The line that LiteRT writes to standard error once per process, without an option to disable it."""

    TEXT = b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n"

    def __init__(self) -> None:
        self._lock = Lock()
        self._past = False

    @contextmanager
    def kept_from_stderr(self) -> Iterator[None]:
        """Make the process's first interpreter in here; for every later one nothing is done."""
        with ExitStack() as stack:
            if not self._past:
                stack.enter_context(self._lock)
            if not self._past:
                stack.enter_context(self._filtered_stderr())
            yield
            self._past = True

    @contextmanager
    def _filtered_stderr(self) -> Iterator[None]:
        """Keep the line from standard error, and nothing else.

        It is written in C++, so only the file descriptor itself can be turned aside, into a pipe. A thread forwards
        everything else, as long as anybody holds the pipe: so a process that is started meanwhile, and inherits it as
        its standard error, can go on writing there.
        """
        try:
            stderr = os.dup(2)
        except OSError:  # no standard error at all: nothing to keep quiet
            yield
            return
        reading, writing = os.pipe()
        forwarding = threading.Thread(target=self._forward, args=(reading, stderr), daemon=True)
        forwarding.start()
        os.dup2(writing, 2)
        os.close(writing)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            forwarding.join(0.5)  # so that what was written in here comes before what is written next

    def _forward(self, reading: int, stderr: int) -> None:
        held = b""
        while part := os.read(reading, 65_536):
            held = (held + part).replace(self.TEXT, b"")
            # What may be the beginning of the line waits for the rest.
            lengths = range(min(len(held), len(self.TEXT) - 1), 0, -1)
            waiting = next((length for length in lengths if self.TEXT.startswith(held[-length:])), 0)
            os.write(stderr, held[: len(held) - waiting])
            held = held[len(held) - waiting :]
        os.write(stderr, held)
        os.close(reading)
        os.close(stderr)


NOTICE = _Notice()
