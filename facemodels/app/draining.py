"""How the app stops: what was begun is answered, the rest refused, all within seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import gradio as gr
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

WEBCAM_QUEUE = "webcam"  # its events last as long as the visitor stays: nobody waits for them
SECONDS = 6.0  # for the answers that were begun
_DELIVERY_SECONDS = 1.0  # for callers to fetch them
_ANSWERS = ("/queue/data", "/call/", "/file=", "/health")  # paths that begin no work


class RefusesWhenStopping:
    """ASGI middleware that answers 503 to whatever would begin new work.

    Args:
        app: What is asked otherwise.
        stopping: Is set when the app is to stop.
    """

    def __init__(self, app: ASGIApp, stopping: threading.Event) -> None:
        self._app = app
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] == "http" and self._stopping.is_set() and not _is_answer(scope):
            refusal = JSONResponse({"detail": "The app is being stopped."}, 503, {"Retry-After": "10"})
            await refusal(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _is_answer(scope: Scope) -> bool:
    """Whether a request only fetches what was begun before."""
    return scope["method"] == "GET" and any(path in scope["path"] for path in _ANSWERS)


def drain(demo: gr.Blocks, stopping: threading.Event, seconds: float = SECONDS) -> None:
    """Have what was begun answered, and then stop the server.

    Args:
        demo: The app, which is running.
        stopping: Is set first: new requests are refused then (see `RefusesWhenStopping`), and long work ends early.
        seconds: After which what is not answered is given up.
    """
    stopping.set()
    end = time.monotonic() + seconds
    while any(_unfinished(demo)) and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(_DELIVERY_SECONDS)
    demo.server.config.timeout_graceful_shutdown = 1  # pages keep streams open
    demo.close(verbose=False)


def _unfinished(demo: gr.Blocks) -> Iterator[Any]:
    """The events that wait or are in progress, except those of webcams."""
    queue = demo._queue
    events = [event for waiting in list(queue.event_queue_per_concurrency_id.values()) for event in list(waiting.queue)]
    events += [event for job in list(queue.active_jobs) if job for event in job]
    return (event for event in events if event.concurrency_id != WEBCAM_QUEUE)
