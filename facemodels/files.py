"""Output files: written atomically, and never over a source. Standard library only."""

from __future__ import annotations

import os
import secrets
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from facemodels.errors import ArgumentError, FaceModelsError

_Identity = tuple[int, int, str]

MAX_NAME = 255  # bytes of a file name, on every usual file system


@contextmanager
def written_whole(
    target: Path, *, overwrite: bool = False, error: type[FaceModelsError] = FaceModelsError
) -> Iterator[Path]:
    """Write a file under a temporary name beside its final one, and rename it when it is complete.

    Args:
        target: The final name, in a folder that exists.
        overwrite: Replace an existing file.
        error: The type of error to raise.

    Yields:
        The temporary name, hidden and with the same suffix. Whatever is there when the block ends becomes `target`; if
        the block raises (an interruption does), it is deleted instead.

    Raises:
        FaceModelsError: If the file cannot be written, or a file of its name has appeared meanwhile.
    """
    part = target.with_name(f".facemodels-{secrets.token_hex(8)}{target.suffix}")
    try:
        yield part
        if not os.path.lexists(part):
            return  # the block wrote nothing
        if os.path.lexists(target) and not overwrite:
            raise error(f"cannot write {target}: a file of this name has appeared meanwhile; it was kept")
        with write_errors(target, error):
            part.replace(target)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def write_errors(target: Path, error: type[FaceModelsError] = FaceModelsError) -> Iterator[None]:
    """Turn system errors while writing a file (no space, no permission) into an error that names the file.

    Raises:
        FaceModelsError: In place of an `OSError`.
    """
    try:
        yield
    except OSError as cause:
        raise error(f"cannot write {target}: {cause.strerror or cause}") from cause


class OutputFolder:
    """A folder for files that are made from sources, one or more per source, each with a name of its own.

    Args:
        option: The option that names the folder, for messages.
        path: The folder; it need not exist yet.
        overwrite: Replace existing files, except for the sources themselves.
    """

    def __init__(self, option: str, path: Path, *, overwrite: bool = False) -> None:
        self.path = path
        self._option = option
        self.overwrite = overwrite
        self._taken: dict[str, int] = {}  # a name, and the last number added to it

    @property
    def identity(self) -> tuple[int, int] | None:
        """Device and number of the folder, if it exists: the same by whatever name."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def check_root(self, argument: str) -> None:
        """Refuse a folder of sources that is this folder: the next call would take its own output for sources.

        Raises:
            ArgumentError: If it is this folder, by whatever name.
        """
        if self.path.is_dir() and Path(argument).is_dir() and self.path.samefile(argument):
            raise ArgumentError(
                f"{self._option} {self.path}: this is the folder to analyze; choose another one, which may lie in it"
            )

    def is_below(self, argument: str) -> bool:
        """Whether this folder lies in a folder of sources, or in the one that a glob pattern searches."""
        root = Path(argument)
        while not root.is_dir() and root != root.parent:
            root = root.parent
        return self.path.is_dir() and any(parent.samefile(root) for parent in self.path.resolve().parents)

    def holds(self, file: Path) -> bool:
        """Whether a file lies in this folder or below it."""
        return any(_identity(parent) == _identity(self.path) for parent in file.parents)

    def check(self, planned: Iterable[tuple[str, str]]) -> None:
        """Refuse, before any work, targets that would replace something they must not.

        Args:
            planned: Every source with the suffix of a file to be made of it, in the order of later calls of `claim`.

        Raises:
            ArgumentError: If a target is a source, by whatever name or link, or exists and `overwrite` is not set.
        """
        if self.path.exists() and not self.path.is_dir():
            raise ArgumentError(f"{self._option} {self.path}: cannot be made a folder: it is a file")
        # Only what lies in the folder can be replaced: memory does not grow with the number of sources.
        present = {_identity(entry) for entry in self.path.iterdir()} if self.path.is_dir() else set()
        if not present:
            return
        sources: dict[_Identity, str] = {}
        replaced: dict[_Identity, Path] = {}
        for source, suffix in planned:
            target = self.claim(source, suffix)
            identity = _identity(Path(source))
            if identity in present:
                sources[identity] = source
            if not os.path.lexists(target):
                continue
            if target.is_dir():
                raise ArgumentError(f"{self._option} {target}: cannot be written: it is a folder")
            if not self.overwrite and _identity(target) != identity:
                raise ArgumentError(
                    f"{self._option} {target}: this file exists already; choose another folder, or --overwrite it"
                )
            replaced[_identity(target)] = target
        for identity in replaced.keys() & sources.keys():
            raise ArgumentError(
                f"{self._option} {replaced[identity]}: this is one of the files to analyze, {sources[identity]}; "
                "choose another folder"
            )
        self._taken.clear()

    def create(self) -> None:
        """Make the folder.

        Raises:
            ArgumentError: If that is not possible.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = error.strerror or error
            raise ArgumentError(f"{self._option} {self.path}: cannot be made a folder: {reason}") from error

    def claim(self, source: str, suffix: str) -> Path:
        """The target for a source: its name with another suffix, numbered where an earlier source has the same."""
        stem = "stdin" if source == "-" else Path(source).stem
        name = fit_name(stem, suffix)
        first = _folded(name)
        while _folded(name) in self._taken:
            self._taken[first] += 1
            name = fit_name(stem, f"-{self._taken[first]}{suffix}")
        self._taken[_folded(name)] = 1
        return self.path / name


def _identity(path: Path) -> _Identity:
    """What two names of one file have in common: links, and other letters where the file system ignores case."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return 0, 0, str(path)  # no such file, or a link to nothing
    return found.st_dev, found.st_ino, ""


def fit_name(stem: str, addition: str) -> str:
    """A file name that is short enough for file systems, from a stem that may already be as long as they allow.

    Example:
        >>> len(fit_name(255 * "x", "-faces.png")), fit_name("photo", "-faces.png")
        (255, 'photo-faces.png')
    """
    most = MAX_NAME - len(os.fsencode(addition))
    while len(os.fsencode(stem)) > most:
        stem = stem[:-1]
    return stem + addition


def _folded(name: str) -> str:
    """What names have in common that some file systems take for one."""
    return unicodedata.normalize("NFC", name).casefold()
