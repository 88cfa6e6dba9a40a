"""Work beside the caller's: order, errors, and threads that end."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_video_player import Recorder

from facemodels import Analysis, VideoError, analyze_video
from facemodels.video import analyze, writing
from facemodels.video.threads import Ahead, Behind, Closed


def names() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("facemodels-")]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = names()
    yield
    assert names() == before


def test_items_come_ahead_in_order_and_not_too_far() -> None:
    made: list[int] = []

    def count() -> Iterator[int]:
        for number in range(50):
            made.append(number)
            yield number

    with Ahead(count(), 3) as items:
        for number, item in enumerate(items):
            assert item == number and len(made) <= number + 6
    assert number == 49


def test_an_error_comes_after_the_items_before_it() -> None:
    def fail() -> Iterator[int]:
        yield 1
        raise KeyError("made ahead")

    taken = []
    with Ahead(fail(), 3) as items, pytest.raises(KeyError, match="made ahead"):
        for item in items:
            taken.append(item)
    assert taken == [1]


def test_who_leaves_early_ends_the_thread() -> None:
    with Ahead(itertools.count(), 3) as items:
        for item in items:
            if item == 5:
                break


def test_items_are_used_up_in_order_before_the_context_ends() -> None:
    used: list[int] = []

    def use(items: Iterator[int]) -> None:
        for item in items:
            time.sleep(0.001)
            used.append(item)

    with Behind(use, 2) as work:
        for number in range(30):
            work.put(number)
            assert len(used) >= number - 3
    assert used == list(range(30))


def test_an_error_behind_is_raised_here() -> None:
    def use(items: Iterator[int]) -> None:
        for item in items:
            if item == 3:
                raise KeyError("used behind")

    with pytest.raises(KeyError, match="used behind"), Behind(use, 2) as work:
        for number in itertools.count():
            work.put(number)
    with pytest.raises(KeyError, match="used behind"), Behind(use, 9) as work:
        for number in range(4):  # it goes wrong when all is put
            work.put(number)


def test_after_an_error_here_the_work_is_not_completed() -> None:
    outcome: list[str] = []

    def use(items: Iterator[int]) -> None:
        try:
            for _ in items:
                pass
            outcome.append("completed")
        except Closed:
            outcome.append("given up")
            raise

    with pytest.raises(KeyError), Behind(use, 2) as work:
        work.put(1)
        raise KeyError
    assert outcome == ["given up"]


# ---------------------------------------------------------------- of a video


def test_a_video_leaves_no_thread(clip: Path, tmp_path: Path) -> None:
    drawn = tmp_path / "drawn.mp4"
    list(analyze_video(clip, Recorder(), annotated=drawn))
    assert names() == []
    frames = analyze_video(clip, Recorder(), annotated=drawn, overwrite=True)
    next(frames)
    assert names()
    frames.close()
    assert names() == []
    analyze_video(clip, Recorder(), annotated=drawn, overwrite=True).close()  # never begun


def test_models_answer_in_the_callers_thread(clip: Path) -> None:
    threads = set()

    class Asked(Recorder):
        def analyze(self, image: Any) -> Analysis:
            threads.add(threading.current_thread())
            return super().analyze(image)

    list(analyze_video(clip, Asked()))
    assert threads == {threading.current_thread()}


def test_an_error_while_drawing_is_raised_and_leaves_no_file(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise MemoryError("no room to draw")

    monkeypatch.setattr(analyze, "annotate", fail)
    with pytest.raises(MemoryError, match="no room to draw"):
        list(analyze_video(clip, Recorder(), annotated=tmp_path / "drawn.mp4", csv=tmp_path / "faces.csv"))
    assert list(tmp_path.iterdir()) == []


def test_a_video_that_shrinks_meanwhile_is_an_error(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second reading, for the copy, finds fewer frames than the first."""

    class Short(writing.Reader):
        def frames(self, *arguments: Any) -> Iterator[Any]:
            return itertools.islice(super().frames(*arguments), 20)

    monkeypatch.setattr(writing, "Reader", Short)
    with pytest.raises(VideoError, match="the video changed while it was being analyzed"):
        list(analyze_video(clip, Recorder(), annotated=tmp_path / "drawn.mp4"))
    assert list(tmp_path.iterdir()) == []
