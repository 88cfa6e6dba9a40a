"""What the app answers at all, what it answers without a login, and how often a login may be tried.

Gradio serves some sixty routes, many of which this app has no use for, and checks the login in some of them. Here
nothing is served but what `ROUTES` names, so that a new release of Gradio offers nothing new.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass(frozen=True)
class Route:
    """Paths that are served.

    Attributes:
        path: Of one route, or the beginning of several if it ends with ``/`` or ``=``.
        tells: What its answers say.
        public: Whether it is served without a login, where the app has one.
    """

    path: str
    tells: str
    public: bool = False

    def serves(self, path: str) -> bool:
        """Whether a path is one of these."""
        if self.path != "/" and self.path.endswith(("/", "=")):
            return path.startswith(self.path)
        return path == self.path


API = "/gradio_api/"
ROUTES = (
    Route("/health", "whether the models are loaded, their names, the age of the oldest upload", public=True),
    Route("/", "the page; before a login the form for it, and the endpoints with their arguments", public=True),
    Route("/login", "whether user and password are right; see `LoginDelay`", public=True),
    Route("/logout", "nothing", public=True),
    Route("/static/", "files of Gradio, the same in every app", public=True),
    Route("/assets/", "files of Gradio, the same in every app", public=True),
    Route("/svelte/", "files of Gradio, the same in every app", public=True),
    Route("/theme.css", "colours and fonts", public=True),
    Route(f"{API}theme.css", "colours and fonts", public=True),
    Route("/favicon.ico", "the icon", public=True),
    Route("/preview.jpg", "the picture that previews of links show, the same for everyone", public=True),
    Route("/robots.txt", "nothing", public=True),
    Route("/manifest.json", "the app's name and icon", public=True),
    Route("/pwa_icon", "the icon", public=True),
    Route("/pwa_icon/", "the icon", public=True),
    Route(f"{API}login_check", "whether the caller is logged in", public=True),
    Route(f"{API}startup-events", "true or false; Gradio asks its own server at the start", public=True),
    Route("/config", "the page's layout and words, the release of Gradio"),
    Route(f"{API}info", "the endpoints and their arguments"),
    Route(f"{API}openapi.json", "the endpoints and their arguments"),
    Route(f"{API}app_id", "a random number for each start of the app"),
    Route(f"{API}user", "the caller's own user name"),
    Route(f"{API}upload", "the path of the caller's own file, which nobody can guess"),
    Route(f"{API}upload_progress", "how much of an upload has come, to who knows its id"),
    Route(f"{API}file=", "a file by its path: uploads, results, pictures of model cards; no other file"),
    Route(f"{API}call/", "the caller's own results, by an id that nobody can guess"),
    Route(f"{API}run/", "the caller's own results"),
    Route(f"{API}api/", "the caller's own results"),
    Route(f"{API}queue/join", "the id of the caller's event, or that the queue is full"),
    Route(f"{API}queue/data", "the events of a session, by an id that nobody can guess"),
    Route(f"{API}queue/status", "how many requests wait"),
    Route(f"{API}stream/", "nothing; takes frames of a webcam for an event"),
    Route(f"{API}heartbeat/", "nothing; ends a session when its page is closed"),
    Route(f"{API}cancel", "nothing; ends an event of a session"),
    Route(f"{API}reset", "nothing; ends an event of a session"),
)


class ServesOnlyRoutes:
    """ASGI middleware that answers 404 to what is not in `ROUTES`, and 401 to what needs a login that is missing.

    Args:
        app: Gradio's app, or what stands before it.
        login: Whether the app has one.
    """

    def __init__(self, app: ASGIApp, login: bool) -> None:
        self._app = app
        self._login = login

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] != "http":  # the app has no use for websockets
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        route = route_of(scope)
        if route is None:
            await JSONResponse({"detail": "Not Found"}, 404)(scope, receive, send)
        elif self._login and not route.public and not is_logged_in(scope):
            detail = {"error": "Not authenticated", "auth_message": None}  # as Gradio says it, and its clients read it
            await JSONResponse({"detail": detail}, 401)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def route_of(scope: Scope) -> Route | None:
    """What serves a request; None for nothing."""
    path = scope["path"].removeprefix(scope.get("root_path", "").rstrip("/"))
    whole = path.rstrip("/") or "/"
    return next((route for route in ROUTES if route.serves(path) or route.serves(whole)), None)


def _posted_to(scope: Scope) -> str:
    """The path of the route that a POST request is for; empty for other requests, and where nothing serves it."""
    route = route_of(scope) if scope["type"] == "http" and scope["method"] == "POST" else None
    return "" if route is None else route.path


def is_logged_in(scope: Scope) -> bool:
    """Whether a request carries what Gradio gave at a login."""
    app, cookies = scope["app"], HTTPConnection(scope).cookies
    names = (f"access-token-{app.cookie_id}", f"access-token-unsecure-{app.cookie_id}")
    return any(cookies.get(name) in app.tokens for name in names)


# What Gradio's readers of a request raise where it is malformed, by the route's path; it would be answered with 500.
_MALFORMED: Mapping[str, tuple[type[Exception], ...]] = {
    f"{API}upload": (AttributeError, TypeError),  # parts without a file
    f"{API}call/": (KeyError, TypeError),  # no such endpoint or argument
}


class AnswersMalformed:
    """ASGI middleware that answers 400 to malformed requests on which Gradio fails.

    Args:
        app: What is asked.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        path = _posted_to(scope)  # before the app changes the scope
        try:
            await self._app(scope, receive, send)
        except _MALFORMED.get(path, ()):
            await JSONResponse({"detail": "The request is malformed."}, 400)(scope, receive, send)


class RefusesUnknownEvents:
    """ASGI middleware that answers 404 to who asks for the results of no event, or of one whose results were read.

    Gradio says so when it has begun to answer, so that the connection breaks and the log gets a traceback, or never.

    Args:
        app: What is asked about events that there are.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if _asks_for_nothing(scope):
            await JSONResponse({"detail": "Not Found"}, 404)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _asks_for_nothing(scope: Scope) -> bool:
    """Whether a request would read the results of an event or a session that there is not."""
    route = route_of(scope) if scope["type"] == "http" and scope["method"] == "GET" else None
    if route is None or route.path not in (f"{API}call/", f"{API}queue/data"):
        return False
    queue = scope["app"].get_blocks()._queue
    if route.path == f"{API}queue/data":
        session = HTTPConnection(scope).query_params.get("session_hash")
        return session is not None and session not in queue.pending_messages_per_session
    event = scope["path"].rstrip("/").rpartition("/")[2]
    waiting = queue.pending_event_ids_session.values()  # whose results were not read
    return event not in queue.event_ids_to_events and not any(event in events for events in waiting)


class LoginDelay:
    """ASGI middleware that has an address wait after failed logins: 429 until a time that doubles with each of them.

    Args:
        app: What is asked otherwise.
        clock: Seconds.
    """

    FREE = 3  # failures without a delay
    LONGEST = 300.0  # seconds, after which a failure is forgotten as well
    KEPT = 10_000  # addresses

    def __init__(self, app: ASGIApp, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._clock = clock
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()  # how many, and when the last was

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if _posted_to(scope) != "/login":
            await self._app(scope, receive, send)
            return
        address = (scope.get("client") or ("",))[0]
        wait = self._wait(address)
        if wait > 0:
            refusal = JSONResponse(
                {"detail": f"Too many failed logins: try again in {wait:.0f} seconds."},
                429,
                {"Retry-After": f"{wait:.0f}"},
            )
            await refusal(scope, receive, send)
            return
        self._count(address)  # before it is tried: several at once are several

        async def forget_if_right(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400:
                self._failures.pop(address, None)
            await send(message)

        await self._app(scope, receive, forget_if_right)

    def _wait(self, address: str) -> float:
        """Seconds until an address may try again."""
        count, last = self._failures.get(address, (0, 0.0))
        delay = min(2.0 ** (count - self.FREE), self.LONGEST) if count > self.FREE else 0.0
        return max(0.0, last + delay - self._clock())

    def _count(self, address: str) -> None:
        count, last = self._failures.pop(address, (0, 0.0))
        forgotten = self._clock() - last > 2 * self.LONGEST
        self._failures[address] = (1 if forgotten else count + 1, self._clock())
        if len(self._failures) > self.KEPT:
            self._failures.popitem(last=False)
