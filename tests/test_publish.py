"""Publishing, against a small hub on loopback that is as strict as the real one about order and content."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hub_server import TOKEN, HubServer, point_at, private_cache
from huggingface_hub import EvalResult, ModelCardData

from facemodels import FaceAnalyzer, download
from facemodels.cli import main
from facemodels.errors import ArgumentError, HubError, WeightsError
from facemodels.hub import store
from facemodels.hub.publish import RemoteVersion, card, check_run_folder, publish, remote_versions
from facemodels.hub.registry import WEIGHTS, Head, ModelSpec, WeightsFile, list_models

REPO = "someone/emotion-tiny"
METRIC = {"dataset": "Faces test", "label": "emotion", "metric": "accuracy", "value": 0.75, "count": 12}
DENSE = {"class_name": "Dense", "module": "keras.layers", "config": {"units": 2}, "registered_name": None}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub with nothing on it, and an empty cache."""
    private_cache(tmp_path, monkeypatch)
    with HubServer() as running:
        point_at(running.url, monkeypatch)
        yield running


@pytest.fixture(autouse=True)
def fake_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that needs no weights: it is as sure of the one as of the other."""

    class FakeModel:
        def __init__(self, spec: ModelSpec) -> None:
            self.spec = spec

        def probabilities(self, crops: np.ndarray) -> dict[str, np.ndarray]:
            return {"emotion": np.full((len(crops), 2), 0.5, np.float32)}

    monkeypatch.setattr("facemodels.hub.publish.AttributeModel", FakeModel)


def keras_file(*layers: dict[str, Any], **extra: bytes) -> bytes:
    """What a `.keras` file looks like, with random weights."""
    config = {
        "class_name": "Functional",
        "module": "keras.src.models.functional",
        "config": {"layers": list(layers or [DENSE])},
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", os.urandom(5000))
        for name, content in extra.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def make_release(
    folder: Path, version: str = "1.1.0", *, keras: bytes | None = None, tflite: bytes | None = None
) -> Path:
    """A release folder in which everything agrees."""
    contents = {
        "model.keras": keras or keras_file(),
        "model.tflite": tflite or b"\x1c\0\0\0TFL3" + os.urandom(3000),
    }
    spec = ModelSpec(
        name="emotion-tiny",
        version=version,
        kind="attributes",
        heads=(Head("emotion", "emotion", "classification", ("happy", "sad")),),
        input_size=48,
        margin=0.1,
        offset=0.0,
        align=True,
        repo_id=REPO,
        revision=None,
        files={name: WeightsFile(hashlib.sha256(data).hexdigest(), len(data)) for name, data in contents.items()},
        license="other",
        license_name="non-commercial-research",
        datasets=("Faces",),
        metrics=(METRIC,),
    )
    metadata = ModelCardData(
        model_name=spec.name,
        license=spec.license,
        license_name=spec.license_name,
        pipeline_tag="image-classification",
        tags=["facemodels", "emotion"],
        datasets=["Faces"],
        eval_results=[
            EvalResult(
                task_type="image-classification",
                dataset_type="faces",
                dataset_name="Faces",
                dataset_config="emotion",
                dataset_split="test",
                metric_type="accuracy",
                metric_value=0.75,
            )
        ],
    )
    folder.mkdir(parents=True)
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    (folder / "config.json").write_text(json.dumps(spec.to_dict()))
    (folder / "golden.json").write_text(json.dumps({"seeds": [0], "outputs": {"emotion": [[0.5, 0.5]]}}))
    (folder / "README.md").write_text(f"---\n{metadata.to_yaml()}\n---\n\n# {spec.name} {spec.version}\n\nText.\n")
    return folder


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


class TestCheck:
    def test_good_folder(self, tmp_path: Path) -> None:
        folder = make_release(tmp_path / "release")
        spec = check_run_folder(folder)
        assert spec.id == "emotion-tiny@1.1.0" and spec.folder == folder

    @pytest.mark.parametrize("name", ["README.md", "config.json", "model.keras", "model.tflite", "golden.json"])
    def test_missing_file(self, tmp_path: Path, name: str) -> None:
        folder = make_release(tmp_path / "release")
        (folder / name).unlink()
        with pytest.raises(WeightsError, match=name):
            check_run_folder(folder)

    @pytest.mark.parametrize("name", ["model.keras", "model.tflite"])
    def test_other_bytes_than_the_spec_says(self, tmp_path: Path, name: str) -> None:
        folder = make_release(tmp_path / "release")
        data = bytearray((folder / name).read_bytes())
        data[-1] ^= 1
        (folder / name).write_bytes(data)
        with pytest.raises(WeightsError, match=f"{name}.*sha256"):
            check_run_folder(folder)

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ("license: other", "license: mit", "says license 'mit'"),
            ("license_name: non-commercial-research", "license_name: anything", "license_name"),
            ("- Faces\n", "- Others\n", "datasets"),
            ("value: 0.75", "value: 0.99", r"model-index.*0\.99"),
            ("value: 0.75", "value: many", "model-index"),
            ("config: emotion\n", "revision: abc\n", "model-index"),
            ("type: accuracy", "type: f1", "model-index"),
            ("name: Faces\n", "name: Others\n", "model-index"),
            ("split: test", "split: train", "model-index"),
            ("config: emotion", "config: age", "model-index"),
            ("- name: emotion-tiny", "- name: other", "model_name 'other'"),
            ("- emotion\n", "- age\n", "lacks the tags emotion"),
            ("- facemodels\n", "", "lacks the tags facemodels"),
            ("image-classification\ntags", "text-generation\ntags", "pipeline_tag"),
            ("# emotion-tiny 1.1.0", "# emotion-tiny 1.0.0", "no title"),
            ("license: other", "license: [", "cannot be read as a model card"),
        ],
    )
    def test_card_that_disagrees(self, tmp_path: Path, old: str, new: str, message: str) -> None:
        folder = make_release(tmp_path / "release")
        edit(folder / "README.md", old, new)
        with pytest.raises(WeightsError, match=message):
            check_run_folder(folder)

    def test_every_problem_is_listed(self, tmp_path: Path) -> None:
        folder = make_release(tmp_path / "release")
        edit(folder / "README.md", "license: other", "license: mit")
        (folder / "model.tflite").write_bytes(b"")
        with pytest.raises(WeightsError, match=r"model\.tflite.*0 bytes.*README\.md says license"):
            check_run_folder(folder)

    @pytest.mark.parametrize(
        ("golden", "message"),
        [
            ({"seeds": [0], "outputs": {"age": [[1.0]]}}, "does not hold the golden outputs"),
            ({"seeds": [0], "outputs": {"emotion": [[0.501, 0.499]]}}, "differ from golden.json by 0.001"),
            ({"seeds": [0], "outputs": {"emotion": [[float("nan"), 0.5]]}}, "differ from golden.json by nan"),
        ],
    )
    def test_other_golden_outputs(self, tmp_path: Path, golden: dict[str, Any], message: str) -> None:
        folder = make_release(tmp_path / "release")
        (folder / "golden.json").write_text(json.dumps(golden))
        with pytest.raises(WeightsError, match=re.escape(message)):
            check_run_folder(folder)

    def test_what_cannot_be_trusted_is_not_loaded(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("facemodels.hub.publish.AttributeModel", lambda spec: pytest.fail("loaded"))
        with pytest.raises(WeightsError, match="Lambda"):
            check_run_folder(make_release(tmp_path / "release", keras=keras_file({**DENSE, "class_name": "Lambda"})))

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (keras_file({**DENSE, "class_name": "Lambda"}), "Lambda"),
            (keras_file(DENSE, {**DENSE, "config": {"fn": {"class_name": "__lambda__", "config": {}}}}), "__lambda__"),
            (keras_file({**DENSE, "module": "os"}), "'Dense' of module 'os'"),
            (keras_file({**DENSE, "module": "keras_evil.layers"}), "keras_evil"),
            (keras_file({"class_name": "function", "module": "builtins", "config": "eval"}), "builtins"),
            (keras_file({"class_name": "get_file", "module": "keras.utils", "config": {}}), "'get_file' of module"),
            (keras_file({"class_name": "config", "module": "keras", "config": {}}), "'config' of module 'keras'"),
            (keras_file({**DENSE, "class_name": "TorchModuleWrapper"}), "TorchModuleWrapper"),
            (keras_file({**DENSE, "class_name": "StringLookup"}), "StringLookup"),
            (keras_file({**DENSE, "class_name": ["Dense"], "module": {}}), "Dense"),
            (keras_file({"class_name": "Mine", "module": None, "config": {}}), "'Mine' of module ''"),
            (keras_file(**{"payload.pkl": b"x"}), r"payload\.pkl"),
            (b"PK not a zip", "not a Keras file"),
        ],
    )
    def test_keras_file_that_could_run_code(self, tmp_path: Path, content: bytes, message: str) -> None:
        with pytest.raises(WeightsError, match=message):
            check_run_folder(make_release(tmp_path / "release", keras=content))

    def test_keras_file_that_unpacks_too_large(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("facemodels.hub.keras_file.MAX_UNPACKED_BYTES", 4000)
        with pytest.raises(WeightsError, match="bytes"):
            check_run_folder(make_release(tmp_path / "release"))

    def test_not_a_litert_file(self, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match="not a LiteRT file"):
            check_run_folder(make_release(tmp_path / "release", tflite=b"something else"))


class TestRealModels:
    """The models that ship with the package are fit to be published."""

    @pytest.fixture
    def fake_model(self) -> None:
        """Not here."""

    @pytest.mark.parametrize("spec", [s for s in list_models() if s.heads], ids=lambda spec: spec.name)
    def test_bundled_model(self, spec: ModelSpec, tmp_path: Path) -> None:
        folder = tmp_path / spec.name
        shutil.copytree(WEIGHTS / spec.name, folder)
        assert replace(check_run_folder(folder), folder=None) == spec
        golden = json.loads((folder / "golden.json").read_text())
        golden["outputs"][spec.heads[0].output][0][0] += 2 * spec.tolerance + 0.1
        (folder / "golden.json").write_text(json.dumps(golden))
        with pytest.raises(WeightsError, match=r"differ from golden\.json by 0\."):
            check_run_folder(folder)

    def test_a_newly_trained_model_answers_the_same_after_the_hub(
        self, server: HubServer, release: Path, astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def answer(model: str | Path) -> FaceAnalyzer:
            return FaceAnalyzer(["emotion"], models={"emotion": model}, detector="libfacedetection")

        before = answer(release).analyze(astronaut)
        published = publish(release, repo_id="me/mine").spec
        reference = f"me/mine@{published.version}"
        (folder,) = download(reference).values()
        server.stop()  # from here on nothing may be asked of it
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        after = answer(reference).analyze(astronaut)
        assert len(after) == 1 and after.faces == before.faces and after.models == before.models
        assert store.locate(store.resolve(reference)) == "cache" and folder.name == published.revision


class TestHub:
    def test_round_trip(self, server: HubServer, tmp_path: Path) -> None:
        folder = make_release(tmp_path / "release")
        result = publish(folder, version="1.1.0")
        assert result.done and result.spec.revision == server.repositories[REPO].tags["v1.1.0"]
        spec = store.resolve(f"{REPO}@1.1.0")
        assert spec == result.spec
        for name in spec.files:
            assert store.fetch(spec, name).read_bytes() == (folder / name).read_bytes()
        published = server.repositories[REPO].commits[str(spec.revision)]
        assert set(published) == {
            ".gitattributes", "README.md", "config.json", "golden.json", "model.keras", "model.tflite"
        }  # fmt: skip

    def test_one_commit_and_the_order_of_things(self, server: HubServer, tmp_path: Path) -> None:
        publish(make_release(tmp_path / "release"))
        steps = [request.path for request in server.requests if request.method == "POST"]
        assert (
            steps[0] == "/api/repos/create"
            and steps[-1] == f"/api/models/{REPO}/tag/{list(server.repositories[REPO].commits)[-1]}"
        )
        assert sum("/commit/" in step for step in steps) == 1
        assert len(server.repositories[REPO].commits) == 2  # the hub's own first one, and this
        assert all(
            "facemodels/" in request.headers["user-agent"] for request in server.requests if request.path[:5] == "/api/"
        )

    def test_quiet(self, server: HubServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        publish(make_release(tmp_path / "release"))
        assert capfd.readouterr() == ("", "")

    def test_second_version_keeps_the_first(self, server: HubServer, tmp_path: Path) -> None:
        first = publish(make_release(tmp_path / "one")).spec
        second = publish(make_release(tmp_path / "two", "1.2.0")).spec
        assert store.resolve(f"{REPO}@1.1.0") == first
        assert store.resolve(f"{REPO}@1.2.0") == second != first

    def test_never_moves_a_tag(self, server: HubServer, tmp_path: Path) -> None:
        publish(make_release(tmp_path / "one"))
        before = dict(server.repositories[REPO].tags)
        server.requests.clear()
        with pytest.raises(HubError, match=r"has v1\.1\.0 already"):
            publish(make_release(tmp_path / "two"))
        assert server.repositories[REPO].tags == before
        assert server.asked("POST", "preupload") == [] and server.asked("POST", "commit") == []

    def test_tagged_by_somebody_else_meanwhile(self, server: HubServer, tmp_path: Path) -> None:
        server.add(REPO, {}, "v1.0.0")
        real = server.repositories[REPO].commit

        def commit(files: dict[str, bytes]) -> str:
            server.repositories[REPO].tags["v1.1.0"] = "0" * 40
            return real(files)

        server.repositories[REPO].commit = commit  # type: ignore[method-assign]
        with pytest.raises(HubError, match=r"as v1\.1\.0.*409"):
            publish(make_release(tmp_path / "release"))
        assert server.repositories[REPO].tags["v1.1.0"] == "0" * 40

    def test_again_after_the_tag_was_lost(self, server: HubServer, tmp_path: Path) -> None:
        folder = make_release(tmp_path / "release")
        commit = publish(folder).spec.revision
        del server.repositories[REPO].tags["v1.1.0"]
        assert publish(folder).spec.revision == commit
        assert server.repositories[REPO].tags["v1.1.0"] == commit

    def test_other_repository_than_the_spec_names(self, server: HubServer, tmp_path: Path) -> None:
        spec = publish(make_release(tmp_path / "release"), repo_id="me/mine").spec
        config = json.loads(server.repositories["me/mine"].commits[str(spec.revision)]["config.json"])
        assert config["repo_id"] == "me/mine"
        assert store.resolve("me/mine@1.1.0") == spec

    def test_dry_run_touches_nothing(self, server: HubServer, tmp_path: Path) -> None:
        result = publish(make_release(tmp_path / "release"), repo_id="me/mine", dry_run=True)
        assert server.requests == [] and not result.done
        text = "\n".join(result.steps)
        assert "me/mine" in text and "v1.1.0" in text and "model.keras" in text and server.url in text

    def test_bad_folder_is_not_uploaded(self, server: HubServer, tmp_path: Path) -> None:
        folder = make_release(tmp_path / "release")
        (folder / "golden.json").unlink()
        with pytest.raises(WeightsError):
            publish(folder)
        assert server.requests == []

    def test_without_the_right_to(self, server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_TOKEN", "hf_wrong")
        with pytest.raises(HubError, match=r"401.*HF_TOKEN"):
            publish(make_release(tmp_path / "release"))

    def test_nobody_there(self, server: HubServer, tmp_path: Path) -> None:
        server.stop()
        with pytest.raises(HubError, match="creating someone/emotion-tiny"):
            publish(make_release(tmp_path / "release"))

    def test_hub_refuses_the_card(self, server: HubServer, tmp_path: Path) -> None:
        server.card_problem = '"pipeline_tag" is not known'
        with pytest.raises(HubError, match="pipeline_tag"):
            publish(make_release(tmp_path / "release"))
        assert "v1.1.0" not in server.repositories[REPO].tags

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"version": "1.2.0"}, r"version 1\.2\.0"),
            ({"repo_id": "no-owner"}, "owner/name"),
            ({"repo_id": "me/mine", "to": "somewhere"}, "not both"),
        ],
    )
    def test_arguments_that_contradict(self, tmp_path: Path, arguments: dict[str, str], message: str) -> None:
        with pytest.raises(ArgumentError, match=message):
            publish(make_release(tmp_path / "release"), **arguments)  # type: ignore[arg-type]


class TestCard:
    def test_of_a_folder(self, tmp_path: Path) -> None:
        folder = make_release(tmp_path / "release")
        assert card(store.resolve(folder)) == (folder / "README.md").read_text()
        (folder / "README.md").unlink()
        with pytest.raises(WeightsError, match=r"holds no README\.md"):
            card(store.resolve(folder))

    def test_of_a_published_version(self, server: HubServer, tmp_path: Path) -> None:
        folder = make_release(tmp_path / "release")
        publish(folder)
        spec = store.resolve(f"{REPO}@1.1.0")
        assert card(spec) == (folder / "README.md").read_text()
        server.stop()
        assert card(spec) == (folder / "README.md").read_text()
        path = store.local_text(spec, "README.md")
        assert path is not None
        path.unlink()
        with pytest.raises(HubError, match=r"README\.md of someone/emotion-tiny@1\.1\.0 is not here"):
            card(spec)

    def test_of_a_bundled_model_is_the_same_version(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("facemodels.hub.registry.WEIGHTS", tmp_path)
        spec = replace(check_run_folder(make_release(tmp_path / "emotion-tiny")), folder=None)
        assert card(spec).endswith("Text.\n")
        with pytest.raises(WeightsError, match="of this version"):
            card(replace(spec, version="1.0.0"))


class TestFolder:
    def test_same_layout(self, tmp_path: Path) -> None:
        folder = make_release(tmp_path / "release")
        result = publish(folder, to=tmp_path / "shelf" / "mine")
        spec = store.resolve(tmp_path / "shelf" / "mine")
        assert spec == result.spec == replace(check_run_folder(folder), folder=tmp_path / "shelf" / "mine")
        for name in spec.files:
            assert store.fetch(spec, name).read_bytes() == (folder / name).read_bytes()
        assert [path.name for path in (tmp_path / "shelf").iterdir()] == ["mine"]

    def test_never_over_another_model(self, tmp_path: Path) -> None:
        publish(make_release(tmp_path / "one"), to=tmp_path / "shelf")
        before = {path.name: path.read_bytes() for path in (tmp_path / "shelf").iterdir()}
        with pytest.raises(ArgumentError, match="not an empty folder"):
            publish(make_release(tmp_path / "two"), to=tmp_path / "shelf")
        assert {path.name: path.read_bytes() for path in (tmp_path / "shelf").iterdir()} == before

    def test_all_or_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = make_release(tmp_path / "release")
        copied: list[str] = []

        def copy(source: Path, target: Path, real: Callable[..., object] = Path.write_bytes) -> None:
            if copied:
                raise OSError("disk full")
            copied.append(source.name)
            real(target, source.read_bytes())

        monkeypatch.setattr("shutil.copyfile", copy)
        with pytest.raises(OSError, match="disk full"):
            publish(folder, to=tmp_path / "shelf" / "mine")
        assert list((tmp_path / "shelf").iterdir()) == []

    def test_dry_run(self, tmp_path: Path) -> None:
        result = publish(make_release(tmp_path / "release"), to=tmp_path / "shelf", dry_run=True)
        assert not result.done and str(tmp_path / "shelf") in result.steps[0]
        assert not (tmp_path / "shelf").exists()


class TestRemoteVersions:
    def test_lists_versions_in_order(self, server: HubServer, tmp_path: Path) -> None:
        specs = [publish(make_release(tmp_path / version, version)).spec for version in ("1.2.0", "1.10.0", "1.1.0")]
        server.add("someone/else", {"README.md": b"---\ntags: [other]\n---\n"}, "v1.0.0")
        server.add("other/emotion", {"README.md": b"---\ntags: [facemodels]\n---\n"}, "v1.0.0")
        server.repositories[REPO].tags["draft"] = str(specs[0].revision)
        found = remote_versions("someone")
        assert [version.reference for version in found] == [f"{REPO}@{v}" for v in ("1.1.0", "1.2.0", "1.10.0")]
        assert [version.spec for version in found] == [specs[2], specs[0], specs[1]]

    def test_says_why_one_cannot_be_used(self, server: HubServer, tmp_path: Path) -> None:
        files = {"README.md": b"---\ntags: [facemodels]\n---\n", "config.json": b'{"schema": 7}'}
        server.add("someone/newer", files, "v1.0.0")
        (found,) = remote_versions("someone")
        assert isinstance(found, RemoteVersion) and found.spec is None and "schema 7" in found.problem

    def test_one_that_is_no_release_does_not_end_the_list(self, server: HubServer, tmp_path: Path) -> None:
        server.add("someone/a-draft", {"README.md": b"---\ntags: [facemodels]\n---\n"}, "v1.0.0")
        spec = publish(make_release(tmp_path / "release")).spec
        draft, good = remote_versions("someone")
        assert draft.spec is None and "no such file" in draft.problem
        assert good.spec == spec

    def test_nobody_there(self, server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(store, "ANSWER_SECONDS", 1)
        server.stop()
        with pytest.raises(HubError, match="the models of someone"):
            remote_versions("someone")


def test_the_hub_of_these_tests_is_strict(server: HubServer) -> None:
    """What the real hub refuses, the one these tests run against refuses too."""
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi(endpoint=server.url, token=TOKEN)
    with pytest.raises(HfHubHTTPError):
        api.create_commit(REPO, [CommitOperationAdd("a.txt", b"a")], commit_message="no repository")
    api.create_repo(REPO)
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_repo(REPO)
    with pytest.raises(ValueError, match="Invalid metadata"):
        api.create_commit(REPO, [CommitOperationAdd("README.md", b"no metadata")], commit_message="bad card")
    with pytest.raises(HfHubHTTPError, match="404"):
        api.create_tag(REPO, tag="v1.0.0", revision="0" * 40)
    api.create_tag(REPO, tag="v1.0.0")
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_tag(REPO, tag="v1.0.0")


def key_pair(
    folder: Path, name: str = "key", password: bytes | None = None, curve: str = "SECP256R1"
) -> tuple[Path, Path]:
    """A private and a public key, as `openssl` writes them."""
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    ec = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ec")
    key = ec.generate_private_key(getattr(ec, curve)())
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    private, public = folder / f"{name}-private.pem", folder / f"{name}-public.pem"
    pem = serialization.Encoding.PEM
    private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, encryption))
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return private, public


class TestSignatures:
    @pytest.fixture
    def keys(self, tmp_path: Path) -> tuple[Path, Path]:
        pytest.importorskip("model_signing.signing")
        return key_pair(tmp_path)

    @pytest.fixture
    def signed(self, keys: tuple[Path, Path], tmp_path: Path) -> Path:
        """A signed release in a folder, a picture beside it."""
        folder = make_release(tmp_path / "release")
        (folder / "confusion.png").write_bytes(b"picture")
        publish(folder, to=tmp_path / "signed", private_key=keys[0])
        return tmp_path / "signed"

    def test_on_the_hub(self, server: HubServer, keys: tuple[Path, Path], tmp_path: Path) -> None:
        private, public = keys
        result = publish(make_release(tmp_path / "release"), repo_id="me/mine", private_key=private)
        reference = "me/mine@1.1.0"
        assert any("sign" in step for step in result.steps)
        assert list(download(reference, public_key=public)) == [reference]
        server.stop()  # all that is signed is here now
        (folder,) = download(reference, public_key=public).values()
        assert (folder / "model.sig").is_file()
        _, other = key_pair(tmp_path, "other")
        with pytest.raises(WeightsError, match=r"emotion-tiny@1\.1\.0 is not used.*other-public"):
            download(reference, public_key=other)

    def test_unsigned(self, server: HubServer, keys: tuple[Path, Path], tmp_path: Path) -> None:
        publish(make_release(tmp_path / "release"))
        server.requests.clear()
        with pytest.raises(WeightsError, match=r"emotion-tiny@1\.1\.0 is not signed: it has no model\.sig"):
            download(f"{REPO}@1.1.0", public_key=keys[1])
        assert not server.asked("GET", "model.tflite")
        with pytest.raises(WeightsError, match="is not signed"):
            download(public_key=keys[1])

    @pytest.mark.parametrize("name", ["README.md", "config.json", "golden.json", "model.keras", "model.tflite"])
    def test_a_changed_file(self, signed: Path, keys: tuple[Path, Path], name: str) -> None:
        assert download(signed, public_key=keys[1])
        content = (signed / name).read_bytes()
        if name.endswith((".keras", ".tflite")):  # and the spec with it, so that the hash agrees
            old, content = content, content[:-1] + bytes([content[-1] ^ 1])
            digests = [hashlib.sha256(data).hexdigest() for data in (old, content)]
            edit(signed / "config.json", *digests)
        else:
            content += b" "
        (signed / name).write_bytes(content)
        with pytest.raises(WeightsError, match=r"not used.*Hash mismatch"):
            download(signed, public_key=keys[1])

    def test_a_missing_file(self, signed: Path, keys: tuple[Path, Path]) -> None:
        (signed / "golden.json").unlink()
        with pytest.raises(WeightsError, match=r"Missing files.*golden\.json"):
            download(signed, public_key=keys[1])

    def test_any_other_bytes_for_the_signature(self, signed: Path, keys: tuple[Path, Path]) -> None:
        good = (signed / "model.sig").read_bytes()
        rng = np.random.default_rng(0)
        for bad in (
            b"",
            b"{}",
            b"null",
            b"[" * 100_000,
            b"\xff",
            *(good[:end] for end in rng.integers(0, len(good), 20)),
        ):
            (signed / "model.sig").write_bytes(bad)
            with pytest.raises(WeightsError):
                download(signed, public_key=keys[1])

    def test_the_command_of_the_package_verifies_it_too(self, signed: Path, keys: tuple[Path, Path]) -> None:
        command = [sys.executable, "-m", "model_signing", "verify", "key", str(signed)]
        command += ["--signature", str(signed / "model.sig"), "--public_key", str(keys[1])]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        (signed / "model.tflite").write_bytes(b"other")
        assert subprocess.run(command, capture_output=True, check=False).returncode != 0

    def test_an_encrypted_key(
        self, keys: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        private, public = key_pair(tmp_path, "secret", b"word", "SECP384R1")
        release = make_release(tmp_path / "release")
        with pytest.raises(ArgumentError, match="no private key"):
            publish(release, to=tmp_path / "out", private_key=private)
        with pytest.raises(ArgumentError, match="no private key"):
            publish(release, to=tmp_path / "out", private_key=private, password="other")
        publish(release, to=tmp_path / "out", private_key=private, password="word")
        assert download(tmp_path / "out", public_key=public)

    @pytest.mark.parametrize(
        "content", [None, b"", b"text", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"]
    )
    def test_what_is_no_key(self, keys: tuple[Path, Path], tmp_path: Path, content: bytes | None) -> None:
        path = tmp_path / "no-key.pem"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ArgumentError, match="no private key to sign with"):
            publish(make_release(tmp_path / "release"), to=tmp_path / "out", private_key=path)
        with pytest.raises(ArgumentError, match="no public key to verify with"):
            download(public_key=path)
        with pytest.raises(ArgumentError, match="no public key to verify with"):
            download(public_key=keys[0])  # the private one
        with pytest.raises(ArgumentError, match="no public key to verify with"):
            download(public_key=key_pair(tmp_path, "odd", curve="SECP256K1")[1])
        assert not (tmp_path / "out").exists()

    def test_on_the_command_line(
        self,
        keys: tuple[Path, Path],
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        release, out = make_release(tmp_path / "release"), tmp_path / "out"
        private, public = key_pair(tmp_path, "secret", b"word")
        monkeypatch.setenv("FACEMODELS_SIGN_PASSWORD", "word")
        assert main(["publish", str(release), "--to", str(out), "--sign", str(private)]) == 0
        assert main(["download", str(out), "--verify", str(public)]) == 0
        capsys.readouterr()
        assert main(["download", str(out), "--verify", str(keys[1])]) == 1
        assert "is not used: model.sig" in capsys.readouterr().err

    def test_without_the_package(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "model_signing", None)
        release = make_release(tmp_path / "release")
        assert main(["publish", str(release), "--to", str(tmp_path / "out"), "--sign", "key.pem"]) == 1
        assert main(["download", "--verify", "key.pem"]) == 1
        assert capsys.readouterr().err.count('pip install ".[sign]"') == 2 and not (tmp_path / "out").exists()
