"""The folder of a batch: tables in blocks, each committed by the rename of its manifest.

    settings.json            what was asked for; another run must ask for the same
    faces/part-00000001.*    a row per face
    errors/part-00000001.*   a row per input that could not be analyzed, and why
    blocks/00000001.json     the manifest: exactly the inputs of the block's tables
    summary.json             counts, speeds, versions

A table without a manifest is what a killed run left: it is deleted when the next one begins, and its inputs are done
again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from filelock import FileLock, Timeout

from facemodels.batch.inputs import identity
from facemodels.batch.worker import Result
from facemodels.errors import ArgumentError, FaceModelsError
from facemodels.files import write_errors, written_whole
from facemodels.results import SINKS, CsvTable, ParquetSink, Sink, load_arrow
from facemodels.video.frames import VideoFrame

SCHEMA = 1
FORMATS = ("parquet", "csv", "jsonl")
_BLOCK_SECONDS = 30.0  # after which a block is committed, however few inputs it has
_OWN = frozenset(("settings.json", "summary.json", "faces", "errors", "blocks", ".lock", ".part"))


class Seen:
    """A set of names that takes 16 bytes for each: their hashes, sorted by the first half."""

    _PENDING = 20_000  # at least, of those that are not sorted in yet

    def __init__(self) -> None:
        self._first = self._second = np.empty(0, np.uint64)
        self._pending: set[tuple[int, int]] = set()

    def add(self, name: str) -> bool:
        """Add a name; returns whether it was not there."""
        digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        first, second = int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big")
        index = int(np.searchsorted(self._first, np.uint64(first)))
        while index < len(self._first) and self._first[index] == first:
            if self._second[index] == second:
                return False
            index += 1
        if (first, second) in self._pending:
            return False
        self._pending.add((first, second))
        if len(self._pending) >= max(self._PENDING, len(self._first) // 8):
            pending = np.array(list(self._pending), np.uint64)
            firsts = np.concatenate([self._first, pending[:, 0]])
            order = np.argsort(firsts)
            self._first, self._second = firsts[order], np.concatenate([self._second, pending[:, 1]])[order]
            self._pending.clear()
        return True


@dataclass
class Counts:
    """How much was done.

    Attributes:
        inputs: Images and videos, those with errors among them.
        videos: Videos among them.
        faces: Rows of the table of faces.
        errors: Inputs with an error.
    """

    inputs: int = 0
    videos: int = 0
    faces: int = 0
    errors: int = 0

    def add(self, other: Mapping[str, int]) -> None:
        """Add other counts."""
        for name in vars(self):
            setattr(self, name, getattr(self, name) + other[name])


class OutputTables:
    """The folder of a batch. A context manager: leaving it commits what was added, however it is left.

    Args:
        path: The folder; it need not exist yet.
        form: One of `FORMATS`.
        settings: What decides the answers: another run into the folder must have the same.
        labels: Attribute to labels, as of `ParquetSink`.
        block_size: Inputs of a block.
        retry_errors: Forget the inputs of earlier runs that had errors and no row, so that they are done again.

    Attributes:
        done: What earlier runs did, and this one has committed.

    Raises:
        ArgumentError: If the folder is none of a batch, was made with other settings, or another run writes into it.
        FaceModelsError: If it cannot be written.
    """

    def __init__(
        self,
        path: Path,
        *,
        form: str,
        settings: Mapping[str, Any],
        labels: Mapping[str, Sequence[str]],
        block_size: int,
        retry_errors: bool = False,
    ) -> None:
        self.path = path
        self._seen = Seen()
        self.done = Counts()
        self._form = form
        self._settings = {"format": form, **settings}
        self._labels = labels
        self._block_size = block_size
        self._retry_errors = retry_errors
        self._block: _Block | None = None
        self._number = 0
        self._lock = FileLock(path / ".lock")

    def __enter__(self) -> OutputTables:
        if self.path.exists() and not self.path.is_dir():
            raise ArgumentError(f"{self.path}: cannot be made a folder: it is a file")
        is_new = self.path.is_dir() and not (self.path / "settings.json").exists()
        if is_new and (strange := sorted(entry.name for entry in self.path.iterdir() if entry.name not in _OWN)):
            raise ArgumentError(f"{self.path}: holds other files, {strange[0]} for one; choose a new folder")
        with write_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire(timeout=0)
            except Timeout as error:
                raise ArgumentError(f"{self.path}: another run is writing into this folder") from error
        try:
            self._check_settings()
            self._recover()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.commit()
        except FaceModelsError:
            if error is None:
                raise
        finally:
            shutil.rmtree(self.path / ".part", ignore_errors=True)
            self._lock.release()

    def claim(self, source: str) -> bool:
        """Whether an input is neither done nor claimed yet; now it is."""
        return self._seen.add(identity(source, str(Path.cwd())))

    def add(self, result: Result) -> None:
        """Add what came of an input; it is committed with its block.

        Raises:
            FaceModelsError: If it cannot be written.
        """
        if self._block is None:
            self._number += 1
            self._block = _Block(self.path, self._number, self._form, self._labels)
        self._block.add(result)
        if self._block.counts.inputs >= self._block_size or self._block.age > _BLOCK_SECONDS:
            self.commit()

    def commit(self) -> None:
        """Commit the block that was begun, if there is one.

        Raises:
            FaceModelsError: If it cannot be written; its inputs are not done then.
        """
        block, self._block = self._block, None
        if block is not None:
            block.commit()
            self.done.add(vars(block.counts))

    def write_summary(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Write ``summary.json``: all counts, facts of this run, and the settings."""
        summary = {"schema": SCHEMA, "counts": vars(self.done), **facts, "settings": self._settings}
        _write_json(self.path / "summary.json", summary)
        return summary

    def _check_settings(self) -> None:
        path = self.path / "settings.json"
        if not path.exists():
            _write_json(path, self._settings)
            return
        before = _read_json(path)
        for name in sorted(before.keys() | self._settings.keys()):
            if before.get(name) != self._settings.get(name):
                raise ArgumentError(
                    f"{self.path}: was made with {name} {json.dumps(before.get(name))}, not "
                    f"{json.dumps(self._settings.get(name))}; choose another folder, or the same settings"
                )

    def _recover(self) -> None:
        """Learn what is done, and delete what was not committed."""
        with write_errors(self.path):
            shutil.rmtree(self.path / ".part", ignore_errors=True)
            for name in (".part", "faces", "errors", "blocks"):
                (self.path / name).mkdir(exist_ok=True)
            files: set[str] = set()
            for path in sorted((self.path / "blocks").glob("*.json")):
                if path.name.startswith("."):  # being written when the run was killed
                    path.unlink()
                    continue
                manifest = _read_json(path)
                if self._retry_errors and manifest["failed"]:
                    manifest = self._without_errors(path, manifest)
                self._number = max(self._number, manifest["block"])
                files.update(manifest["files"])
                self.done.add(manifest["counts"])
                for source in (*manifest["inputs"], *manifest["failed"]):
                    self._seen.add(identity(source, manifest["folder"]))
            for folder in ("faces", "errors"):
                for file in (self.path / folder).iterdir():
                    if f"{folder}/{file.name}" not in files:
                        file.unlink()

    def _without_errors(self, path: Path, manifest: dict[str, Any]) -> dict[str, Any]:
        """A manifest, also on disk, without its failed inputs; a video that broke off has rows, and stays."""
        kept = {source: failure for source, failure in manifest["failed"].items() if failure["faces"]}
        forgotten = len(manifest["failed"]) - len(kept)
        counts = {**manifest["counts"], "errors": len(kept), "inputs": manifest["counts"]["inputs"] - forgotten}
        files = manifest["files"]
        if kept:
            _write_errors_table(self.path / ".part" / "errors", self._form, kept)
            (self.path / ".part" / "errors").replace(self.path / files[-1])
        elif forgotten:
            files = [file for file in files if not file.startswith("errors/")]
        changed = {**manifest, "failed": kept, "counts": counts, "files": files}
        _write_json(path, changed)
        return changed


class _Block:
    """The tables of a block while they are written."""

    def __init__(self, path: Path, number: int, form: str, labels: Mapping[str, Sequence[str]]) -> None:
        self.counts = Counts()
        self._path = path
        self._number = number
        self._form = form
        self._began = time.monotonic()
        self._inputs: dict[str, int] = {}
        self._failed: dict[str, dict[str, Any]] = {}
        part = path / ".part" / "faces"
        with write_errors(path):
            if form == "parquet":
                self._file: IO[Any] = part.open("wb")
                self._sink: Sink = ParquetSink(self._file, labels)
            else:
                self._file = part.open("w", encoding="utf-8", errors="backslashreplace", newline="")
                self._sink = SINKS[form](self._file, images=True, videos=True)

    @property
    def age(self) -> float:
        """Seconds since it was begun."""
        return time.monotonic() - self._began

    def add(self, result: Result) -> None:
        """Add what came of an input."""
        self.counts.add({"inputs": 1, "videos": result.is_video, "faces": result.faces, "errors": bool(result.error)})
        with write_errors(self._path):
            if result.frames:
                self._sink.write_video(result.source, _Frames(result.frames))
            elif result.analysis is not None:
                self._sink.write_image(result.source, result.analysis, result.taken)
        if result.error is not None:
            self._failed[result.source] = {"error": result.error, "faces": result.faces}
        else:
            self._inputs[result.source] = result.faces

    def commit(self) -> None:
        """Make the tables appear, and then the manifest."""
        part = self._path / ".part"
        name = f"part-{self._number:08}.{self._form}"
        with write_errors(self._path):
            with self._file:
                self._sink.close()
                self._file.flush()
                os.fsync(self._file.fileno())
            files = [f"faces/{name}"]
            (part / "faces").replace(self._path / files[0])
            if self._failed:
                files.append(f"errors/{name}")
                _write_errors_table(part / "errors", self._form, self._failed)
                (part / "errors").replace(self._path / files[1])
        manifest = {
            **{"schema": SCHEMA, "block": self._number, "counts": vars(self.counts), "files": files},
            **{"folder": str(Path.cwd()), "inputs": self._inputs, "failed": self._failed},
        }
        _write_json(self._path / "blocks" / f"{self._number:08}.json", manifest)


class _Frames:
    """The analyzed frames of a video, for a `Sink`."""

    error: str | None = None  # errors have a table of their own

    def __init__(self, frames: Sequence[VideoFrame]) -> None:
        self._frames = frames

    def __iter__(self) -> Iterator[VideoFrame]:
        return iter(self._frames)

    def facts(self) -> dict[str, Any]:
        """See `VideoAnswer.facts`."""
        analysis = self._frames[0].analysis
        return {"width": analysis.width, "height": analysis.height, "models": dict(analysis.models)}

    def lines(self) -> Iterator[str]:
        """See `VideoAnswer.lines`."""
        yield f"{len(self._frames)} frames"


def _write_errors_table(path: Path, form: str, failed: Mapping[str, Mapping[str, Any]]) -> None:
    rows = [{"source": source, "error": failure["error"]} for source, failure in failed.items()]
    with path.open("wb") as file:
        if form == "parquet":
            arrow, parquet = load_arrow()
            texts = {name: [_as_text(row[name]) for row in rows] for name in rows[0]}
            parquet.write_table(arrow.table(texts), file)
            return
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as text:
        if form == "csv":
            table = CsvTable(text, tuple(rows[0]))
            for row in rows:
                table.write(row)
        else:
            text.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _as_text(name: str) -> str:
    """A file name that may be no text, as text."""
    return name.encode("utf-8", "backslashreplace").decode()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise FaceModelsError(f"{path}: is damaged: {error}") from error


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a file that appears whole, and is on disk then."""
    with written_whole(path, overwrite=True) as part, write_errors(path), part.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
