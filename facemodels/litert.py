"""A `.tflite` model on LiteRT, for many threads and inputs of several shapes."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path

import numpy as np

from facemodels.errors import WeightsError

Runner = Callable[..., dict[str, np.ndarray]]

# Idle interpreters are kept while their inputs together have no more values than this for each processor:
# a large tile of a photo, or a model's batches of every size. What one holds in memory grows with its input.
KEPT_VALUES = 2_000_000


class Interpreters:
    """A pool of interpreters of one model, made on first use and shared between threads.

    An interpreter serves one call at a time, and a new shape of its input costs it several calls' time; so there is one
    for each shape in use, and there are never more at work than processors.

    Args:
        model: The verified file, or its content; its signature has one input, ``image``.
        threads: Threads of one interpreter; None takes one per processor, at most four.

    Example:
        >>> Interpreters(Path("model.tflite")).run(np.zeros((1, 48, 48, 3), np.float32))      # doctest: +SKIP
        {'emotion': array([[0.02, …
    """

    def __init__(self, model: Path | bytes, threads: int | None = None) -> None:
        processors = os.cpu_count() or 1
        self._model = model
        self._threads = threads or min(4, processors)
        self._places = threading.Semaphore(processors)
        self._most = KEPT_VALUES * processors
        self._lock = threading.Lock()
        self._idle: list[tuple[tuple[int, ...], Runner]] = []  # the one used last stands last

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
            # The outputs are views into the interpreter's memory, which the next call overwrites.
            outputs = {name: np.array(output) for name, output in runner(image=image).items()}
            self._put_back(image.shape, runner)
        return outputs

    def _taken(self, shape: tuple[int, ...]) -> Runner | None:
        with self._lock:
            for place in reversed(range(len(self._idle))):
                if self._idle[place][0] == shape:
                    return self._idle.pop(place)[1]
        return None

    def _put_back(self, shape: tuple[int, ...], runner: Runner) -> None:
        with self._lock:
            self._idle.append((shape, runner))
            while len(self._idle) > 1 and sum(prod(shape) for shape, _ in self._idle) > self._most:
                del self._idle[0]

    def _made(self, shape: tuple[int, ...]) -> Runner:
        from ai_edge_litert.interpreter import Interpreter

        source: dict[str, str | bytes]
        if isinstance(self._model, bytes):
            name, source = "the model in memory", {"model_content": self._model}
        else:
            name, source = str(self._model), {"model_path": str(self._model)}
        try:
            with _quiet():
                interpreter = Interpreter(**source, num_threads=self._threads)
                (image,) = interpreter.get_input_details()
                interpreter.resize_tensor_input(image["index"], shape)
                interpreter.allocate_tensors()
            return interpreter.get_signature_runner("serving_default")
        except (RuntimeError, ValueError) as error:
            raise WeightsError(f"{name} cannot be run by LiteRT: {error}") from error


# Standard error belongs to the whole process, so one thread at a time may hold it.
_STDERR = threading.Lock()
_NOTICE = b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep LiteRT's one notice, for which it has no switch, from standard error; whatever else is written there passes.

    It is written in C++, so only the file descriptor itself can be turned aside. Ugly, but a library must not talk.
    """
    with _STDERR, tempfile.TemporaryFile() as aside:
        try:
            stderr = os.dup(2)
        except OSError:  # no standard error at all: nothing to keep quiet
            yield
            return
        try:
            os.dup2(aside.fileno(), 2)
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            aside.seek(0)
            if said := aside.read().replace(_NOTICE, b""):
                os.write(2, said)
