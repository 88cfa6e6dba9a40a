"""The lookup and download of weights, against a small hub on loopback. No test here asks anything of the internet."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType, SimpleNamespace

import pytest
from hub_server import TOKEN, HubServer, git_blob_id, point_at, private_cache

from facemodels.errors import ArgumentError, HubError, UnknownModelError, WeightsError
from facemodels.hub import registry, store
from facemodels.hub.registry import ModelSpec

REPO = "someone/emotion-tiny"
NAME = "model.tflite"
CODE_FOLDER = Path(__file__).parent.parent


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache of the test's own, and a package without bundled weights."""
    registry.list_models()  # read once, before it would find the test's folder
    monkeypatch.setattr(registry, "WEIGHTS", tmp_path / "bundled")
    return private_cache(tmp_path, monkeypatch)


@pytest.fixture
def server(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub with nothing on it, and an empty cache."""
    with HubServer() as running:
        point_at(running.url, monkeypatch)
        yield running


def make_spec(files: dict[str, bytes], **changes: object) -> ModelSpec:
    """A spec of files with this content."""
    entries = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
        for name, data in files.items()
        if name.endswith((".tflite", ".keras", ".onnx"))
    }
    head = {"attribute": "emotion", "output": "emotion", "kind": "classification", "labels": ["happy", "sad"]}
    data = {
        "name": "emotion-tiny",
        "version": "1.1.0",
        "kind": "attributes",
        "heads": [head],
        "input_size": 48,
        "margin": 0.1,
        "offset": 0.0,
        "align": True,
        "repo_id": REPO,
        "revision": None,
        "files": entries,
        "license": "mit",
        "schema": 1,
    }
    return ModelSpec.from_dict(data | changes)


def weights(size: int = 40_000) -> dict[str, bytes]:
    """Files of a model, with content that was never there before."""
    return {NAME: os.urandom(size), "model.keras": os.urandom(size)}


def publish(server: HubServer, files: dict[str, bytes], tag: str | None = "v1.1.0", **changes: object) -> ModelSpec:
    """Put a model on the hub; returns its spec, pinned to the commit."""
    spec = make_spec(files, **changes)
    config = json.dumps(spec.to_dict()).encode()
    return replace(spec, revision=server.add(REPO, {"config.json": config, **files}, tag))


def write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def flip(path: Path, at: int = 100) -> None:
    """Change one bit of a file, wherever its bytes really lie."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.resolve().write_bytes(data)


class TestResolve:
    def test_known_names(self) -> None:
        assert store.resolve("yunet").kind == "detector"
        assert store.resolve("yunet@2023.3.0") == store.resolve("yunet")

    def test_folder(self, tmp_path: Path) -> None:
        files = weights()
        config = json.dumps(make_spec(files).to_dict()).encode()
        folder = write(tmp_path / "mine", {"config.json": config, **files})
        for reference in (folder, str(folder)):
            spec = store.resolve(reference)
            assert spec.folder == folder and spec.name == "emotion-tiny"

    def test_name_wins_over_folder_of_that_name(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        config = json.dumps(make_spec(weights()).to_dict()).encode()
        write(tmp_path / "yunet", {"config.json": config})
        write(tmp_path / "mine", {"config.json": config})
        monkeypatch.chdir(tmp_path)
        assert store.resolve("yunet").kind == "detector"
        assert store.resolve("./yunet").kind == "attributes"
        assert store.resolve("mine").folder == tmp_path / "mine"

    @pytest.mark.parametrize(
        ("reference", "message"),
        [
            ("no-such-model", "unknown model"),
            ("./no/such/folder", "neither"),
            ("owner/name@latest", "neither"),
            ("owner/name@1.1", "neither"),
            ("../name@1.1.0", "neither"),
            ("owner/name", "names no version"),
            (Path("no-such-folder"), "neither"),
            ("owner/name@١.٢.٣", "neither"),
            ("~nobody-of-that-name/model", "names no model"),
            ("a" * 5000 + "/model", "names no model"),
            ("a\0/model", "neither"),
        ],
    )
    def test_unknown(self, reference: str | Path, message: str) -> None:
        with pytest.raises(UnknownModelError, match=message):
            store.resolve(reference)

    def test_folder_that_is_no_model(self, tmp_path: Path) -> None:
        with pytest.raises(UnknownModelError, match=r"holds no config\.json"):
            store.resolve(tmp_path)

    def test_wrong_type(self) -> None:
        with pytest.raises(ArgumentError, match="int"):
            store.resolve(3)  # type: ignore[arg-type]


class TestLocalFiles:
    def test_folder_is_the_only_place(self, tmp_path: Path, cache: Path) -> None:
        files = weights()
        spec = replace(make_spec(files), folder=write(tmp_path / "mine", files))
        write(registry.WEIGHTS / spec.name, files)
        assert store.fetch(spec, NAME) == tmp_path / "mine" / NAME
        assert store.locate(spec) == "folder"
        (tmp_path / "mine" / NAME).unlink()
        with pytest.raises(WeightsError, match="not there"):
            store.fetch(spec, NAME)
        assert store.locate(spec) == "missing"

    def test_tampered_and_cut_files_are_refused(self, tmp_path: Path, cache: Path) -> None:
        files = weights()
        spec = replace(make_spec(files), folder=write(tmp_path / "mine", files))
        path = tmp_path / "mine" / NAME
        for at in (0, 20_000, 39_999):
            write(tmp_path / "mine", files)
            flip(path, at)
            with pytest.raises(WeightsError, match="sha256"):
                store.fetch(spec, NAME)
            assert store.cached(spec, NAME) is None
        path.write_bytes(files[NAME][:-1])
        with pytest.raises(WeightsError, match="39,999 bytes instead of 40,000"):
            store.fetch(spec, NAME)

    def test_bundled(self, cache: Path) -> None:
        files = weights()
        spec = make_spec(files)
        folder = write(registry.WEIGHTS / spec.name, files)
        assert store.fetch(spec, NAME) == folder / NAME
        assert store.locate(spec) == "bundled"
        other = make_spec(weights(), version="1.2.0")  # another version is other bytes
        assert store.cached(other, NAME) is None

    def test_not_published_is_said(self, cache: Path) -> None:
        spec = make_spec(weights())
        with pytest.raises(WeightsError, match="not published"):
            store.fetch(spec, NAME)
        assert store.locate(spec) == "missing"

    def test_only_known_files_of_known_kinds(self, tmp_path: Path) -> None:
        files = weights() | {"other.onnx": b"x" * 10}
        spec = replace(make_spec(files), folder=write(tmp_path / "mine", files))
        with pytest.raises(WeightsError, match=r"has no file 'model\.pkl'"):
            store.fetch(spec, "model.pkl")
        with pytest.raises(WeightsError, match="never opened"):
            store.fetch(spec, "other.onnx")

    def test_read_gives_the_bytes_that_were_checked(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        files = weights()
        spec = replace(make_spec(files), folder=write(tmp_path / "mine", files))
        assert store.read(spec, NAME) == files[NAME]
        opened = []
        real = Path.open
        monkeypatch.setattr(Path, "open", lambda path, *args: opened.append(path) or real(path, *args))
        assert store.read(spec, NAME) == files[NAME]
        assert opened == [tmp_path / "mine" / NAME]  # once: what was hashed is what is given

    def test_verify(self, tmp_path: Path) -> None:
        files = weights()
        spec = make_spec(files)
        folder = write(tmp_path / "mine", files)
        assert store.verify(folder / NAME, spec.files[NAME]) == files[NAME]
        flip(folder / NAME)
        with pytest.raises(WeightsError, match="sha256"):
            store.verify(folder / NAME, spec.files[NAME])

    def test_serving_file(self) -> None:
        spec = make_spec(weights())
        assert store.serving_file(spec) == NAME
        assert store.serving_file(spec, "keras") == "model.keras"
        assert store.serving_file(store.resolve("yunet"), "keras").endswith(".onnx")
        with pytest.raises(ArgumentError, match="litert, keras"):
            store.serving_file(spec, "torch")
        with pytest.raises(WeightsError, match=r"has no \.keras file"):
            store.serving_file(make_spec({NAME: b"x"}), "keras")

    def test_bundled_weights_need_neither_network_library_nor_network(self, tmp_path: Path) -> None:
        code = (
            "import sys; from pathlib import Path; from facemodels.hub import registry, store\n"
            "spec = store.resolve('yunet'); store.locate(spec); store.cached(spec, *spec.files)\n"
            "print(sorted({'httpx2', 'huggingface_hub.hf_api', 'tensorflow', 'numpy'} & set(sys.modules)))"
        )
        assert run_python(code, tmp_path).stdout.strip() == "[]"


class TestDownload:
    def test_first_from_the_hub_then_from_the_cache(self, server: HubServer) -> None:
        files = weights()
        spec = publish(server, files)
        assert store.locate(spec) == "hub" and store.cached(spec, NAME) is None
        path = store.fetch(spec, NAME)
        assert path.read_bytes() == files[NAME]
        assert store.locate(spec) == "cache"
        asked = len(server.requests)
        server.stop()
        assert store.fetch(spec, NAME) == path
        assert len(server.requests) == asked

    def test_golden_outputs_come_along(self, server: HubServer) -> None:
        files = weights() | {"golden.json": b'{"seeds": [0]}'}
        spec = publish(server, files)
        assert store.local_text(spec, "golden.json") is None
        store.fetch(spec, NAME)
        server.stop()
        path = store.local_text(spec, "golden.json")
        assert path is not None and path.read_bytes() == files["golden.json"]

    def test_order_of_places(self, server: HubServer, tmp_path: Path) -> None:
        files = weights()
        spec = publish(server, files)
        write(registry.WEIGHTS / spec.name, files)
        assert store.locate(spec) == "bundled"
        store.fetch(spec, NAME)
        assert server.requests == []
        (registry.WEIGHTS / spec.name / NAME).unlink()
        store.fetch(spec, NAME)
        write(registry.WEIGHTS / spec.name, files)
        assert store.locate(spec) == "cache"
        assert store.locate(replace(spec, folder=write(tmp_path / "mine", files))) == "folder"

    def test_damaged_bundled_copy_is_passed_over(self, server: HubServer) -> None:
        files = weights()
        spec = publish(server, files)
        flip(write(registry.WEIGHTS / spec.name, files) / NAME)
        assert store.fetch(spec, NAME).read_bytes() == files[NAME]
        assert store.locate(spec) == "cache"

    def test_says_who_asks_and_keeps_the_token_to_the_hub(self, server: HubServer) -> None:
        spec = publish(server, weights())
        store.fetch(spec, NAME)
        assert all("facemodels/" in request.headers["user-agent"] for request in server.requests)
        sent = {request.path.split("/")[1]: "authorization" in request.headers for request in server.requests}
        assert sent == {"someone": True, "stored": False}

    def test_damaged_cache_is_fetched_again_once(self, server: HubServer) -> None:
        files = weights()
        spec = publish(server, files)
        path = store.fetch(spec, NAME)
        flip(path)
        assert store.cached(spec, NAME) is None and store.locate(spec) == "hub"
        assert store.fetch(spec, NAME).read_bytes() == files[NAME]
        assert len(server.asked("GET", "/stored/")) == 2

    def test_damaged_cache_of_plain_copies(self, server: HubServer) -> None:
        files = weights()
        spec = publish(server, files)
        path = store.fetch(spec, NAME)
        content = bytearray(path.read_bytes())
        content[7] ^= 1
        path.unlink()
        path.write_bytes(content)  # a copy instead of a link, as on Windows
        assert store.fetch(spec, NAME).read_bytes() == files[NAME]

    def test_damaged_cache_without_network(self, server: HubServer) -> None:
        spec = publish(server, weights())
        flip(store.fetch(spec, NAME))
        server.stop()
        with pytest.raises(HubError, match="has sha256"):
            store.fetch(spec, NAME)

    def test_other_bytes_from_the_hub_are_refused(self, server: HubServer) -> None:
        spec = publish(server, weights())
        server.fault = lambda path, data: bytes(len(data))
        with pytest.raises(WeightsError, match="not the file expected"):
            store.fetch(spec, NAME)
        assert len(server.asked("GET", "/stored/")) == 2
        assert store.cached(spec, NAME) is None
        server.fault = None
        assert store.fetch(spec, NAME).is_file()

    def test_other_size_is_refused_before_downloading(self, server: HubServer) -> None:
        spec = publish(server, weights())
        small = make_spec(weights(20_000), revision=spec.revision)
        with pytest.raises(WeightsError, match="40,000 bytes, not 20,000"):
            store.fetch(small, NAME)
        assert server.asked("GET", "/stored/") == []

    def test_never_from_a_branch(self, server: HubServer) -> None:
        spec = publish(server, weights())
        for revision in ("main", "v1.1.0", "../../x"):
            with pytest.raises(WeightsError, match="not a commit"):
                store.fetch(replace(spec, revision=revision), NAME)
        assert server.requests == []

    def test_cache_that_cannot_be_written(
        self, server: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spec = publish(server, weights())
        cache.write_text("a file where the folder should be")
        with pytest.raises(HubError, match=rf"(exists|Not a directory): .*{cache}"):
            store.fetch(spec, NAME)

    def test_threads_at_once(self, server: HubServer) -> None:
        files = weights()
        spec = publish(server, files)
        paths: list[Path] = []
        threads = [threading.Thread(target=lambda: paths.append(store.fetch(spec, NAME))) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(paths) == 6 and {path.read_bytes() for path in paths} == {files[NAME]}

    def test_download_names(self, server: HubServer, tmp_path: Path) -> None:
        files = weights()
        publish(server, files)
        config = json.dumps(make_spec(files).to_dict()).encode()
        folder = write(tmp_path / "mine", {"config.json": config, **files})
        reference = f"{REPO}@1.1.0"
        folders = store.download([reference, str(folder)])
        assert folders[str(folder)] == folder
        assert (folders[reference] / NAME).read_bytes() == files[NAME]
        assert not (folders[reference] / "model.keras").exists()
        assert (store.download(reference, backend="keras")[reference] / "model.keras").read_bytes() == files[
            "model.keras"
        ]

    def test_download_defaults(self, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        contents = {name: weights() for name in registry.DEFAULT_MODELS.values()}
        specs = [make_spec(files, name=name) for name, files in contents.items()]
        monkeypatch.setattr(registry, "all_specs", lambda: {spec.id: spec for spec in specs})
        folders = {name: write(registry.WEIGHTS / name, files) for name, files in contents.items()}
        assert store.download() == folders

    def test_download_checks_every_name_first(self, server: HubServer) -> None:
        publish(server, weights())
        with pytest.raises(UnknownModelError):
            store.download([f"{REPO}@1.1.0", "no-such-model"])
        assert server.asked("GET", NAME) == []


class TestPublishedSpec:
    def test_by_version(self, server: HubServer) -> None:
        files = weights()
        pinned = publish(server, files)
        spec = store.resolve(f"{REPO}@1.1.0")
        assert spec == pinned and spec.heads[0].labels == ("happy", "sad")
        assert store.fetch(spec, NAME).read_bytes() == files[NAME]
        server.stop()
        assert store.resolve(f"{REPO}@1.1.0") == spec
        assert store.fetch(spec, NAME).read_bytes() == files[NAME]

    def test_other_version_of_a_known_name(self, server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
        old = publish(server, weights())
        new = make_spec(weights(), version="1.2.0", revision="1" * 40)
        monkeypatch.setattr(registry, "all_specs", lambda: {new.id: new})
        assert store.resolve("emotion-tiny") == new
        assert store.resolve("emotion-tiny@1.1.0") == old
        with pytest.raises(HubError, match=r"someone/emotion-tiny@1\.0\.0"):
            store.resolve("emotion-tiny@1.0.0")
        unpublished = replace(new, revision=None)  # whoever owns a repository of that name is a stranger
        monkeypatch.setattr(registry, "all_specs", lambda: {new.id: unpublished})
        with pytest.raises(UnknownModelError, match=r"known here: emotion-tiny@1\.2\.0"):
            store.resolve("emotion-tiny@1.1.0")

    def test_moved_tag_changes_nothing_here(self, server: HubServer) -> None:
        publish(server, weights())
        spec = store.resolve(f"{REPO}@1.1.0")
        publish(server, weights())
        assert store.resolve(f"{REPO}@1.1.0") == spec

    def test_repository_is_where_it_came_from(self, server: HubServer) -> None:
        spec = publish(server, weights(), repo_id="elsewhere/else", revision="main")
        assert store.resolve(f"{REPO}@1.1.0") == replace(spec, repo_id=REPO)

    def test_damaged_config_is_fetched_again(self, server: HubServer) -> None:
        publish(server, weights())
        spec = store.resolve(f"{REPO}@1.1.0")
        path = store.local_text(spec, "config.json")
        assert path is not None
        path.resolve().write_bytes(path.read_bytes()[:-100])
        assert store.resolve(f"{REPO}@1.1.0") == spec
        assert len(server.asked("GET", "config.json")) == 2

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"version": "1.2.0"}, "says that it is version 1.2.0"),
            ({"schema": 2}, "schema 2"),
            ({"extra": 1}, "unknown fields extra"),
            ({"files": {"../../escape.tflite": {"sha256": "0" * 64, "size": 1}}}, "plain file name"),
            ({"files": {"model.tflite": {"sha256": "0" * 64, "size": 2**40}}}, "size"),
            ({"name": "../x"}, "name"),
            ({"kind": "detector", "heads": []}, "is a detector"),
        ],
    )
    def test_unusable(self, server: HubServer, changes: dict[str, object], message: str) -> None:
        data = make_spec(weights()).to_dict() | changes
        server.add(REPO, {"config.json": json.dumps(data).encode()}, "v1.1.0")
        with pytest.raises(WeightsError, match=message):
            store.resolve(f"{REPO}@1.1.0")

    def test_large_config_is_not_downloaded(self, server: HubServer) -> None:
        server.add(REPO, {"config.json": b" " * (2**20 + 1)}, "v1.1.0")
        with pytest.raises(WeightsError, match="1,048,577 bytes"):
            store.resolve(f"{REPO}@1.1.0")
        assert server.asked("GET", "config.json") == []

    def test_wrong_repository_tag_and_file(self, server: HubServer) -> None:
        publish(server, weights())
        with pytest.raises(HubError, match="no such repository"):
            store.resolve("someone/nothing@1.1.0")
        with pytest.raises(HubError, match="not this version"):
            store.resolve(f"{REPO}@9.9.9")
        server.add(REPO, {}, "v2.0.0")
        with pytest.raises(HubError, match=r"no such file.*download someone/emotion-tiny@2\.0\.0"):
            store.resolve(f"{REPO}@2.0.0")


class TestWithoutNetwork:
    """Each of these must end within five seconds, and say what is missing, where it was looked for, and what to do."""

    @pytest.fixture(autouse=True)
    def in_time(self) -> Iterator[None]:
        start = time.monotonic()
        yield
        assert time.monotonic() - start < 5

    def fails(self, cache: Path, **changes: object) -> str:
        spec = make_spec(weights(), revision="0" * 40, **changes)
        with pytest.raises(HubError) as caught:
            store.fetch(spec, NAME)
        message = str(caught.value)
        assert f"{NAME} of {spec.id}" in message
        assert str(cache) in message and str(registry.WEIGHTS) in message
        assert f"python -m facemodels download {REPO}@1.1.0" in message
        assert store.cached(spec, NAME) is None
        return message

    def test_offline_mode(self, server: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        assert "HF_HUB_OFFLINE" in self.fails(cache)
        assert server.requests == []

    def test_known_model_is_named_as_known(self, server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        spec = store.resolve("yunet")
        with pytest.raises(HubError, match=r"download yunet@2023\.3\.0$"):
            store.fetch(spec, *spec.files)

    def test_nobody_there(self, server: HubServer, cache: Path) -> None:
        server.stop()
        assert "ConnectError" in self.fails(cache)

    def test_accepts_and_never_answers(self, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.create_server(("127.0.0.1", 0)) as tarpit:
            point_at(f"http://127.0.0.1:{tarpit.getsockname()[1]}", monkeypatch)
            assert "could not be used" in self.fails(cache)

    @pytest.mark.skipif(sys.platform != "linux", reason="relies on how Linux fills a backlog")
    def test_does_not_even_accept(self, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(store, "ANSWER_SECONDS", 1)
        with socket.create_server(("127.0.0.1", 0), backlog=0) as hole, socket.socket() as first:
            first.connect(hole.getsockname())  # the only place in the queue
            point_at(f"http://127.0.0.1:{hole.getsockname()[1]}", monkeypatch)
            self.fails(cache)

    def test_name_lookup_hangs(self, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(store, "ANSWER_SECONDS", 1)
        point_at("http://hub.invalid", monkeypatch)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(10))
        assert "did not answer within 2 s" in self.fails(cache)

    def test_hub_is_broken(self, server: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        server.repositories = None  # type: ignore[assignment]
        self.fails(cache)

    def test_published_spec(self, server: HubServer, cache: Path) -> None:
        server.stop()
        with pytest.raises(HubError, match=r"config\.json of .* download someone/emotion-tiny@1\.1\.0$"):
            store.resolve(f"{REPO}@1.1.0")


class TestBrokenDownload:
    def test_server_gone_half_way(self, server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("huggingface_hub.file_download.time", SimpleNamespace(sleep=lambda _: None))
        files = weights()
        spec = publish(server, files)
        server.fault = lambda path, data: data[:1000]
        with pytest.raises(HubError, match="could not be used"):
            store.fetch(spec, NAME)
        assert store.cached(spec, NAME) is None
        server.fault = None
        assert store.fetch(spec, NAME).read_bytes() == files[NAME]

    def test_server_stalls(self, server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(store, "PATIENCE_SECONDS", 0.3)
        spec = publish(server, weights())
        release = threading.Event()
        server.fault = lambda path, data: data[: 5 * release.wait(5)]
        start = time.monotonic()
        with pytest.raises(HubError, match="did not answer within 1 s"):
            store.fetch(spec, NAME)
        assert time.monotonic() - start < 3
        release.set()

    def test_killed_half_way(self, server: HubServer, tmp_path: Path) -> None:
        files = weights()
        spec = publish(server, files)
        reached, release = threading.Event(), threading.Event()

        def stall(path: str, data: bytes) -> bytes:
            reached.set()
            release.wait(20)
            return data[:1000]

        server.fault = stall
        process = start_python(fetching(spec, tmp_path), tmp_path, server)
        assert reached.wait(20)
        process.kill()
        process.wait()
        release.set()
        server.fault = None
        assert "missing" in run_python(fetching(spec, tmp_path, look_only=True), tmp_path, server).stdout
        assert "good" in run_python(fetching(spec, tmp_path), tmp_path, server).stdout

    def test_eight_processes_at_once(self, server: HubServer, tmp_path: Path) -> None:
        spec = publish(server, weights(2_000_000))
        patient = {"HF_HUB_ETAG_TIMEOUT": "30"}  # eight of them on a small machine
        processes = [start_python(fetching(spec, tmp_path), tmp_path, server, patient) for _ in range(8)]
        answers = [process.communicate(timeout=60) for process in processes]
        assert [out.strip() for out, _ in answers] == ["good"] * 8, answers
        (blob,) = [path for path in (tmp_path / "home" / "hub").rglob("blobs/*") if path.is_file()]
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == spec.files[NAME].sha256


class TestEnvironment:
    """The variables of `huggingface_hub`, in processes of their own, since it reads them when it is imported."""

    def test_offline_and_the_cache_it_names(self, server: HubServer, tmp_path: Path) -> None:
        spec = publish(server, weights())
        code = fetching(spec, tmp_path)
        start = time.monotonic()
        refused = run_python(code, tmp_path, server, {"HF_HUB_OFFLINE": "1"})
        assert "HubError" in refused.stdout and "HF_HUB_OFFLINE" in refused.stdout
        assert time.monotonic() - start < 5
        first = run_python(code, tmp_path, server)
        assert (first.stdout.strip(), first.stderr) == ("good", "")  # no progress bar where nobody watches
        assert "good" in run_python(code, tmp_path, server, {"HF_HUB_OFFLINE": "1"}).stdout
        elsewhere = {"HF_HUB_CACHE": str(tmp_path / "other")}
        looked = run_python(fetching(spec, tmp_path, look_only=True), tmp_path, server, elsewhere)
        assert "missing" in looked.stdout

    def test_a_progress_bar_on_a_terminal(self, server: HubServer, tmp_path: Path) -> None:
        pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
        spec = publish(server, weights())
        ours, terminal = pty.openpty()
        termios.tcsetwinsize(terminal, (24, 80))
        process = start_python(fetching(spec, tmp_path), tmp_path, server, stderr=terminal)
        assert process.communicate(timeout=60)[0].strip() == "good"
        os.close(terminal)
        shown = b""
        with contextlib.suppress(OSError):  # how a terminal ends
            while part := os.read(ours, 10_000):
                shown += part
        os.close(ours)
        assert b"100%" in shown


class TestOlah:
    """The same against `olah`, a hub mirror that serves git repositories from a folder: `pip install olah`."""

    @pytest.fixture(scope="class")
    def mirror(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirror]:
        if importlib.util.find_spec("olah") is None or shutil.which("git") is None:
            pytest.skip("needs olah and git")
        with Mirror(tmp_path_factory.mktemp("olah")) as running:
            yield running

    @pytest.fixture(autouse=True)
    def from_mirror(self, mirror: Mirror, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        point_at(mirror.url, monkeypatch)

    def test_by_version_and_by_commit(self, mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
        spec = store.resolve(f"{REPO}@1.1.0")
        assert spec == mirror.spec
        for name in spec.files:
            assert store.fetch(mirror.spec, name).read_bytes() == mirror.files[name]
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        assert store.resolve(f"{REPO}@1.1.0") == spec
        assert store.fetch(spec, NAME).read_bytes() == mirror.files[NAME]

    def test_damaged_cache_is_fetched_again(self, mirror: Mirror) -> None:
        spec = store.resolve(f"{REPO}@1.1.0")
        flip(store.fetch(spec, NAME))
        config = store.local_text(spec, "config.json")
        assert config is not None
        config.resolve().write_bytes(b"{")
        assert store.resolve(f"{REPO}@1.1.0") == spec
        assert store.fetch(spec, NAME).read_bytes() == mirror.files[NAME]

    def test_tampered_on_the_hub(self, mirror: Mirror) -> None:
        assert mirror.tampered.revision != mirror.spec.revision
        with pytest.raises(WeightsError, match="not the file expected"):
            store.fetch(mirror.tampered, NAME)

    def test_wrong_version_and_repository(self) -> None:
        for reference in (f"{REPO}@9.9.9", "someone/nothing@1.1.0"):
            with pytest.raises(HubError, match=reference):
                store.resolve(reference)


class Mirror:
    """Runs `olah` over one git repository: a good version, and a later commit with one bit flipped."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = weights(3_000_000)
        repository = folder / "mirrors" / "models" / REPO
        spec = make_spec(self.files)
        config = {"config.json": json.dumps(spec.to_dict()).encode()}
        self._git("init", "-q", "-b", "main", str(repository))
        self.spec = replace(spec, revision=self._commit(repository, config | self.files))
        self._git("tag", "v1.1.0", at=repository)
        bad = bytearray(self.files[NAME])
        bad[1000] ^= 1
        self.tampered = replace(spec, revision=self._commit(repository, {NAME: bytes(bad)}))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        (folder / "olah.toml").write_text(
            f'[basic]\nhost = "127.0.0.1"\nport = {port}\nrepos-path = "{folder}/repos"\n'
            f'mirrors-path = ["{folder}/mirrors"]\n[accessibility]\noffline = true\n'
        )

    def _git(self, *arguments: str, at: Path | None = None) -> str:
        who = ["-c", "user.name=someone", "-c", "user.email=someone@example.org", "-c", "commit.gpgsign=false"]
        return subprocess.run(["git", *who, *arguments], cwd=at, check=True, capture_output=True, text=True).stdout

    def _commit(self, repository: Path, files: dict[str, bytes]) -> str:
        write(repository, files)
        self._git("add", ".", at=repository)
        self._git("commit", "-q", "-m", "files", at=repository)
        return self._git("rev-parse", "HEAD", at=repository).strip()

    def __enter__(self) -> Mirror:
        command = [sys.executable, "-m", "olah.server", "-c", "olah.toml", "--log-path", str(self.folder / "logs")]
        self.process = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        address = ("127.0.0.1", int(self.url.rsplit(":", 1)[1]))
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(address, 1):
                return self
            time.sleep(0.05)
        raise TimeoutError("olah did not start")

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


def fetching(spec: ModelSpec, tmp_path: Path, look_only: bool = False) -> str:
    """A program that fetches a model and says ``good``, or looks for it and says ``missing``."""
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(spec.to_dict()))
    return (
        "import hashlib; from pathlib import Path; from facemodels.hub import registry, store\n"
        f"spec = registry.ModelSpec.from_file(Path({str(path)!r}))\n"
        f"registry.WEIGHTS = Path({str(tmp_path / 'nothing')!r})\n"
        f"look = store.cached if {look_only} else store.fetch\n"
        "try:\n"
        f"    path = look(spec, {NAME!r})\n"
        f"    good = path and hashlib.sha256(path.read_bytes()).hexdigest() == spec.files[{NAME!r}].sha256\n"
        "    print('good' if good else 'missing' if path is None else 'bad')\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, error)\n"
    )


def start_python(
    code: str,
    tmp_path: Path,
    server: HubServer | None = None,
    variables: Mapping[str, str] = MappingProxyType({}),
    stderr: int = subprocess.PIPE,
) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGINGFACE"))}
    environment |= {"HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1"}
    environment |= {"HF_ENDPOINT": server.url if server else "http://127.0.0.1:9", "HF_TOKEN": TOKEN} | dict(variables)
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=CODE_FOLDER,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )


def run_python(
    code: str, tmp_path: Path, server: HubServer | None = None, variables: Mapping[str, str] = MappingProxyType({})
) -> subprocess.CompletedProcess[str]:
    process = start_python(code, tmp_path, server, variables)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def test_git_blob_id_is_gits() -> None:
    assert git_blob_id(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"
