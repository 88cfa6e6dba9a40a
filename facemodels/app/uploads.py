"""Where the app keeps what visitors upload, and how it is deleted: by age, at the end, and after a crash.

Gradio saves uploads and annotated copies under ``GRADIO_TEMP_DIR``. Its own clean-up (`delete_cache`) knows only what
its own process saved and stops for good when an upload arrives at the wrong moment, so the app has one that depends on
nothing but the files. Each process has a folder of its own, which it holds a lock on; a folder whose lock is free
belonged to a process that was killed.
"""

from __future__ import annotations

import getpass
import os
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import numpy as np
from filelock import FileLock, Timeout
from gradio.utils import get_upload_folder
from PIL import Image

from facemodels.errors import ArgumentError
from facemodels.files import fit_name

KEEP_SECONDS = 300  # the longest that an upload lives
VARIABLE = "GRADIO_TEMP_DIR"


class UploadFolder:
    """The folder of this process, a context manager: made and swept on entering, deleted on leaving.

    While it is open, ``GRADIO_TEMP_DIR`` names it, so that Gradio (which reads that variable whenever it makes a
    component or a server) saves there and nowhere else.

    Args:
        base: The folder to make it in: ``GRADIO_TEMP_DIR``, else the system's folder for temporary files.
        keep: Seconds until a file is deleted. One that is still being read or written is touched by whoever does so.
        room: Bytes that must be free at the start.

    Attributes:
        path: The folder.

    Raises:
        ArgumentError: On entering, if there cannot be such a folder, or not with that much room.
    """

    def __init__(self, base: Path | None = None, keep: float = KEEP_SECONDS, room: int = 0) -> None:
        self.keep, self.room = keep, room
        self._source = VARIABLE if os.environ.get(VARIABLE) else f"TMPDIR, or {VARIABLE} for uploads alone"
        self._base = base or Path(os.environ.get(VARIABLE) or tempfile.gettempdir())
        user = os.getuid() if hasattr(os, "getuid") else getpass.getuser()
        self._home = self._base.resolve() / f"facemodels-{user}"
        self.path = self._home / f"{os.getpid()}-{time.time_ns():x}"
        self._lock = FileLock(self.path.with_suffix(".lock"))
        self._spared: frozenset[Path] = frozenset()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._sweep_until_closed, name="uploads", daemon=True)

    def __enter__(self) -> UploadFolder:
        try:
            self._open()
        except OSError as error:
            raise ArgumentError(self._refusal(error.strerror or str(error))) from error
        self._before = os.environ.get(VARIABLE)
        os.environ[VARIABLE] = str(self.path)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._thread.join()
        if self._before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = self._before
        self._delete(self.path, self._lock)
        if not any(self._home.iterdir()):
            self._home.rmdir()

    def _open(self) -> None:
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = self._home.lstat()
        if not stat.S_ISDIR(found.st_mode) or (hasattr(os, "getuid") and found.st_uid != os.getuid()):
            raise ArgumentError(self._refusal(f"{self._home} belongs to somebody else"))
        self._home.chmod(0o700)
        while not Path(self._lock.lock_file).exists():  # once more if a sweep of another process took it for a leftover
            self._lock.release()
            self._lock.acquire()
        self.path.mkdir(mode=0o700)
        self.sweep()
        free = shutil.disk_usage(self.path).free
        if free < self.room:
            self._delete(self.path, self._lock)
            raise ArgumentError(
                self._refusal(f"{free // 2**20} MB are free, and an upload may take {self.room // 2**20}")
            )

    def _refusal(self, reason: str) -> str:
        return f"uploads cannot be kept in {self._base}: {reason}. Set {self._source} to another folder"

    def spare(self, paths: Iterable[str | Path]) -> None:
        """Never delete these files by their age: they belong to the page, not to a visitor."""
        self._spared = frozenset(Path(path).resolve() for path in paths)

    def sweep(self) -> None:
        """Delete all that is older than `keep`, folders that were left empty, and what killed processes left."""
        for lock_file in self._home.glob("*.lock"):
            if lock_file != self.path.with_suffix(".lock"):
                lock = FileLock(lock_file)
                try:
                    lock.acquire(timeout=0)
                except Timeout:
                    continue  # its process lives, and sweeps by itself
                self._delete(lock_file.with_suffix(""), lock)
        oldest = time.time() - self.keep + self._pause
        for folder, _, names in os.walk(self.path, topdown=False):
            for path in (Path(folder, name) for name in names):
                if path not in self._spared and _changed(path) <= oldest:
                    path.unlink(missing_ok=True)
            if folder != str(self.path) and _changed(Path(folder)) <= oldest:
                _remove_if_empty(Path(folder))

    def oldest(self) -> float | None:
        """The age of the oldest upload in seconds; None without uploads."""
        files = (Path(folder, name) for folder, _, names in os.walk(self.path) for name in names)
        changed = [_changed(path) for path in files if path not in self._spared]
        return max(0.0, time.time() - min(changed)) if changed else None

    @property
    def _pause(self) -> float:
        """Seconds between two sweeps, which is how much sooner than `keep` a file may have to go."""
        return min(self.keep / 10, 10.0)

    def _sweep_until_closed(self) -> None:
        while not self._closing.wait(self._pause):
            try:
                self.sweep()
            except OSError:
                continue  # a folder that cannot be read now; the next sweep tries again, and `oldest` tells

    @staticmethod
    def _delete(folder: Path, lock: FileLock) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            Path(lock.lock_file).unlink(missing_ok=True)  # while it is held, or it might be that of another process
        lock.release()


def touch(path: Path) -> None:
    """Say that a file, or all in a folder, is still in use."""
    for one in (path, *path.iterdir()) if path.is_dir() else (path,):
        os.utime(one)


def _changed(path: Path) -> float:
    """When a file came here or was touched: a copy may carry an older time of modification. Now, if it is gone."""
    try:
        return path.lstat().st_ctime
    except FileNotFoundError:
        return time.time()


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return  # something came into it


def upload_folder(prefix: str) -> Path:
    """A new folder among the uploads, which is deleted by its age."""
    folder = Path(get_upload_folder())
    folder.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=folder, prefix=prefix))


def save_image(pixels: np.ndarray, stem: str = "annotated", ending: str = ".png") -> str:
    """Write an image among the uploads, in a folder of its own.

    Args:
        pixels: ``(H, W, 3)`` RGB uint8.
        stem: How its name begins: as visitors wrote it, what no file can be called included.
        ending: How its name ends; the suffix says the format, PNG or JPEG.
    """
    stem = stem.encode("utf-8", "replace").decode().replace("\0", "?")
    path = upload_folder("annotated-") / fit_name(stem, ending)
    Image.fromarray(pixels).save(path, compress_level=1, quality=92)  # each is of one format only
    return str(path)
