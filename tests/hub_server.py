"""A small hub on loopback, for tests: the routes of reading and publishing, with the real one's strictness about them.

It keeps everything in memory. A second port plays the storage that large files are redirected to, so that a client that
sends it the user's token is found out. `HubServer.requests` tells what was asked, `HubServer.fault` spoils answers.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import yaml
from huggingface_hub import constants

LARGE = (".keras", ".tflite", ".onnx")
TOKEN = "hf_test_token"


def private_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give `huggingface_hub` an empty cache and a token of the test's own; returns the cache."""
    cache = folder / "hub-cache"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    # An exchange that an earlier test left behind goes on trying to connect, and would close the client that all share.
    monkeypatch.setattr("huggingface_hub.utils._http.close_session", lambda: None)
    return cache


def point_at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `huggingface_hub` talk to another server, as HF_ENDPOINT does when a process starts."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")


def git_blob_id(content: bytes) -> str:
    """What git calls a file with this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Repository:
    """A model repository: its commits (each a whole tree) and tags."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    head: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    announced: dict[str, tuple[str, int]] = field(default_factory=dict)  # path -> upload mode and size

    def commit(self, files: dict[str, bytes]) -> str:
        """Add a commit; returns its id."""
        seed = repr((len(self.commits), self.head, sorted((name, git_blob_id(data)) for name, data in files.items())))
        self.head = hashlib.sha1(seed.encode()).hexdigest()
        self.commits[self.head] = dict(files)
        return self.head

    def find(self, revision: str) -> str | None:
        """The commit that a branch, tag or commit id means."""
        known = {"main": self.head, **self.tags, **{commit: commit for commit in self.commits}}
        return known.get(revision) or None


@dataclass(frozen=True)
class Request:
    """What a client sent."""

    method: str
    path: str
    headers: dict[str, str]


class Refusal(Exception):
    """An answer that is an error, as the hub words it."""

    def __init__(self, status: int, message: str, code: str = "", **body: Any) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.body = status, message, code, body


class HubServer:
    """A hub to read from and publish to. Use as a context manager.

    Attributes:
        repositories: By ``owner/name``.
        requests: Everything asked, in order.
        fault: If set, gets the path and content of each file to send, and returns what is sent instead; when that is
            shorter, the connection breaks there.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.requests: list[Request] = []
        self.stored: dict[str, bytes] = {}  # large files by sha256
        self.verified: set[str] = set()
        self.card_problem = ""  # what a stricter hub than this one finds in every card
        self.valid_cards: set[str] = set()
        self.connections: set[socket.socket] = set()
        self.fault: Callable[[str, bytes], bytes] | None = None
        handler = type("Handler", (_Handler,), {"hub": self})
        storage = type("Storage", (_Storage,), {"hub": self})
        self._servers = [ThreadingHTTPServer(("127.0.0.1", 0), kind) for kind in (handler, storage)]
        self.url, self.storage_url = (f"http://127.0.0.1:{server.server_address[1]}" for server in self._servers)

    def __enter__(self) -> HubServer:
        for server in self._servers:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Be gone: open connections break, new ones are refused."""
        for server in self._servers:
            server.shutdown()
            server.server_close()
        for connection in list(self.connections):
            with suppress(OSError):  # it may have ended meanwhile
                connection.shutdown(socket.SHUT_RDWR)

    def add(self, repo_id: str, files: dict[str, bytes], tag: str | None = None) -> str:
        """Put a commit there, as if somebody had published it; returns the commit."""
        repository = self.repositories.setdefault(repo_id, Repository())
        commit = repository.commit(files)
        if tag:
            repository.tags[tag] = commit
        for name, data in files.items():
            if name.endswith(LARGE):
                self.stored[hashlib.sha256(data).hexdigest()] = data
        return commit

    def asked(self, method: str, part: str) -> list[Request]:
        """The requests of this method whose path holds `part`."""
        return [request for request in self.requests if request.method == method and part in request.path]


class _Handler(BaseHTTPRequestHandler):
    """The hub's own routes."""

    protocol_version = "HTTP/1.1"
    hub: HubServer
    routes: tuple[tuple[str, str, str], ...] = (
        ("POST", r"/api/repos/create", "create"),
        ("POST", r"/api/validate-yaml", "validate_card"),
        ("POST", r"/api/models/([^/]+/[^/]+)/preupload/([^/]+)", "preupload"),
        ("POST", r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", "lfs_batch"),
        ("POST", r"/lfs/verify", "lfs_verify"),
        ("POST", r"/api/models/([^/]+/[^/]+)/commit/([^/]+)", "commit"),
        ("POST", r"/api/models/([^/]+/[^/]+)/tag/([^/]+)", "tag"),
        ("GET", r"/api/models", "list_models"),
        ("GET", r"/api/models/([^/]+/[^/]+)/refs", "refs"),
        ("POST", r"/api/models/([^/]+/[^/]+)/paths-info/([^/]+)", "paths_info"),
        ("GET", r"/api/models/([^/]+/[^/]+)/tree/([^/]+)(?:/(.+))?", "tree"),
        ("GET", r"/api/models/([^/]+/[^/]+)/revision/([^/]+)", "revision"),
        ("GET", r"/api/models/([^/]+/[^/]+)", "revision"),
        ("HEAD", r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", "resolve"),
        ("GET", r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", "resolve"),
    )

    def setup(self) -> None:
        super().setup()
        self.hub.connections.add(self.connection)

    def finish(self) -> None:
        self.hub.connections.discard(self.connection)
        super().finish()

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:  # a client that hangs up is its own business
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet."""

    def _serve(self) -> None:
        split = urlsplit(self.path)
        path = unquote(split.path)
        self.query = parse_qs(split.query)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.hub.requests.append(Request(self.command, path, headers))
        try:
            for method, pattern, name in self.routes:
                match = re.fullmatch(pattern, path)
                if method == self.command and match:
                    if method == "POST" and headers.get("authorization") != f"Bearer {TOKEN}":
                        raise Refusal(401, "Invalid username or password.")
                    getattr(self, name)(*match.groups())
                    return
            raise Refusal(404, f"no route {self.command} {path}")
        except Refusal as refusal:
            extra = {"X-Error-Message": refusal.message} | ({"X-Error-Code": refusal.code} if refusal.code else {})
            self._json({"error": refusal.message, **refusal.body}, refusal.status, extra)

    do_GET = do_HEAD = do_POST = do_PUT = _serve

    def _json(self, data: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(json.dumps(data).encode(), status, {"Content-Type": "application/json", **(headers or {})})

    def _send(self, content: bytes, status: int, headers: dict[str, str], declared: int | None = None) -> None:
        self.send_response(status)
        length = len(content) if declared is None else declared
        for name, value in {"Content-Length": str(length), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
            if len(content) < length:
                self.close_connection = True  # gone half way

    def _parsed(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Refusal(400, "the body is not JSON") from error

    def _repository(self, repo_id: str) -> Repository:
        if repo_id not in self.hub.repositories:
            raise Refusal(404, "Repository not found", "RepoNotFound")
        return self.hub.repositories[repo_id]

    def _found(self, repo_id: str, revision: str) -> tuple[Repository, str]:
        repository = self._repository(repo_id)
        commit = repository.find(revision)
        if commit is None:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return repository, commit

    def create(self) -> None:
        data = self._parsed()
        repo_id = f"{data['organization']}/{data['name']}"
        if data.get("type", "model") != "model":
            raise Refusal(400, "only models are kept here")
        if repo_id in self.hub.repositories:
            raise Refusal(409, "You already created this model repo", url=f"{self.hub.url}/{repo_id}")
        self.hub.add(repo_id, {".gitattributes": b"*.keras filter=lfs diff=lfs merge=lfs -text\n"})
        self._json({"url": f"{self.hub.url}/{repo_id}"})

    def validate_card(self) -> None:
        data = self._parsed()
        match = re.match(r"---\r?\n(.*?)\r?\n---\r?\n", data["content"], re.DOTALL)
        try:
            metadata = yaml.safe_load(match[1]) if match else None
        except yaml.YAMLError as error:
            raise Refusal(400, "bad card", errors=[{"message": str(error)}], warnings=[]) from error
        problems = []
        if not isinstance(metadata, dict):
            problems.append("no metadata")
        elif metadata.get("license") == "other" and not metadata.get("license_name"):
            problems.append('"license_name" is required for the license "other"')
        elif "license" not in metadata:
            problems.append('"license" is missing')
        if self.hub.card_problem:
            problems.append(self.hub.card_problem)
        if data.get("repoType") != "model" or problems:
            raise Refusal(400, "bad card", errors=[{"message": text} for text in problems], warnings=[])
        self.hub.valid_cards.add(data["content"])
        self._json({"errors": [], "warnings": []})

    def preupload(self, repo_id: str, revision: str) -> None:
        repository, commit = self._found(repo_id, revision)
        answers = []
        for entry in self._parsed()["files"]:
            path, size = entry["path"], entry["size"]
            if len(base64.b64decode(entry["sample"], validate=True)) != min(size, 512):
                raise Refusal(400, f"the sample of {path} is not its first 512 bytes")
            mode = "lfs" if path.endswith(LARGE) or size > 10 * 2**20 else "regular"
            repository.announced[path] = (mode, size)
            old = repository.commits[commit].get(path)
            oid = None
            if old is not None:
                oid = hashlib.sha256(old).hexdigest() if path.endswith(LARGE) else git_blob_id(old)
            answers.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self._json({"files": answers})

    def lfs_batch(self, repo_id: str) -> None:
        repository = self._repository(repo_id)
        data = self._parsed()
        if "application/vnd.git-lfs+json" not in self.headers.get("Accept", ""):
            raise Refusal(406, "this is a git-lfs route")
        if (data["operation"], data["hash_algo"]) != ("upload", "sha256") or "basic" not in data["transfers"]:
            raise Refusal(400, "only basic uploads by sha256")
        sizes = {size for mode, size in repository.announced.values() if mode == "lfs"}
        answers = []
        for entry in data["objects"]:
            if entry["size"] not in sizes:
                raise Refusal(422, "a large file must go through preupload first")
            answer = {"oid": entry["oid"], "size": entry["size"]}
            if entry["oid"] not in self.hub.stored:
                answer["actions"] = {
                    "upload": {"href": f"{self.hub.storage_url}/upload/{entry['oid']}/{entry['size']}", "header": {}},
                    "verify": {"href": f"{self.hub.url}/lfs/verify", "header": {}},
                }
            answers.append(answer)
        self._json({"transfer": "basic", "objects": answers})

    def lfs_verify(self) -> None:
        data = self._parsed()
        if len(self.hub.stored.get(data["oid"], b"")) != data["size"]:
            raise Refusal(404, "that file was not uploaded")
        self.hub.verified.add(data["oid"])
        self._json({})

    def commit(self, repo_id: str, revision: str) -> None:
        repository, parent = self._found(repo_id, revision)
        if revision != "main" or self.headers.get("Content-Type") != "application/x-ndjson":
            raise Refusal(400, "a commit goes to a branch, as application/x-ndjson")
        lines = [json.loads(line) for line in self.body.splitlines()]
        if [line["key"] for line in lines].index("header") != 0 or not lines[0]["value"].get("summary"):
            raise Refusal(400, "a commit starts with a header that has a summary")
        files = dict(repository.commits[parent])
        for line in lines[1:]:
            value = line["value"]
            path = value["path"]
            if line["key"] == "file":
                content = base64.b64decode(value["content"], validate=True)
                expected = ("regular", len(content))
                if path == "README.md" and content.decode() not in self.hub.valid_cards:
                    raise Refusal(400, "the card was not validated")
            elif line["key"] == "lfsFile":
                if value["algo"] != "sha256" or value["oid"] not in self.hub.verified:
                    raise Refusal(400, f"{path} was not uploaded and verified")
                content = self.hub.stored[value["oid"]]
                expected = ("lfs", value["size"])
            elif line["key"] == "deletedFile":
                del files[path]
                continue
            else:
                raise Refusal(400, f"unknown operation {line['key']}")
            if repository.announced.pop(path, None) != expected or expected[1] != len(content):
                raise Refusal(400, f"{path} is not what was announced")
            files[path] = content
        commit = repository.commit(files)
        self._json({"success": True, "commitOid": commit, "commitUrl": f"{self.hub.url}/{repo_id}/commit/{commit}"})

    def tag(self, repo_id: str, revision: str) -> None:
        repository, commit = self._found(repo_id, revision)
        name = self._parsed()["tag"]
        if name in repository.tags:
            raise Refusal(409, "Tag reference exists already")
        repository.tags[name] = commit
        self._json({})

    def list_models(self) -> None:
        (author,) = self.query["author"]
        found = []
        for repo_id, repository in self.hub.repositories.items():
            card = repository.commits[repository.head].get("README.md", b"").decode().split("---")
            tags = (yaml.safe_load(card[1]) if len(card) > 2 else {}).get("tags", [])
            if repo_id.startswith(f"{author}/") and set(self.query.get("filter", [])) <= set(tags):
                found.append({"id": repo_id, "modelId": repo_id, "tags": tags, "private": False})
        self._json(found)

    def refs(self, repo_id: str) -> None:
        repository = self._repository(repo_id)
        branches = [{"name": "main", "ref": "refs/heads/main", "targetCommit": repository.head}]
        tags = [
            {"name": name, "ref": f"refs/tags/{name}", "targetCommit": commit}
            for name, commit in repository.tags.items()
        ]
        self._json({"branches": branches, "converts": [], "tags": tags})

    def revision(self, repo_id: str, revision: str = "main") -> None:
        repository, commit = self._found(repo_id, revision)
        siblings = [{"rfilename": name} for name in repository.commits[commit]]
        self._json({"id": repo_id, "modelId": repo_id, "sha": commit, "siblings": siblings, "private": False})

    def tree(self, repo_id: str, revision: str, folder: str | None = None) -> None:
        start = f"{folder}/" if folder else ""
        rows = [row for row in self._rows(repo_id, revision) if row["path"].startswith(start)]
        if self.query.get("recursive", ["false"]) != ["true"]:
            rows = [row for row in rows if "/" not in row["path"].removeprefix(start)]
        self._json(rows)

    def paths_info(self, repo_id: str, revision: str) -> None:
        asked = parse_qs(self.body.decode())["paths"]
        self._json([row for row in self._rows(repo_id, revision) if row["path"] in asked])

    def _rows(self, repo_id: str, revision: str) -> list[dict[str, Any]]:
        """The files and folders of a commit."""
        repository, commit = self._found(repo_id, revision)
        rows: list[dict[str, Any]] = []
        folders = {str(parent) for name in repository.commits[commit] for parent in PurePosixPath(name).parents} - {"."}
        rows += ({"type": "directory", "path": name, "oid": "0" * 40, "size": 0} for name in sorted(folders))
        for name, data in repository.commits[commit].items():
            row: dict[str, Any] = {"type": "file", "path": name, "size": len(data), "oid": git_blob_id(data)}
            if name.endswith(LARGE):
                row["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
            rows.append(row)
        return rows

    def resolve(self, repo_id: str, revision: str, path: str) -> None:
        repository, commit = self._found(repo_id, revision)
        if path not in repository.commits[commit]:
            raise Refusal(404, "Entry not found", "EntryNotFound")
        data = repository.commits[commit][path]
        headers = {"X-Repo-Commit": commit, "Content-Type": "application/octet-stream"}
        if path.endswith(LARGE):
            digest = hashlib.sha256(data).hexdigest()
            headers |= {"X-Linked-ETag": f'"{digest}"', "X-Linked-Size": str(len(data))}
            self._send(b"", 302, {**headers, "Location": f"{self.hub.storage_url}/stored/{digest}/{path}"})
            return
        sent = self.hub.fault(path, data) if self.hub.fault and self.command == "GET" else data
        headers["ETag"] = f'"{git_blob_id(data)}"'
        if match := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "")):  # of readers that seek
            part = data[int(match[1]) : int(match[2]) + 1]
            headers["Content-Range"] = f"bytes {match[1]}-{int(match[1]) + len(part) - 1}/{len(data)}"
            self._send(part, 206, headers)
            return
        self._send(sent, 200, headers, declared=len(data))


class _Storage(_Handler):
    """Where large files lie. Its links are signed, so a token sent here is a leak."""

    routes = (
        ("GET", r"/stored/([0-9a-f]{64})/(.+)", "stored"),
        ("PUT", r"/upload/([0-9a-f]{64})/(\d+)", "upload"),
    )

    def _check_no_token(self) -> None:
        if "Authorization" in self.headers:
            raise Refusal(400, "the user's token was sent to the storage")

    def stored(self, digest: str, path: str) -> None:
        self._check_no_token()
        data = self.hub.stored[digest]
        start = int(match[1]) if (match := re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))) else 0
        sent = (self.hub.fault(path, data) if self.hub.fault else data)[start:]
        headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
        self._send(sent, 206 if start else 200, headers, declared=len(data) - start)

    def upload(self, digest: str, size: str) -> None:
        self._check_no_token()
        if len(self.body) != int(size) or hashlib.sha256(self.body).hexdigest() != digest:
            raise Refusal(400, "the content is not what its address says")
        self.hub.stored[digest] = self.body
        self._json({})
