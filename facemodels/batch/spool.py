"""Results of one input that may be large: held in memory while small, then in a file."""

from __future__ import annotations

import io
import pickle
import secrets
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Self

from facemodels.files import write_errors
from facemodels.video.frames import VideoFrame

IN_MEMORY = 4 * 2**20  # bytes that are held at most
FRAMES = 200  # of a video that are written together


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes that are read once: held here, or in a file that is deleted by `discard`."""

    data: bytes = b""
    path: Path | None = None

    def open(self) -> BinaryIO:
        """The bytes, for reading."""
        return io.BytesIO(self.data) if self.path is None else self.path.open("rb")

    def discard(self) -> None:
        """Delete the file, if there is one."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def packed(self) -> Content:
        """The same without a file, for another machine."""
        if self.path is None:
            return self
        data = self.path.read_bytes()
        self.discard()
        return Content(data)


class Spool:
    """Bytes that are written, and become a `Content`. A context manager: what is not finished is deleted.

    Args:
        folder: Of the file, if it comes to one; None takes that for temporary files.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = Path(tempfile.gettempdir()) if folder is None else folder
        self._data = io.BytesIO()
        self._path: Path | None = None
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def write(self, data: bytes) -> None:
        """Append bytes.

        Raises:
            FaceModelsError: If there is no room for them.
        """
        if self._file is None and self._data.tell() + len(data) <= IN_MEMORY:
            self._data.write(data)
            return
        with write_errors(self._folder):
            if self._file is None:
                self._path = self._folder / f"facemodels-{secrets.token_hex(8)}"
                self._file = self._path.open("wb")
                self._file.write(self._data.getbuffer())
                self._data = io.BytesIO()
            self._file.write(data)

    def finish(self) -> Content:
        """What was written; whoever has it deletes it."""
        if self._file is None:
            return Content(self._data.getvalue())
        with write_errors(self._folder):
            self._file.close()
        content, self._path = Content(path=self._path), None
        return content


@dataclass(frozen=True, slots=True)
class Frames:
    """Analyzed frames of a video, however many. Iterate them once or often, and `discard` their content in the end.

    Attributes:
        content: The frames, a part after the other, each a pickle that is compressed, with its length before it.
        count: How many there are.
        faces: How many faces they have together.
    """

    content: Content = Content()
    count: int = 0
    faces: int = 0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[VideoFrame]:
        with self.content.open() as file:
            while size := file.read(4):
                yield from pickle.loads(zlib.decompress(file.read(int.from_bytes(size, "big"))))

    def packed(self) -> Frames:
        """See `Content.packed`."""
        return replace(self, content=self.content.packed())


class FramesWriter:
    """Collects frames as they come. A context manager, as `Spool` is."""

    def __init__(self, folder: Path | None) -> None:
        self._spool = Spool(folder)
        self._held: list[VideoFrame] = []
        self._count = self._faces = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._spool.__exit__()

    def add(self, frame: VideoFrame) -> None:
        """Append a frame.

        Raises:
            FaceModelsError: If there is no room for it.
        """
        self._held.append(frame)
        self._count += 1
        self._faces += len(frame.analysis)
        if len(self._held) >= FRAMES:
            self._write()

    def finish(self) -> Frames:
        """All frames."""
        if self._held:
            self._write()
        return Frames(self._spool.finish(), self._count, self._faces)

    def _write(self) -> None:
        part = zlib.compress(pickle.dumps(self._held), 1)
        self._spool.write(len(part).to_bytes(4, "big") + part)
        self._held.clear()
