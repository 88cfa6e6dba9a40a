"""The engine of many machines: Ray Data, with a `LocalEngine` of one process inside every actor."""

from __future__ import annotations

import logging
import pickle
import socket
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from types import TracebackType
from typing import Any

from facemodels.analyzer import FaceAnalyzer
from facemodels.batch.inputs import Item, UnreachableError
from facemodels.batch.local import LocalEngine
from facemodels.batch.worker import Chunk, Result, Task
from facemodels.errors import FaceModelsError

_WINDOW = 1_000  # chunks that are handed to Ray Data at a time: only they are in memory
_CONNECT_SECONDS = 5.0
_READER = 0.25  # of a processor, for a task that reads
_ACTOR = 0.75  # of a processor, as far as there are so many


class RayEngine:
    """Actors of a Ray cluster. A context manager; leaving it ends them, and the cluster if it was started here.

    Reading is a stage of tasks of its own. Both stages claim fractions of a processor, so that on two processors
    neither keeps the other from running.

    Args:
        analyzer: Is sent to each actor.
        task: What they do; its folder for what is large is of this machine, and not used.
        workers: How many actors, at least and at most.
        time_limit: See `LocalEngine`.
        address: Of a running cluster; None starts one on this machine, for this run.

    Attributes:
        restarts: Always 0: Ray starts its actors again by itself.

    Raises:
        FaceModelsError: If Ray is not installed, or the cluster cannot be reached.
    """

    name = "ray"

    def __init__(
        self,
        analyzer: FaceAnalyzer,
        task: Task,
        *,
        workers: tuple[int, int],
        time_limit: float,
        address: str | None = None,
    ) -> None:
        try:
            import ray
            import ray.data
        except ImportError as error:
            raise FaceModelsError(
                f'engine="ray" needs Ray, which is missing ({error}): pip install ".[ray]" in the checkout'
            ) from error
        self.restarts = 0
        self._ray: Any = ray
        self._task = replace(task, scratch=None)
        self._time_limit = time_limit
        self._analyzer = analyzer
        self._workers = workers
        self._is_ours = not ray.is_initialized()
        if self._is_ours:
            _check_address(address)
            logging.getLogger("ray.data").setLevel(logging.WARNING)
            options: dict[str, Any] = {}
            if not address:  # nobody else needs to reach it
                options = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
            try:
                self._ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING, **options)
            except (ConnectionError, OSError, RuntimeError, ValueError) as error:
                raise FaceModelsError(
                    f"the Ray cluster {address or 'of this machine'} cannot be used: {error}"
                ) from error

    def __enter__(self) -> RayEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._is_ours:
            self._ray.shutdown()

    def run(self, chunks: Iterable[Chunk]) -> Iterator[list[Result]]:
        """The results of each chunk, as they are ready.

        Raises:
            FaceModelsError: If the cluster gives up.
        """
        data = self._ray.data
        data.DataContext.get_current().enable_progress_bars = False
        coming = iter(chunks)
        while window := list(islice(coming, _WINDOW)):
            rows = [{"chunk": pickle.dumps(chunk)} for chunk in window]
            read = data.from_items(rows, override_num_blocks=len(rows)).map_batches(
                _read, batch_size=1, num_cpus=_READER
            )
            least, most = (min(count, len(window)) for count in self._workers)
            processors = self._ray.cluster_resources().get("CPU", 1.0)
            analyzed = read.map_batches(
                _Actor,
                fn_constructor_args=(self._analyzer, self._task, self._time_limit),
                batch_size=1,
                # Never all processors: the tasks that read need one, too.
                num_cpus=min(_ACTOR, _ACTOR * processors / most),
                compute=data.ActorPoolStrategy(min_size=least, max_size=most),
            )
            try:
                for row in analyzed.iter_rows():
                    yield pickle.loads(row["results"])
            except self._ray.exceptions.RayError as error:
                raise FaceModelsError(f"the Ray cluster gave up: {str(error).strip().splitlines()[-1]}") from error


def _check_address(address: str | None) -> None:
    """Refuse an address where nothing listens: Ray would wait for minutes.

    Raises:
        FaceModelsError: If it is a host and a port, and cannot be connected to.
    """
    host, colon, port = (address or "").rpartition(":")
    if colon and "/" not in host and port.isdigit():
        try:
            socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
        except OSError as error:
            raise FaceModelsError(f"the Ray cluster {address} cannot be used: {error.strerror or error}") from error


def _read(batch: dict[str, Any]) -> dict[str, Any]:
    """Fill the items of chunks with their bytes."""
    chunks = [tuple(_filled(item) for item in pickle.loads(chunk)) for chunk in batch["chunk"]]
    return {"chunk": [pickle.dumps(chunk) for chunk in chunks]}


def _filled(item: Item) -> Item:
    if item.is_video and item.path is not None:
        return item  # may be long: it is read where it is analyzed
    try:
        return replace(item, data=item.read())
    except UnreachableError:
        return item  # is tried once more
    except FaceModelsError as error:
        return replace(item, problem=str(error))


class _Actor:
    """Analyzes chunks in a process of its own: an input that ends that process costs no actor."""

    def __init__(self, analyzer: FaceAnalyzer, task: Task, time_limit: float) -> None:
        from ray.util.metrics import Counter

        self._engine = LocalEngine(analyzer, task, workers=1, time_limit=time_limit)
        self._metrics = {
            "faces": Counter("facemodels_faces", "Faces that were found"),
            "errors": Counter("facemodels_errors", "Inputs that could not be analyzed"),
        }

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        results = [result for found in self._engine.run(map(pickle.loads, batch["chunk"])) for result in found]
        counts = {
            "faces": sum(result.faces for result in results),
            "errors": sum(result.error is not None for result in results),
        }
        for name, count in counts.items():
            if count:  # Ray takes no zero
                self._metrics[name].inc(count)
        return {"results": [pickle.dumps([result.packed() for result in results])]}
