"""Memory for the images in progress: all that come at once share it, and further ones wait."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from facemodels.app.limits import Limits
from facemodels.images import MEMORY_PER_PIXEL, ImageSource, SizedImage, read_within, return_memory

SMALL = 16 * 2**20  # bytes of an image that never waits: webcam frames do not stand behind large photos

# Names and values of glibc's malloc.h.
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
_OWN_PAGES = 4 * 2**20  # bytes of an allocation that goes back to the system as soon as it is freed


def keep_heaps_small() -> None:
    """Have the C library (glibc) hold on to little memory that was freed; elsewhere nothing is done.

    By itself it makes up to eight heaps for each processor, since threads may share none, and raises the size above
    which an allocation has pages of its own to 32 MB: so large images leave holes in every heap.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 2)
        mallopt(_M_MMAP_THRESHOLD, _OWN_PAGES)


class ImageMemory:
    """The memory that images may take together. Who waits is served in the order of arrival.

    Args:
        pixels: The most pixels of one image; together they may take what one such image may.

    Attributes:
        used: Bytes that are in use now.
        peak: The most that were in use at once.

    Example:
        >>> memory = ImageMemory(1_000_000)
        >>> with memory.reading("photo.jpg") as image:      # doctest: +SKIP
        ...     print(image.pixels.shape)
    """

    def __init__(self, pixels: int = Limits.pixels) -> None:
        self.used = self.peak = 0
        self._pixels = pixels
        self._most = MEMORY_PER_PIXEL * pixels
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def reading(self, source: ImageSource) -> Iterator[SizedImage]:
        """An encoded image, read with `read_within` when there is room for it, and for as long as it is needed.

        Raises:
            ImageError: See `read_within`.
        """
        held = 0

        def admit(memory: int) -> None:
            nonlocal held
            if memory > held:  # a damaged file may be decoded in a second way
                self._give_back(held)
                held = 0
                self._take(memory)
                held = memory

        try:
            # Not kept here: who deletes it inside the block has its memory back.
            yield read_within(source, self._pixels, admit)
        finally:
            if held > SMALL:
                return_memory()
            self._give_back(held)

    def _take(self, memory: int) -> None:
        turn = object()
        with self._changed:
            if memory > SMALL:
                self._waiting.append(turn)
                try:
                    self._changed.wait_for(lambda: self._waiting[0] is turn and self._has_room(memory))
                finally:
                    self._waiting.remove(turn)
                    self._changed.notify_all()
            self.used += memory
            self.peak = max(self.peak, self.used)

    def _has_room(self, memory: int) -> bool:
        return self.used == 0 or self.used + memory <= self._most

    def _give_back(self, memory: int) -> None:
        with self._changed:
            self.used -= memory
            self._changed.notify_all()
