"""Images in progress share the app's memory, and those for which there is no room wait."""

from __future__ import annotations

import base64
import io
import threading
import time
import weakref
from collections.abc import Callable

import pytest
from PIL import Image

from facemodels.app import memory, requests
from facemodels.app.memory import ImageMemory
from facemodels.errors import ImageError


def png(width: int, height: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (width, height)).save(stream, "png")
    return stream.getvalue()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of the sizes in these tests count as large."""
    monkeypatch.setattr(memory, "SMALL", 100)


class Reader(threading.Thread):
    """Reads an image, and holds it until it is told."""

    def __init__(self, shared: ImageMemory, source: bytes) -> None:
        super().__init__(daemon=True)
        self.has_it, self.may_end = threading.Event(), threading.Event()
        self._shared, self._source = shared, source
        self.start()

    def run(self) -> None:
        with self._shared.reading(self._source):
            self.has_it.set()
            self.may_end.wait(30)

    def end(self) -> None:
        self.may_end.set()
        self.join(30)


def wait_until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not done():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_images_share_memory_and_wait_in_order(small: None) -> None:
    shared = ImageMemory(110 * 100)  # 77,000 bytes; an image of 100 x 100 takes 70,000
    first = Reader(shared, png(100, 100))
    assert first.has_it.wait(30)
    second = Reader(shared, png(100, 100))
    wait_until(lambda: len(shared._waiting) == 1)
    third = Reader(shared, png(20, 20))  # there is room for it, but it is not its turn
    wait_until(lambda: len(shared._waiting) == 2)
    assert not second.has_it.is_set() and not third.has_it.is_set()
    first.end()
    assert second.has_it.wait(30) and third.has_it.wait(30)
    second.end()
    third.end()
    assert shared.used == 0 and shared.peak == 70_000 + 2_800


def test_small_images_do_not_wait() -> None:
    shared = ImageMemory(100 * 100)
    first = Reader(shared, png(100, 100))
    assert first.has_it.wait(30)  # all that there is
    with shared.reading(png(100, 100)):
        assert shared.used == 140_000
    first.end()


def test_what_cannot_be_read_gives_its_memory_back(small: None) -> None:
    shared = ImageMemory(100 * 100)
    whole = png(100, 90)
    for _ in range(3):
        with pytest.raises(ImageError, match="damaged"), shared.reading(whole[: len(whole) // 2]):
            pass
        with pytest.raises(ImageError, match="more than 0 megapixels"), shared.reading(png(101, 100)):
            pass
    assert shared.used == 0 and shared.peak > 0


def test_who_drops_an_image_has_its_memory_back() -> None:
    with ImageMemory().reading(png(200, 100)) as read:
        pixels = weakref.ref(read.pixels)
        del read
        assert pixels() is None


def test_a_webcam_frame_has_the_limits_of_a_photo() -> None:
    frame = {"url": "data:image/png;base64," + base64.b64encode(png(101, 100)).decode()}
    with pytest.raises(ImageError, match="more than"), requests.reading_frame(frame, ImageMemory(100 * 100)):
        pass
