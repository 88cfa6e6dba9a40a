"""Coverage-guided fuzzing with atheris: `python -m benchmarks.fuzz image`, `spec` or `hub`.

It needs the extra ``fuzz``. Five minutes by default; options after the target are libFuzzer's. What fails is written
into a file ``crash-…`` in the current folder: it belongs into ``tests/corpus``.
"""

from __future__ import annotations

import hashlib
import io
import json
import socket
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest import mock

import numpy as np
from PIL import Image

SECONDS = 300
BETWEEN = b"\0--\0"  # two answers of a hub
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "AVIF", "JPEG2000")


def read_any_image(content: bytes) -> None:
    """`read_image` gives pixels or an `ImageError`."""
    from facemodels import ImageError, read_image

    try:
        pixels = read_image(content)
    except ImageError:
        return
    assert pixels.dtype == np.uint8 and pixels.ndim == 3


def read_any_spec(content: bytes) -> None:
    """`ModelSpec.from_file` gives a spec that can be written, or a `WeightsError`."""
    from facemodels import ModelSpec, WeightsError

    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        file.write(content)
        file.flush()
        try:
            spec = ModelSpec.from_file(Path(file.name))
        except WeightsError:
            return
        assert ModelSpec.from_dict(json.loads(json.dumps(spec.to_dict(), allow_nan=False))) == spec


def read_any_hub(content: bytes) -> None:
    """Whatever a hub answers, models are listed and downloaded, or there is an error of facemodels."""
    from facemodels import FaceModelsError, download
    from facemodels.hub.publish import remote_versions

    with answering(content.split(BETWEEN)), suppress(FaceModelsError):
        if content.startswith(b"HTTP/1.1 200 OK\r\n"):  # asked about its models first
            for version in remote_versions("someone"):
                json.dumps(version.spec and version.spec.to_dict(), allow_nan=False)
        download("someone/tiny@1.0.0")


@contextmanager
def answering(answers: list[bytes]) -> Iterator[None]:
    """Have a hub on loopback that answers, whatever it is asked, with these bytes in turn, and an empty cache."""
    from huggingface_hub import constants

    left = deque(answers)
    with socket.create_server(("127.0.0.1", 0)) as server, tempfile.TemporaryDirectory() as cache:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        changed = {
            "ENDPOINT": url,
            "HUGGINGFACE_CO_URL_TEMPLATE": url + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_CACHE": cache,
            "HF_HUB_OFFLINE": False,
            "HF_HUB_DISABLE_XET": True,
        }

        def serve() -> None:
            with suppress(OSError):  # the end: the socket is closed
                while True:
                    connection, _ = server.accept()
                    with connection, suppress(OSError):
                        connection.settimeout(2)
                        asked = b""
                        while b"\r\n\r\n" not in asked and (part := connection.recv(65536)):
                            asked += part
                        if asked and left:
                            connection.sendall(left.popleft())

        threading.Thread(target=serve, daemon=True).start()
        with mock.patch.multiple(constants, **changed), mock.patch("huggingface_hub.utils._http.time.sleep"):
            yield
        server.shutdown(socket.SHUT_RDWR)


def image_seeds() -> list[bytes]:
    """A small image in every format."""
    picture = Image.fromarray(np.arange(24 * 16 * 3, dtype=np.uint8).reshape(16, 24, 3))
    files = [io.BytesIO() for _ in FORMATS]
    for file, name in zip(files, FORMATS, strict=True):
        picture.save(file, name)
    return [file.getvalue() for file in files]


def spec_seeds() -> list[bytes]:
    """The bundled specs."""
    from facemodels import list_models
    from facemodels.hub.registry import SPEC_FILE, WEIGHTS

    return [(WEIGHTS / spec.name / SPEC_FILE).read_bytes() for spec in list_models()]


def hub_seeds() -> list[bytes]:
    """What a hub answers about a model, and what one answers who lists the models of its owner."""
    from facemodels import list_models
    from facemodels.hub.registry import SPEC_FILE, WEIGHTS

    commit, content = "a" * 40, b"weights" * 10
    digest = hashlib.sha256(content).hexdigest()
    config = json.loads((WEIGHTS / list_models("gender")[0].name / SPEC_FILE).read_bytes())
    files = {"model.tflite": {"sha256": digest, "size": len(content)}}
    spec = json.dumps({**config, "version": "1.0.0", "files": files}).encode()
    model = []
    for data, tag in ((spec, commit), (content, digest)):
        facts = {"X-Repo-Commit": commit, "ETag": f'"{tag}"'}
        model += [http("200 Here", data, facts, send=False)] * 2 + [http("200 Here", data, facts)]
    model.append(http("404 Not Found", b"{}", {"X-Error-Code": "EntryNotFound"}))  # no golden outputs
    models = [{"id": "someone/tiny", "tags": ["facemodels"]}]
    refs = {"branches": [], "converts": [], "tags": [{"name": "v1.0.0", "ref": "", "targetCommit": ""}]}
    owner = [http("200 OK", json.dumps(answer).encode(), {}) for answer in (models, refs)]
    refusals = ((401, ""), (403, "GatedRepo"), (404, "RepoNotFound"), (404, "RevisionNotFound"), (429, ""), (503, ""))
    return [
        BETWEEN.join(model),
        BETWEEN.join(owner + model),
        *(http(f"{status} No", b'{"error": "no"}', {"X-Error-Code": code}) for status, code in refusals),
    ]


def http(status: str, body: bytes, headers: dict[str, str], *, send: bool = True) -> bytes:
    """An answer; without its body, as to a HEAD request."""
    headers = headers | {"Content-Length": str(len(body)), "Connection": "close"}
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    return f"HTTP/1.1 {status}\r\n{''.join(lines)}\r\n".encode() + body * send


TARGETS: dict[str, tuple[Callable[[bytes], None], Callable[[], list[bytes]]]] = {
    "image": (read_any_image, image_seeds),
    "spec": (read_any_spec, spec_seeds),
    "hub": (read_any_hub, hub_seeds),
}


def main() -> None:
    """The command line; see the module's docstring."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"usage: python -m benchmarks.fuzz {'|'.join(TARGETS)} [libFuzzer options]\n{__doc__}")
    import atheris

    with atheris.instrument_imports(include=["facemodels", "PIL"]):
        import facemodels.hub.publish
        import facemodels.images  # noqa: F401

    target, seeds = TARGETS[sys.argv[1]]
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds()):
            Path(corpus, f"seed-{number}").write_bytes(seed)
        options = [f"-max_total_time={SECONDS}", "-max_len=65536", "-timeout=60", *sys.argv[2:], corpus]
        atheris.Setup([sys.argv[0], *options], target)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
