"""What the app serves at all, what it tells without a login, and how often a login may be tried."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gradio", reason="the app needs Gradio: pip install -e '.[app]'")
import gradio as gr
import httpx
from starlette.testclient import TestClient
from test_app import FakeAnalyzer

from facemodels.app import build_demo, launch
from facemodels.app.guard import ROUTES, LoginDelay, route_of
from facemodels.app.settings import read_hosts

ROOT = Path(__file__).parent.parent
USER = {"username": "ada", "password": "lovelace"}


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[gr.Blocks, str]]:
    """The app with a login: its Blocks and address."""
    analyzer = FakeAnalyzer()
    demo = build_demo(analyzer)
    url = launch(
        demo, analyzer, prevent_thread_lock=True, quiet=True, auth=("ada", "lovelace"), allowed_hosts=["faces.example"]
    )
    yield demo, url
    demo.close(verbose=False)


def requests_of(demo: gr.Blocks) -> Iterator[tuple[str, str]]:
    """Method and path of everything that Gradio and this app would answer."""
    for route in demo.app.routes:
        included = getattr(route, "original_router", None)
        for one in included.routes if included is not None else [route]:
            for method in getattr(one, "methods", None) or ():
                yield method, re.sub(r"\{[^}]*\}", "1", one.path)


def test_without_a_login_only_what_is_public_is_told(served: tuple[gr.Blocks, str]) -> None:
    demo, url = served
    seen = set(requests_of(demo))
    assert len(seen) > 60 and ("POST", "/gradio_api/upload") in seen
    with httpx.Client(base_url=url, timeout=10) as client:
        for method, path in sorted(seen):
            route = route_of({"path": path})
            if route is None:
                assert client.request(method, path).status_code == 404, path
            elif not route.public:
                answer = client.request(method, path)
                assert answer.status_code == 401, path
                assert method == "HEAD" or answer.json()["detail"]["error"] == "Not authenticated"
        for path in ("/gradio_api/call/analyze/", "/config/", "/gradio_api/file=/etc/passwd"):
            assert client.get(path).status_code in (401, 404), path
        page = client.get("/").text
        assert '"dependencies":[]' in page and "emotion-efficientnet" not in page
        assert client.post("/login", data=USER).json() == {"success": True}
        assert client.get("/config").status_code == client.get("/gradio_api/info").status_code == 200
        for path, body in (
            ("/gradio_api/call/v2/analyze", {"json": {"picture": 1}}),
            ("/gradio_api/call/v2/analyze", {"json": {}}),
            ("/gradio_api/call/v2/nothing", {"json": {}}),
            ("/gradio_api/upload", {"files": {"files": (None, b"no file")}}),
        ):
            assert client.post(path, **body).status_code == 400, (path, body)
        for path in ("/monitoring", "/monitoring/summary", "/openapi.json", "/gradio_api/proxy=https://example.org"):
            assert client.get(path).status_code == 404, path
        client.cookies = httpx.Cookies(dict.fromkeys(client.cookies, "guess"))
        assert client.get("/config").status_code == 401


def test_the_results_of_no_event_are_not_found(capfd: pytest.CaptureFixture[str]) -> None:
    analyzer = FakeAnalyzer()
    demo = build_demo(analyzer)
    url = launch(demo, analyzer, prevent_thread_lock=True, quiet=True)
    try:
        with httpx.Client(base_url=f"{url.rstrip('/')}/gradio_api", timeout=30) as client:
            for path in ("call/analyze/0", "call/models/none/", "call/v2/analyze/0", "queue/data?session_hash=none"):
                answer = client.get(f"/{path}")
                assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"}), path
            event = client.post("/call/models", json={"data": []}).json()["event_id"]
            assert "event: complete" in client.get(f"/call/models/{event}").text
            assert client.get(f"/call/models/{event}").status_code == 404  # its results were read
    finally:
        demo.close(verbose=False)
    assert "Traceback" not in capfd.readouterr().err


def test_other_hosts_are_refused(served: tuple[gr.Blocks, str]) -> None:
    with httpx.Client(base_url=served[1], timeout=10) as client:
        for host, status in (("evil.example", 400), ("faces.example:8000", 200), ("localhost", 200)):
            assert client.get("/health", headers={"Host": host}).status_code == status


@pytest.mark.parametrize("text", ["https://faces.example", "faces.example:80", "", "a,,b", "*"])
def test_what_is_no_host_name_is_refused(text: str) -> None:
    assert read_hosts("faces.example, *.example.org") == ("faces.example", "*.example.org")
    with pytest.raises(ValueError, match="must be host names"):
        read_hosts(text)


def test_routes_are_documented() -> None:
    table = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    for route in ROUTES:
        assert f"| `{route.path}` | {'yes' if route.public else 'no'} | {route.tells} |" in table


def test_an_address_waits_after_failed_logins() -> None:
    now = 0.0
    status = 400

    async def gradio(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    client = TestClient(LoginDelay(gradio, clock=lambda: now), client=("192.0.2.1", 1))
    assert [client.post("/login").status_code for _ in range(6)] == [400] * 4 + [429] * 2
    assert client.post("/login").headers["retry-after"] == "2"
    assert client.get("/login").status_code == client.post("/gradio_api/upload").status_code == 400, "no login"
    now = 2.0
    assert [client.post("/login/").status_code for _ in range(2)] == [400, 429]
    assert client.post("/login").headers["retry-after"] == "4"
    other = TestClient(client.app, client=("192.0.2.2", 1))
    assert other.post("/login").status_code == 400
    now, status = 6.0, 200
    assert client.post("/login").status_code == 200
    status = 400
    assert [client.post("/login").status_code for _ in range(5)] == [400] * 4 + [429], "counted anew"
    now = 10_000.0
    assert client.post("/login").status_code == client.post("/login").status_code == 400


def test_few_addresses_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    async def gradio(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 400, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    monkeypatch.setattr(LoginDelay, "KEPT", 3)
    delay = LoginDelay(gradio)
    for number in range(9):
        TestClient(delay, client=(f"192.0.2.{number}", 1)).post("/login")
    assert list(delay._failures) == ["192.0.2.6", "192.0.2.7", "192.0.2.8"]
