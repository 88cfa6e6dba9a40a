"""What others show of a link to the page: its title, description and picture, instead of Gradio's own."""

from __future__ import annotations

import html
import re
from pathlib import Path

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from facemodels.app.words import Words, languages, words_in

_PICTURES = Path(__file__).parent / "pictures"  # made by `python -m benchmarks.screenshot`
FAVICON, PICTURE = _PICTURES / "favicon.png", _PICTURES / "preview.jpg"
PICTURE_SIZE = (1200, 630)  # pixels; what most previews show whole

# Gradio's tags, of which some are about Gradio and some are empty; readers take the first of each.
_TAGS = re.compile(r'<meta\s+(?:property="og:|name="twitter:)[^>]*>')
_ROOT = re.compile(
    r'"root":\s*"([^"]+)"'
)  # in the page's configuration: its address, as the visitor's browser knows it


class LinkPreview:
    """Middleware: puts the tags that previews of links read into the page, in the reader's language."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; the page itself, which comes in one piece, gets our tags."""
        if scope["type"] != "http" or scope["method"] != "GET" or not _is_page(scope):
            await self._app(scope, receive, send)
            return
        say = _language(Headers(scope=scope).get("accept-language", ""))
        held: list[Message] = []

        async def change(message: Message) -> None:
            if message["type"] == "http.response.start":
                held.append(message)
                return
            if held and message["type"] == "http.response.body":
                start = held.pop()
                headers = MutableHeaders(raw=start["headers"])
                if "text/html" in headers.get("content-type", "") and not message.get("more_body"):
                    body = tagged(message.get("body", b"").decode(), say).encode()
                    headers["content-length"] = str(len(body))
                    message = {**message, "body": body}
                await send(start)
            await send(message)

        await self._app(scope, receive, change)


def _is_page(scope: Scope) -> bool:
    return str(scope["path"]).removeprefix(scope.get("root_path", "").rstrip("/")) in ("", "/")


def tagged(page: str, say: Words) -> str:
    """The page with our tags instead of those that are there.

    Args:
        page: HTML with a head.
        say: The words.
    """
    found = _ROOT.search(page)
    if found is None:  # not the page, but one that asks for a password
        return page
    root = found[1].rstrip("/")
    values = {
        "og:title": "facemodels",
        "og:description": say("lead"),
        "og:type": "website",
        "og:url": f"{root}/",
        "og:image": f"{root}/{PICTURE.name}",
        "og:image:width": str(PICTURE_SIZE[0]),
        "og:image:height": str(PICTURE_SIZE[1]),
        "og:image:alt": say("preview_alt"),
    }
    tags = [f'<meta property="{name}" content="{_attribute(value)}" />' for name, value in values.items()]
    tags += [
        '<meta name="twitter:card" content="summary_large_image" />',
        f'<meta name="description" content="{_attribute(say("lead"))}" />',
        '<link rel="icon" type="image/png" href="favicon.ico" />',
    ]
    return _TAGS.sub("", page).replace("<head>", "<head>\n" + "\n".join(tags), 1)


def _attribute(text: str) -> str:
    return html.escape(html.unescape(text))


def _language(accepted: str) -> Words:
    """The words in the first of the languages that a browser accepts and that we have, by their order."""
    names = (part.partition(";")[0].strip().partition("-")[0].lower() for part in accepted.split(","))
    return words_in(next((name for name in names if name in languages()), "en"))
