"""Several webcams at once, by a program that speaks the stream's protocol."""

from __future__ import annotations

import time

import pytest

pytest.importorskip("gradio", reason="the app needs Gradio: pip install -e '.[app]'")
pytest.importorskip("skimage", reason="scikit-image brings the picture: pip install -e '.[dev]'")
from test_app import FakeAnalyzer, serving

from benchmarks.webcams import Visitor, frames, webcams_table
from facemodels.app import Limits


@pytest.mark.slow
def test_every_webcam_is_answered_and_who_waits_gets_a_turn() -> None:
    with serving(FakeAnalyzer(), Limits(webcams=2, webcam_seconds=1)) as url:
        visitors = [Visitor(url.rstrip("/"), f"visitor{n}", time.monotonic() + 90, frames(3)) for n in range(3)]
        for visitor in visitors:
            visitor.start()
        while not all(visitor.answers for visitor in visitors) and time.monotonic() < visitors[0].end:
            time.sleep(0.1)
        for visitor in visitors:
            visitor.end = 0.0
        for visitor in visitors:
            visitor.join(60)
    assert not any(visitor.is_alive() for visitor in visitors)
    assert [visitor.errors for visitor in visitors] == [[], [], []]
    assert all(visitor.answers and visitor.ranks for visitor in visitors)
    assert webcams_table(visitors).count("| visitor") == 4
