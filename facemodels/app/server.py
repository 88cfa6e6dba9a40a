"""Serving the page, its endpoints and ``/health``."""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
from fastapi.responses import FileResponse, JSONResponse
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import Receive, Scope, Send

from facemodels import FaceAnalyzer
from facemodels.app.analyzers import Analyzer
from facemodels.app.build import build_demo
from facemodels.app.components import static
from facemodels.app.draining import RefusesWhenStopping, drain
from facemodels.app.guard import AnswersMalformed, LoginDelay, RefusesUnknownEvents, ServesOnlyRoutes
from facemodels.app.link_preview import FAVICON, PICTURE, LinkPreview
from facemodels.app.memory import keep_heaps_small
from facemodels.app.requests import standard
from facemodels.app.sessions import Sessions
from facemodels.app.settings import Settings
from facemodels.app.theme import make_theme
from facemodels.app.uploads import UploadFolder
from facemodels.app.words import translations
from facemodels.attributes import ALL_ATTRIBUTES
from facemodels.hub.registry import WEIGHTS

LOCAL = ("localhost", "127.0.0.1", "[::1]")


class CompressedPage(GZipMiddleware):
    """Compresses the page itself, which Gradio does not: 290 kB become 52. Everything else goes as it is."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, compressed if a browser opens a page with it."""
        page = scope["type"] == "http" and "text/html" in Headers(scope=scope).get("accept", "")
        await (super().__call__ if page else self.app)(scope, receive, send)


LAUNCH: dict[str, Any] = {
    "css": static("app.css"),
    "favicon_path": str(FAVICON),
    "run_history": False,
    "ssr_mode": False,
    "footer_links": ["api", "gradio", "settings"],
    # See `Sessions`; Gradio would keep 10,000.
    "state_session_capacity": 500,
    "enable_monitoring": False,
    "allowed_paths": [str(WEIGHTS)],  # the cards' pictures; what lies there is published anyway
}


def launch(
    demo: gr.Blocks,
    analyzer: Analyzer,
    *,
    warmup: Callable[[], None] | None = None,
    theme: str = "facemodels",
    uploads: UploadFolder | None = None,
    stopping: threading.Event | None = None,
    allowed_hosts: Sequence[str] = (),
    prevent_thread_lock: bool = False,
    **options: Any,
) -> str:
    """Serve the page, its endpoints and ``/health``, which says 200 once the models are warm and 503 before and after.

    Args:
        demo: What `build_demo` made around `analyzer`.
        analyzer: Its models are named by ``/health``.
        warmup: Makes the analyzer as fast as it will be; called when the server is there.
        theme: See `make_theme`.
        uploads: Where they are, if they are ours to delete; ``/health`` tells how old the oldest is.
        stopping: See `build_demo`.
        allowed_hosts: Names that requests may ask for, besides those of this machine; none for any.
        prevent_thread_lock: Return at once, instead of when the server was stopped.
        options: Further arguments of `gr.Blocks.launch`.

    Returns:
        The address.
    """
    warm = threading.Event()
    stopping = stopping or threading.Event()

    def health() -> JSONResponse:
        status = "stopping" if stopping.is_set() or not demo.is_running else "ready" if warm.is_set() else "loading"
        answer: dict[str, Any] = {"status": status, "models": dict(analyzer.models)}
        if uploads is not None:
            oldest = uploads.oldest()
            answer["oldest_upload_seconds"] = None if oldest is None else round(oldest, 1)
        return JSONResponse(answer, 200 if status == "ready" else 503)

    if uploads is not None:  # Gradio's own copies of the examples
        uploads.spare(path for block in demo.blocks.values() for path in getattr(block, "keep_in_cache", ()))
    hosts = [*allowed_hosts, *LOCAL] if allowed_hosts else ["*"]
    routes = [
        APIRoute("/health", health),
        APIRoute(f"/{PICTURE.name}", lambda: FileResponse(PICTURE)),
    ]
    address: str = demo.launch(
        **LAUNCH,
        theme=make_theme(theme),
        i18n=gr.I18n(**translations()),
        app_kwargs={
            "openapi_url": None,  # Gradio has one of its own
            "routes": routes,
            "middleware": [
                Middleware(TrustedHostMiddleware, allowed_hosts=hosts),
                Middleware(RefusesWhenStopping, stopping),
                Middleware(ServesOnlyRoutes, login=options.get("auth") is not None),
                Middleware(LoginDelay),
                Middleware(AnswersMalformed),
                Middleware(RefusesUnknownEvents),
                Middleware(CompressedPage, minimum_size=10_000),
                Middleware(LinkPreview),
            ],
        },
        prevent_thread_lock=True,
        **options,
    )[1]
    demo.app.state_holder = Sessions(demo)
    try:
        if warmup is not None:
            warmup()
    except BaseException:  # Ctrl-C too: nobody is left to stop the server
        demo.close(verbose=False)
        raise
    warm.set()
    if not prevent_thread_lock:
        try:
            while demo.is_running:
                time.sleep(0.1)
        except KeyboardInterrupt:
            drain(demo, stopping)
    return address


def serve(settings: Settings) -> None:
    """Load the models and serve the page until it is stopped.

    Raises:
        FaceModelsError: If a model, the detector or the folder for uploads cannot be used.
        OSError: If the address cannot be listened on.
    """
    keep_heaps_small()
    analyzer = FaceAnalyzer(attributes=ALL_ATTRIBUTES, models=settings.models, detector=settings.detector)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stopped by the system as by Ctrl-C
    size = settings.max_upload * 2**20
    stopping = threading.Event()
    with UploadFolder(room=size) as uploads:
        launch(
            build_demo(analyzer, settings.limits, examples=settings.examples, stopping=stopping),
            analyzer,
            stopping=stopping,
            warmup=functools.partial(analyzer.warmup, standard(analyzer.models)),
            theme=settings.theme,
            uploads=uploads,
            allowed_hosts=settings.allowed_hosts,
            auth=settings.auth,
            max_file_size=size,
            server_name=settings.host,
            server_port=settings.port,
            root_path=settings.root_path,
        )
    others = (thread for thread in threading.enumerate() if thread is not threading.main_thread())
    if stopping.is_set() and any(not thread.daemon for thread in others):
        # Python would wait for work that was given up, which could write into the folder that is gone.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
