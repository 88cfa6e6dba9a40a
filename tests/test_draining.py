"""The app that is told to stop: what was begun is answered, the rest refused, and nothing stays."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gradio", reason="the app needs Gradio: pip install -e '.[app]'")
import httpx
from fake_app import start_app
from starlette.testclient import TestClient
from test_app import free_port, wait_for

from facemodels.app.draining import RefusesWhenStopping

SLOW = """
def warmup(self, attributes): pass
def analyze(self, image, **options):
    time.sleep(0.1)
    return super().analyze(image, **options)
"""


def test_only_answers_pass_while_the_app_stops() -> None:
    async def page(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    stopping = threading.Event()
    client = TestClient(RefusesWhenStopping(page, stopping))
    assert client.get("/").status_code == client.post("/gradio_api/upload").status_code == 200
    stopping.set()
    for method, path, status in (
        ("GET", "/", 503),
        ("POST", "/gradio_api/upload", 503),
        ("POST", "/gradio_api/call/analyze", 503),
        ("POST", "/gradio_api/queue/join", 503),
        ("POST", "/gradio_api/stream/abc", 503),
        ("GET", "/gradio_api/call/analyze/abc", 200),
        ("GET", "/gradio_api/queue/data?session_hash=abc", 200),
        ("GET", "/faces/gradio_api/file=/tmp/a.png", 200),
        ("GET", "/health", 200),  # says 503 by itself
    ):
        assert client.request(method, path).status_code == status, path
    assert client.get("/").headers["retry-after"] == "10"


class Callers:
    """Callers who ask again and again, and count what they get."""

    def __init__(self, url: str, photo: Path, count: int) -> None:
        self.outcomes: Counter[str] = Counter()
        self._url, self._photo = url, photo.read_bytes()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()

    def _run(self) -> None:
        with httpx.Client(base_url=f"{self._url}gradio_api/", timeout=60) as client:
            while True:
                try:
                    outcome = self._ask(client)
                except httpx.TransportError:
                    outcome = "not connected"
                self.outcomes[outcome] += 1
                if outcome != "answered":
                    return

    def _ask(self, client: httpx.Client) -> str:
        answer = client.post("upload", files={"files": ("a.jpg", self._photo)})
        if answer.status_code == 503:
            return "refused"
        image = {"path": answer.json()[0], "meta": {"_type": "gradio.FileData"}}
        answer = client.post("call/analyze_batch", json={"data": [[image] * 3, None, None]})
        if answer.status_code == 503:
            return "refused"
        try:
            text = client.get(f"call/analyze_batch/{answer.json()['event_id']}").text
        except httpx.TransportError:
            return "cut"
        return "answered" if "event: complete" in text else "cut"


@pytest.mark.slow
def test_under_load_with_a_video_running(photo: Path, clip: Path, tmp_path: Path) -> None:
    port = free_port()
    process = start_app(SLOW, port, tmp_path)
    try:
        url = f"http://127.0.0.1:{port}/"
        wait_for(f"{url}health", process)
        with httpx.Client(base_url=url, timeout=60) as client:
            path = client.post("gradio_api/upload", files={"files": ("a.mp4", clip.read_bytes())}).json()[0]
            config = client.get("config").json()
            (begin,) = (one["id"] for one in config["dependencies"] if one["api_name"] == "begin")
            (work,) = (one["id"] for one in config["dependencies"] if one["trigger_after"] == begin)
            video = {"path": path, "orig_name": "a.mp4", "meta": {"_type": "gradio.FileData"}}
            event = {"fn_index": begin, "session_hash": "visitor", "data": [video, "en"]}
            assert client.post("gradio_api/run/predict", json=event).status_code == 200
            event |= {"fn_index": work, "data": [video, "all", ["age"], "en", None]}
            assert client.post("gradio_api/queue/join", json=event).status_code == 200
            callers = Callers(url, photo, 6)
            end = time.monotonic() + 60
            while callers.outcomes["answered"] < 6:
                assert time.monotonic() < end
                time.sleep(0.05)
            begun = time.monotonic()
            process.send_signal(signal.SIGTERM)
            events = [
                json.loads(line[6:])
                for line in client.get("gradio_api/queue/data?session_hash=visitor").text.splitlines()
                if line.startswith("data: ")
            ]
        callers.join()
        assert process.wait(timeout=30) == 0
        took = time.monotonic() - begun
    finally:
        process.kill()
        process.wait(timeout=20)
    assert callers.outcomes["cut"] == 0 and callers.outcomes["refused"] + callers.outcomes["not connected"] == 6
    assert callers.outcomes["refused"] >= 1
    (last,) = [event for event in events if event["msg"] == "process_completed"]
    assert "being stopped" in str(last["output"])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert took < 20  # ten seconds where the machine has time for this
