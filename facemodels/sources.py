"""The files that arguments name: folders are walked and patterns expanded lazily."""

from __future__ import annotations

import glob
import hashlib
import importlib.util
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cache
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from facemodels.files import OutputFolder
from facemodels.image_formats import format_of, image_suffixes
from facemodels.video.containers import begins_a_video, is_video

VIDEO_SUFFIXES = frozenset(
    (
        *(".3g2", ".3gp", ".asf", ".avi", ".f4v", ".m2t", ".m2ts", ".m2v", ".m4v"),
        *(".mj2", ".mk3d", ".mkv", ".mod", ".mov", ".mp4", ".mpe", ".mpeg", ".mpg"),
        *(".mts", ".ogm", ".ogv", ".qt", ".tod", ".ts", ".vob", ".webm", ".wmv"),
    )
)
# Other files have them as well, or have no suffix either (TypeScript, music, modules of Go): the content tells.
_AMBIGUOUS = frozenset(("", ".dat", ".mod", ".ts"))
# What systems and programs put beside photos; hidden folders are left out anyway.
_SKIPPED_FOLDERS = frozenset(
    (
        *("__macosx", "@eadir", "#recycle", "$recycle.bin", "recycler", "system volume information", "lost+found"),
        *("trash", "thumbnails", "thumbs"),
    )
)
_SKIPPED_FILES = frozenset(("thumbs.db", "desktop.ini"))
_SORTED = 10_000  # entries of a folder; a larger one comes in the order of the file system
_MOST_SUFFIXES = 50  # counted one by one
_HEAD = 4096  # bytes that tell images and videos apart


class Source(NamedTuple):
    """A file to analyze.

    Attributes:
        path: The file; ``-`` is standard input.
        is_video: Whether it is to be analyzed as a video.
    """

    path: str
    is_video: bool


class Seen:
    """A set of names that takes 16 bytes for each: their hashes, sorted by the first half."""

    PENDING = 20_000  # at least, of those that are not sorted in yet

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
        if len(self._pending) >= max(self.PENDING, len(self._first) // 8):
            pending = np.array(list(self._pending), np.uint64)
            firsts = np.concatenate([self._first, pending[:, 0]])
            order = np.argsort(firsts)
            self._first, self._second = firsts[order], np.concatenate([self._second, pending[:, 1]])[order]
            self._pending.clear()
        return True


class Sources:
    """The files that arguments name, in order, each once. Every iteration walks the folders anew; nothing is kept.

    A file that does not exist is included: reading it fails like any other bad photo, and the others continue. In a
    folder the suffix tells photos and videos from other files, or where it does not, the content; of a file that was
    named, its content alone.

    Args:
        arguments: Files, folders (subfolders too), glob patterns, or ``-``.
        animations: Whether GIF files are videos; else they are photos.
        also: Suffixes of further files that are to be taken from folders, lower case.
        outputs: Folders to be written into; folders and patterns leave them out.

    Attributes:
        problems: Messages about what the last walk could not find or read.
        left_out: Suffix to the number of files in the folders that were left out.

    Raises:
        ArgumentError: If one of the folders is to be written into itself.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        animations: bool = False,
        also: Collection[str] = (),
        outputs: Collection[OutputFolder] = (),
    ) -> None:
        self.problems: list[str] = []
        self.left_out: Counter[str] = Counter()
        self._arguments = arguments
        self._animations = animations
        self._also = also
        self._outputs = outputs
        for argument in arguments:
            for output in outputs:
                output.check_root(argument)

    def __iter__(self) -> Iterator[Source]:
        self.problems.clear()
        self.left_out.clear()
        if len(self._arguments) == 1:
            yield from self._expand(self._arguments[0])
            return
        seen = Seen()
        for argument in self._arguments:
            for source in self._expand(argument):
                if seen.add(source.path.removeprefix("./")):
                    yield source

    @property
    def are_files(self) -> bool:
        """Whether no argument is a folder or a pattern."""
        return not any(_is_pattern(argument) or Path(argument).is_dir() for argument in self._arguments)

    def kinds(self) -> tuple[bool, bool]:
        """Whether images, and whether videos are among them: looks no further than needed."""
        kinds: set[bool] = set()
        for source in self:
            kinds.add(source.is_video)
            if len(kinds) == 2:
                break
        return False in kinds, True in kinds

    def left_out_text(self) -> str:
        """What the folders hold besides, ``12 .heic, 3 .txt``; empty if nothing."""
        return ", ".join(f"{count:,} {suffix}" for suffix, count in self.left_out.most_common())

    def left_out_hint(self) -> str:
        """What to install so that fewer files are left out; empty if nothing."""
        needs = {"pillow-heif": (".heic", ".heif", ".hif"), "av": VIDEO_SUFFIXES}
        missing = [name for name, suffixes in needs.items() if self.left_out.keys() & set(suffixes)]
        return f"to read these as well: pip install {' '.join(missing)}" if missing else ""

    def _expand(self, argument: str) -> Iterator[Source]:
        if argument == "-":
            yield Source(argument, False)
        elif Path(argument).is_dir():
            yield from self._counted(self._in_folder(argument), f"{argument}: holds no photo or video")
        elif _is_pattern(argument):
            yield from self._counted(self._matching(argument), f"no file fits the pattern {argument}")
        else:
            yield Source(argument, self._is_video(argument))

    def _counted(self, found: Iterable[Source], nothing: str) -> Iterator[Source]:
        """What was found; that nothing was is a problem."""
        source = None
        for source in found:
            yield source
        if source is None:
            self.problems.append(nothing)

    def _in_folder(self, argument: str) -> Iterator[Source]:
        for path in self._walk(str(Path(argument))):
            # pathlib interns every name; of a large folder that costs more memory than all else here.
            suffix = os.path.splitext(path)[1].lower().rstrip(".")  # noqa: PTH122
            if suffix == ".gif":
                yield Source(path, self._animations)
            elif suffix in image_suffixes() or suffix in self._also:
                yield Source(path, False)
            elif _can_read_videos() and (is_video(path) if suffix in _AMBIGUOUS else suffix in VIDEO_SUFFIXES):
                yield Source(path, self._is_video(path))
            else:
                shown = suffix if suffix in self.left_out or len(self.left_out) < _MOST_SUFFIXES else "others"
                self.left_out[shown or "without a suffix"] += 1

    def _walk(self, root: str) -> Iterator[str]:
        """The files below a folder; a folder that several links lead to comes once."""
        seen = {output.identity for output in self._outputs}
        waiting = [root]
        while waiting:
            folder = waiting.pop()
            try:
                status = os.stat(folder)  # noqa: PTH116
                if (identity := (status.st_dev, status.st_ino)) in seen:
                    continue
                seen.add(identity)
                folders = []
                with os.scandir(folder) as entries:
                    for entry in _ordered(entries):
                        name = entry.name.casefold()
                        if name.startswith(".") or name in _SKIPPED_FILES:
                            continue
                        kind = _kind(entry)
                        if kind == "folder" and name not in _SKIPPED_FOLDERS:
                            folders.append(entry.path)
                        elif kind == "file":
                            yield entry.path
                        elif kind == "other":
                            self.left_out["no files"] += 1
                waiting += sorted(folders, reverse=True)
            except OSError as error:
                self.problems.append(f"{folder}: the folder cannot be read: {error.strerror}")

    def _matching(self, pattern: str) -> Iterator[Source]:
        outputs = [output for output in self._outputs if output.is_below(pattern)]
        # Path.glob takes no absolute pattern.
        matches = glob.iglob(pattern, recursive=True)  # noqa: PTH207
        for path in _ordered(matches):
            if Path(path).is_file() and not any(output.holds(Path(path)) for output in outputs):
                yield Source(path, self._is_video(path))

    def _is_video(self, path: str) -> bool:
        suffix = Path(path).suffix.lower()
        try:
            with Path(path).open("rb") as file:
                head = file.read(_HEAD)
        except (OSError, ValueError):
            return suffix in VIDEO_SUFFIXES
        if head.startswith(b"GIF8"):
            return self._animations
        return format_of(head) is None and (begins_a_video(head) or suffix in VIDEO_SUFFIXES)


def _ordered(entries: Iterator) -> Iterator:  # type: ignore[type-arg]
    """Entries by name; the many of a very large folder as they come."""
    first = list(islice(entries, _SORTED))
    if len(first) < _SORTED:
        first.sort(key=os.fspath)
    return chain(first, entries)


def _kind(entry: os.DirEntry[str]) -> str:
    """``folder``, ``file``, or ``other``: pipes, sockets, and links that lead nowhere."""
    try:
        return "folder" if entry.is_dir() else "file" if entry.is_file() else "other"
    except OSError:
        return "other"


def _is_pattern(argument: str) -> bool:
    return glob.has_magic(argument) and not os.path.lexists(argument)


@cache
def _can_read_videos() -> bool:
    return importlib.util.find_spec("av") is not None
