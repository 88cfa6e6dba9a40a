"""What the app keeps of each session: its state, bounded, and nothing of the page."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("gradio", reason="the app needs Gradio: pip install -e '.[app]'")
import gradio as gr
from fake_app import start_app
from test_app import free_port, wait_for

from benchmarks.memory import encode, send
from benchmarks.webcam import resident
from facemodels.app.sessions import Sessions

WARMUP = """
def warmup(self, attributes):  # all that the start loads is loaded
    needless = {"av", "keras", "matplotlib", "onnx", "scipy", "tensorflow"} & set(sys.modules)
    assert not needless, needless
"""


@pytest.fixture(scope="module")
def demo() -> gr.Blocks:
    with gr.Blocks() as demo:
        gr.State("")
        gr.Image()
    return demo


def state_of(demo: gr.Blocks) -> int:
    return next(key for key, block in demo.blocks.items() if isinstance(block, gr.State))


def test_a_session_keeps_its_state_and_nothing_of_the_page(demo: gr.Blocks) -> None:
    state, shown = state_of(demo), next(key for key, block in demo.blocks.items() if isinstance(block, gr.Image))
    session = Sessions(demo)["visitor"]
    session[state] = "mine"
    session._update_value_in_config(shown, "data:image/jpeg;base64,…")
    session._update_config(shown)
    assert session[state] == "mine" and state in session
    assert not [config for config in session.components if config["id"] != state]


def test_calls_of_endpoints_never_end_a_visitors_session(demo: gr.Blocks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facemodels.app.sessions._FRESH", timedelta(0))
    sessions = Sessions(demo)
    sessions.capacity = 5
    for name in ("one", "two"):
        sessions[name][state_of(demo)] = name
    queue = demo._queue
    for number in range(20):
        queue.pending_event_ids_session[f"call {number}"] = {"event"} if number == 3 else set()
        queue.pending_messages_per_session[f"call {number}"] = "messages"
        sessions[f"call {number}"]
    left = ["call 3", "call 17", "call 18", "call 19"]  # that of call 3 was not fetched yet
    assert list(queue.pending_event_ids_session) == list(queue.pending_messages_per_session) == left
    assert list(sessions.session_data) == ["one", "two", "call 17", "call 18", "call 19"]
    for number in range(20):
        sessions[f"visitor {number}"][state_of(demo)] = number
    assert list(sessions.session_data) == [f"visitor {number}" for number in range(15, 20)]
    assert set(sessions.time_last_used) == set(sessions.session_data)


def test_a_session_that_has_just_begun_gets_its_state_however_full_it_is(demo: gr.Blocks) -> None:
    sessions, state = Sessions(demo), state_of(demo)
    sessions.capacity = 5
    for number in range(5):
        sessions[f"visitor {number}"][state] = number
    begun = sessions["new"]  # its first event is at work
    for number in range(3):
        sessions[f"call {number}"]
    begun[state] = "new"
    assert sessions["new"][state] == "new"
    for name in list(sessions.time_last_used):
        sessions.time_last_used[name] -= timedelta(minutes=1)
    sessions["call 3"]
    assert list(sessions.session_data) == ["visitor 2", "visitor 3", "visitor 4", "new", "call 3"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_calls_leave_little_memory_behind(tmp_path: Path) -> None:
    port = free_port()
    process = start_app(WARMUP, port, tmp_path)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/health", process)
        image = encode(np.full((40, 40, 3), 90, np.uint8), "png")
        assert send(url, [image] * 50, 4) == {"faces: 0": 50}
        before = resident(process.pid)
        assert send(url, [image] * 250, 4) == {"faces: 0": 250}
        assert resident(process.pid) - before < 15  # megabytes; a copy of the page for each would take 37
    finally:
        process.kill()
        process.wait()
