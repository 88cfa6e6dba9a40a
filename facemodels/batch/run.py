"""`analyze_many`: inputs through an engine into the folder of tables."""

from __future__ import annotations

import os
import pickle
import platform
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from facemodels import __version__
from facemodels.analyzer import FaceAnalyzer
from facemodels.batch.cluster import RayEngine
from facemodels.batch.copies import ANONYMIZED, CROPS
from facemodels.batch.inputs import Inputs, Item
from facemodels.batch.local import LocalEngine
from facemodels.batch.output import FORMATS, PART, OutputTables
from facemodels.batch.worker import Chunk, Result, Task
from facemodels.errors import ArgumentError, FaceModelsError
from facemodels.files import OutputFolder

T = TypeVar("T")

ENGINES = ("local", "ray")
CHUNK_ITEMS = 32
_CHUNK_BYTES = 32 * 2**20
_UNKNOWN_BYTES = 4 * 2**20  # of an item whose size nobody has said
_CHUNKS_READY = 4
_MOST_UNREACHABLE = 20  # in a row; then the store is gone, and the rest waits for another run


@dataclass(frozen=True)
class BatchProgress:
    """How far a batch is.

    Attributes:
        done: Inputs that are done, those of earlier runs among them.
        total: Inputs there are; None while they are still being counted.
        faces: Faces found by this run.
        errors: Inputs of this run that could not be analyzed.
        earlier: Inputs that earlier runs did.
        seconds: Since this run began.
    """

    done: int
    total: int | None
    faces: int
    errors: int
    earlier: int
    seconds: float

    @property
    def rate(self) -> float:
        """Inputs a second of this run."""
        return (self.done - self.earlier) / max(self.seconds, 1e-9)


class Engine(Protocol):
    """Has chunks of items analyzed."""

    name: str
    restarts: int

    def __enter__(self) -> Engine: ...

    def __exit__(self, *arguments: Any) -> None: ...

    def run(self, chunks: Iterable[Chunk], /) -> Iterator[list[Result]]:
        """The results of each chunk, as they are ready; chunks are taken as they are needed."""
        ...


def analyze_many(
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    analyzer: FaceAnalyzer | None = None,
    *,
    engine: str = "local",
    workers: int | tuple[int, int] | None = None,
    address: str | None = None,
    output: str = "parquet",
    fps: float | None = 5.0,
    time_limit: float = 60.0,
    block_size: int = 1_000,
    image_column: str | None = None,
    crops: bool = False,
    anonymized: bool = False,
    retry_errors: bool = False,
    progress: Callable[[BatchProgress], None] | None = None,
) -> dict[str, Any]:
    """Analyze any number of images and videos into a folder of tables.

    Each input is done once. A run that was interrupted, or killed, is continued by the same call: what is committed
    stays, what is missing is done. A local file whose size or time of modification is another one than it was is done
    again, and its old rows go; what URLs name counts as unchanged. Memory does not grow with the number of inputs.

    Args:
        inputs: Folders (subfolders too), files, glob patterns, lists (``.txt`` with a path a line, ``.csv`` with a
            column ``path``), tar shards, Parquet and Arrow files with encoded images, and URLs that fsspec opens.
        out: The folder: ``faces/`` has a row per face (of a video, per face and analyzed frame), ``errors/`` one per
            input that could not be analyzed, ``summary.json`` counts, speeds, versions and settings.
        analyzer: What analyzes. By default all attributes; give yours ``threads=1``, since each worker has one.
        engine: ``local``, processes of this machine; or ``ray``, actors of a Ray cluster.
        workers: How many processes or actors; for Ray also the least and the most. By default one per processor.
        address: Of a running Ray cluster; None starts one on this machine.
        output: ``parquet``, ``csv`` or ``jsonl``.
        fps: Frames per second of a video to analyze; None for all.
        time_limit: Seconds that an image, or a frame, may take. Then its worker is replaced, and the input is an error.
        block_size: Inputs whose rows are committed together.
        image_column: The column of images in Parquet and Arrow files; None takes ``image``, or the only one of bytes.
        crops: Keep each face's crop, too: ``crops/`` has tar files in WebDataset's layout, ``KEY.jpg`` with
            ``KEY.json``, which names source, frame and face as the tables do.
        anonymized: Keep a copy of each input with hidden faces and without metadata, too, as `anonymize` and
            `anonymize_video` make them: tar files in ``anonymized/``.
        retry_errors: Do inputs again that were errors in earlier runs.
        progress: Is called about twice a second.

    Returns:
        The content of ``summary.json``.

    Raises:
        ArgumentError: If an argument is wrong, or the folder was made with other settings.
        FaceModelsError: If there is no input, a store cannot be reached or the folder cannot be written. What was
            committed stays.

    Example:
        >>> analyze_many("photos/", "faces/")["counts"]      # doctest: +SKIP
        {'inputs': 20000, 'videos': 0, 'faces': 31415, 'errors': 2}
    """
    if engine not in ENGINES:
        raise ArgumentError(f"engine must be one of {', '.join(ENGINES)}; got {engine!r}")
    if output not in FORMATS:
        raise ArgumentError(f"output must be one of {', '.join(FORMATS)}; got {output!r}")
    if address is not None and engine != "ray":
        raise ArgumentError('address is of a Ray cluster; it goes with engine="ray"')
    _check_positive("time_limit", time_limit)
    _check_positive("block_size", block_size)
    least, most = _check_workers(workers)
    if "://" in os.fspath(out):
        raise ArgumentError(f"{out}: results are written to a folder of this machine, or a mounted one; not to a URL")
    analyzer = FaceAnalyzer(threads=1) if analyzer is None else analyzer
    try:
        pickle.dumps(analyzer)
    except (AttributeError, TypeError, pickle.PicklingError) as error:
        raise ArgumentError(f"the analyzer cannot be sent to other processes, perhaps its detector: {error}") from error
    folder = Path(out)
    copies = tuple(kind for kind, is_wanted in ((CROPS, crops), (ANONYMIZED, anonymized)) if is_wanted)
    task = Task(fps, copies, scratch=folder.resolve() / PART)

    def all_inputs() -> Inputs:
        return Inputs(inputs, image_column=image_column, output=OutputFolder("out", folder))

    items = all_inputs()
    tables = OutputTables(
        folder,
        form=output,
        settings=_settings(analyzer, task),
        labels={name: spec.head(name).labels for name, spec in analyzer.specs.items()},
        block_size=block_size,
        retry_errors=retry_errors,
    )
    with ExitStack() as stack:
        stack.enter_context(tables)
        count = None if progress is None else stack.enter_context(_Count(all_inputs()))
        run = _Run(tables, items, progress, count)
        made: Engine = (
            RayEngine(analyzer, task, workers=(least, most), time_limit=time_limit, address=address)
            if engine == "ray"
            else LocalEngine(analyzer, task, workers=most, time_limit=time_limit)
        )
        return run.finish(stack.enter_context(made), most)


def _check_positive(name: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise ArgumentError(f"{name} must be a number above 0; got {value!r}")


def _check_workers(workers: int | tuple[int, int] | None) -> tuple[int, int]:
    """The least and the most workers."""
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    bounds = (workers, workers) if isinstance(workers, int) else tuple(workers)
    if len(bounds) != 2 or not all(isinstance(count, int) for count in bounds) or not 1 <= bounds[0] <= bounds[1]:
        raise ArgumentError(f"workers must be a whole number from 1 up, or the least and the most; got {workers!r}")
    return bounds[0], bounds[1]


def _settings(analyzer: FaceAnalyzer, task: Task) -> dict[str, Any]:
    """What decides what is written."""
    return {
        "models": {
            name: {"name": analyzer.models[name], "sha256": {file: entry.sha256 for file, entry in spec.files.items()}}
            for name, spec in analyzer.specs.items()
        },
        "detector": analyzer.detector,
        "backend": analyzer.backend,
        "min_score": analyzer.min_score,
        "max_faces": analyzer.max_faces,
        "min_quality": analyzer.min_quality or None,
        "fps": task.fps,
        "copies": list(task.copies) or None,
    }


class _Run:
    """One run: results into tables, and what there is to say about it."""

    def __init__(
        self,
        tables: OutputTables,
        inputs: Inputs,
        progress: Callable[[BatchProgress], None] | None,
        count: _Count | None,
    ) -> None:
        self._count = count
        self._tables = tables
        self._inputs = inputs
        self._progress = progress
        self._before = replace(tables.done)
        self._began = time.monotonic()
        self._told = 0.0
        self._first_row: float | None = None
        self._done = self._faces = self._errors = 0  # of this run, those that are not committed yet among them
        self._unreachable: list[Result] = []  # in a row

    def finish(self, engine: Engine, workers: int) -> dict[str, Any]:
        """Do what is missing, and write the summary, also of a run that ends early."""
        is_complete = False
        try:
            with _ahead(_chunks(self._inputs.items(self._tables.claim)), _CHUNKS_READY) as chunks:
                for results in engine.run(chunks):
                    for result in results:
                        self._add(result)
                    self._tell()
            for result in self._unreachable:
                self._tables.add(result)
            self._tables.commit()
            if not self._tables.done.inputs:
                raise FaceModelsError("; ".join(self._inputs.problems) or "there is no input")
            is_complete = True
        finally:
            self._tables.commit()
            summary = self._tables.write_summary(self._facts(engine, workers, is_complete))
        self._tell(at_end=True)
        return summary

    def _add(self, result: Result) -> None:
        if result.is_unreachable:
            self._unreachable.append(result)
            if len(self._unreachable) >= _MOST_UNREACHABLE:
                raise FaceModelsError(
                    f"{len(self._unreachable)} inputs in a row could not be reached, {result.source} the last: "
                    f"{result.error}. What is done is kept; the same call does the rest"
                )
            return
        for one in (*self._unreachable, result):
            self._tables.add(one)
            self._done += 1
            self._faces += one.faces
            self._errors += one.error is not None
        self._unreachable.clear()
        if self._first_row is None and result.faces:
            self._first_row = time.monotonic() - self._began

    def _tell(self, *, at_end: bool = False) -> None:
        now = time.monotonic()
        if self._progress is None or (now - self._told < 0.5 and not at_end):
            return
        self._told = now
        earlier = self._before.inputs
        done = earlier + self._done
        total = done if at_end else self._count.total if self._count else None
        self._progress(BatchProgress(done, total, self._faces, self._errors, earlier, now - self._began))

    def _facts(self, engine: Engine, workers: int, is_complete: bool) -> dict[str, Any]:
        seconds = time.monotonic() - self._began
        committed = self._tables.done.since(self._before)
        return {
            "complete": is_complete,
            "run": {
                "inputs": committed.inputs,
                "earlier": self._before.inputs,
                "faces": committed.faces,
                "errors": committed.errors,
                "seconds": round(seconds, 3),
                "inputs_per_second": round(committed.inputs / seconds, 3),
                "seconds_to_first_face": None if self._first_row is None else round(self._first_row, 3),
                "engine": engine.name,
                "workers": workers,
                "restarts": engine.restarts,
            },
            "problems": list(self._inputs.problems),
            "left_out": dict(self._inputs.left_out),
            "versions": {"facemodels": __version__, "python": platform.python_version()},
        }


def _chunks(items: Iterable[Item]) -> Iterator[Chunk]:
    """Items in groups that have few bytes together; a video comes alone."""
    chunk: list[Item] = []
    room = _CHUNK_BYTES
    for item in items:
        size = _CHUNK_BYTES if item.is_video else _size(item)
        if chunk and (size > room or len(chunk) == CHUNK_ITEMS):
            yield tuple(chunk)
            chunk, room = [], _CHUNK_BYTES
        chunk.append(item)
        room -= size
    if chunk:
        yield tuple(chunk)


def _size(item: Item) -> int:
    if item.data is not None:
        return len(item.data)
    if item.length is not None:
        return item.length
    try:
        return _UNKNOWN_BYTES if item.path is None else item.path.stat().st_size
    except (OSError, ValueError):
        return 0  # reading it says why


@contextmanager
def _ahead(items: Iterator[T], most: int) -> Iterator[Iterator[T]]:
    """The items, made by a thread that is at most so many ahead: listing and reading stores does not keep the engine
    waiting. Leaving it ends the thread with the item that it is at.
    """
    maker = ThreadPoolExecutor(1, "inputs")
    ready = deque(maker.submit(next, items, None) for _ in range(most))

    def take() -> Iterator[T]:
        while (item := ready.popleft().result()) is not None:
            ready.append(maker.submit(next, items, None))
            yield item

    try:
        yield take()
    finally:
        maker.shutdown(wait=False, cancel_futures=True)


class _Count:
    """Counts the inputs in a thread, beside the run. A context manager.

    Attributes:
        total: How many there are, None while it counts.
    """

    def __init__(self, inputs: Inputs) -> None:
        self.total: int | None = None
        self._inputs = inputs
        self._count = 0
        self._is_over = False

    def __enter__(self) -> _Count:
        threading.Thread(target=self._run, name="count", daemon=True).start()
        return self

    def __exit__(self, *arguments: Any) -> None:
        self._is_over = True

    def _run(self) -> None:
        with suppress(FaceModelsError):  # the run itself meets it, too
            for _ in self._inputs.items(self._is_none):
                pass
            self.total = self._count

    def _is_none(self, source: str) -> bool:
        if self._is_over:
            raise FaceModelsError("the run is over")
        self._count += 1
        return False
