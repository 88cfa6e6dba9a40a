"""Published versions: the release folder of a model, checked and uploaded, and the list of what somebody has published.

A release folder holds the card (`README.md`), the spec (`config.json`), the weights and what they answer to known crops
(`golden.json`); a hub repository holds the same. A version is a tag, and a tag is never moved.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facemodels.attributes import ALL_ATTRIBUTES
from facemodels.errors import ArgumentError, HubError, WeightsError
from facemodels.hub import registry, signatures, store
from facemodels.hub.golden import golden_difference
from facemodels.hub.keras_file import keras_problems
from facemodels.hub.registry import CARD_FILE, GOLDEN_FILE, SPEC_FILE, ModelSpec
from facemodels.hub.signatures import SIGNATURE_FILE
from facemodels.models import AttributeModel

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_VERSION_TAG = re.compile(f"v({registry.VERSION.pattern})")


@dataclass(frozen=True)
class PublishResult:
    """What `publish` did, or would do.

    Attributes:
        spec: The spec as published: with its commit, or with its folder.
        steps: What was done, in order; what would be done in a dry run.
        done: False for a dry run.
    """

    spec: ModelSpec
    steps: tuple[str, ...]
    done: bool


@dataclass(frozen=True)
class RemoteVersion:
    """One published version of a model.

    Attributes:
        reference: ``OWNER/NAME@1.1.0``, as `facemodels.hub.store.resolve` takes it.
        spec: Its spec, or None if this version of facemodels cannot use it.
        problem: Why not; empty if it can.
    """

    reference: str
    spec: ModelSpec | None
    problem: str = ""


def publish(
    run_folder: str | os.PathLike[str],
    *,
    repo_id: str | None = None,
    version: str | None = None,
    to: str | os.PathLike[str] | None = None,
    dry_run: bool = False,
    private_key: str | os.PathLike[str] | None = None,
    password: str | None = None,
) -> PublishResult:
    """Check a release folder and publish it: one commit and a tag on the hub, or a plain local folder.

    Args:
        run_folder: A release folder as `training/release` makes it.
        repo_id: Hub repository, ``owner/name``, made if needed; None for the one in the spec.
        version: If given, it must be the spec's, as a safeguard: a version is chosen when it is exported.
        to: A new local folder to write instead of the hub.
        dry_run: Check everything that can be checked here, and only say what would be done.
        private_key: The file of a key to sign the release with, see `facemodels.hub.signatures`.
        password: Of that key, if it is encrypted.

    Raises:
        WeightsError: If the folder is not fit to be published; the message lists every reason.
        ArgumentError: If the arguments contradict each other or the folder.
        HubError: If the hub cannot be used, refuses, or has this version already.
        FaceModelsError: If there is a key, and the extra ``sign`` is not installed.

    Example:
        >>> publish("runs/mine/release", repo_id="me/age-mine", dry_run=True).steps[0]      # doctest: +SKIP
        'create the repository me/age-mine on https://huggingface.co, if it is not there'
    """
    folder = Path(run_folder)
    key = None if private_key is None else signatures.load_private_key(private_key, password)
    spec = check_run_folder(folder)
    if version is not None and version.removeprefix("v") != spec.version:
        raise ArgumentError(
            f"version {version} was asked for, but {folder} was exported as {spec.version}: export it again"
        )
    if to is not None:
        if repo_id is not None:
            raise ArgumentError("give either a repository or a local folder to publish to, not both")
        return _publish_folder(spec, folder, Path(to), dry_run, key)
    repo_id = repo_id or spec.repo_id
    if not registry.REPO_ID.fullmatch(repo_id):
        raise ArgumentError(f"the repository must look like owner/name, not {repo_id!r}")
    return _publish_hub(replace(spec, repo_id=repo_id, revision=None, folder=None), folder, dry_run, key)


def check_run_folder(folder: str | os.PathLike[str]) -> ModelSpec:
    """Check that a release folder is complete and agrees with itself.

    Args:
        folder: Holds the card, the spec, the weights that the spec lists, and golden outputs.

    Returns:
        Its spec, with `folder` set.

    Raises:
        WeightsError: If anything is wrong; the message lists all of it.
    """
    folder = Path(folder)
    spec = replace(ModelSpec.from_file(folder / SPEC_FILE), folder=folder)
    problems = list(_weights_problems(spec, folder))
    if not problems:  # only then is it safe to load
        problems += _golden_problems(spec, folder / GOLDEN_FILE)
    problems += _card_problems(spec, folder / CARD_FILE)
    if problems:
        raise WeightsError(f"{folder} cannot be published: " + "; ".join(problems))
    return spec


def remote_versions(owner: str) -> list[RemoteVersion]:
    """The versions of facemodels models that somebody has published, by repository and version.

    Args:
        owner: A user or an organization of the hub. The repositories are those whose card has the tag ``facemodels``.

    Raises:
        HubError: If the hub cannot be asked.
    """
    api = store.client()
    versions = []
    for repo_id in store.ask(f"the models of {owner}", partial(_repositories, api, owner)):
        tags = store.ask(f"the versions of {repo_id}", partial(_tags, api, repo_id))
        found = [match[1] for match in map(_VERSION_TAG.fullmatch, tags) if match]
        for version in sorted(found, key=lambda text: [int(part) for part in text.split(".")]):
            reference = f"{repo_id}@{version}"
            try:
                versions.append(RemoteVersion(reference, store.published_spec(repo_id, version)))
            except (WeightsError, HubError) as error:
                if isinstance(error, HubError) and not store.was_answered(error):
                    raise
                versions.append(RemoteVersion(reference, None, str(error)))
    return versions


def card(spec: ModelSpec) -> str:
    """The card of a model, as Markdown with the hub's metadata on top; from where the model itself is, or from the hub.

    Args:
        spec: From `facemodels.hub.store.resolve` or `facemodels.get_spec`.

    Raises:
        WeightsError: If no card is here and this version is not published.
        HubError: If it must be downloaded and cannot be.
    """
    folder = spec.folder or registry.WEIGHTS / spec.name
    try:
        if ModelSpec.from_file(folder / SPEC_FILE).version == spec.version:
            return (folder / CARD_FILE).read_text(encoding="utf-8")
    except (WeightsError, OSError):
        pass  # not here, so it is asked for below
    if spec.folder is not None or spec.revision is None:
        raise WeightsError(f"the card of {spec.id} is not here: {folder} holds no {CARD_FILE} of this version")
    return store.fetch_text(spec.repo_id, spec.revision, CARD_FILE, f"{spec.repo_id}@{spec.version}").read_text("utf-8")


def _publish_folder(spec: ModelSpec, folder: Path, to: Path, dry_run: bool, key: Any) -> PublishResult:
    """Write the release to a new folder: all of it, or nothing."""
    names = _release_names(spec, folder)
    steps = (*_signing_step(key), f"write {', '.join(names)} to {to}")
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise ArgumentError(f"{to} exists and is not an empty folder; nothing was written")
    if dry_run:
        return PublishResult(replace(spec, folder=to), steps, done=False)
    to.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=to.parent, prefix=".publish-") as temporary:
        complete = Path(temporary) / "release"
        complete.mkdir()
        for name in names:
            shutil.copyfile(folder / name, complete / name)
        check_run_folder(complete)  # the copies, so that what is put in place is what was checked
        if key is not None:
            contents = {name: (complete / name).read_bytes() for name in names}
            (complete / SIGNATURE_FILE).write_bytes(_signature(spec, contents, key))
        if to.exists():
            to.rmdir()
        complete.replace(to)
    return PublishResult(replace(spec, folder=to), steps, done=True)


def _publish_hub(spec: ModelSpec, folder: Path, dry_run: bool, key: Any) -> PublishResult:
    """Upload the release in one commit and tag it."""
    from huggingface_hub import CommitOperationAdd, constants
    from huggingface_hub.utils import disable_progress_bars

    repo_id, tag, names = spec.repo_id, f"v{spec.version}", _release_names(spec, folder)
    size = sum((folder / name).stat().st_size for name in names)
    steps = (
        f"create the repository {repo_id} on {constants.ENDPOINT}, if it is not there",
        f"refuse if it has the tag {tag}",
        *_signing_step(key),
        f"upload {', '.join(names)} ({size / 1e6:.1f} MB) in one commit",
        f"tag that commit {tag}",
    )
    if dry_run:
        return PublishResult(spec, steps, done=False)
    api = store.client()
    patience = store.transfer_seconds(0)
    store.ask(f"creating {repo_id}", partial(api.create_repo, repo_id, exist_ok=True), patience)
    if tag in store.ask(f"the versions of {repo_id}", partial(_tags, api, repo_id), patience):
        raise HubError(f"{repo_id} has {tag} already, and a published version never changes: export it as a newer one")
    contents = {name: (folder / name).read_bytes() for name in names}
    # The spec says where it was published; it cannot say in which commit, being part of it.
    contents[SPEC_FILE] = (json.dumps(spec.to_dict(), indent=2) + "\n").encode()
    if key is not None:
        contents[SIGNATURE_FILE] = _signature(spec, contents, key)
    # Unlike those of downloads, the bars of uploads do not see by themselves that nobody watches.
    with nullcontext() if sys.stderr.isatty() else disable_progress_bars():
        commit = store.ask(
            f"the upload to {repo_id}",
            lambda: api.create_commit(
                repo_id,
                operations=[CommitOperationAdd(name, content) for name, content in contents.items()],
                commit_message=f"{spec.name} {spec.version}",
            ),
            store.transfer_seconds(size),
        )
    store.ask(
        f"tagging commit {commit.oid} of {repo_id} as {tag}",
        partial(api.create_tag, repo_id, tag=tag, revision=commit.oid),
        patience,
    )
    return PublishResult(replace(spec, revision=commit.oid), steps, done=True)


def _signing_step(key: Any) -> tuple[str, ...]:
    return () if key is None else (f"sign it: {SIGNATURE_FILE}",)


def _signature(spec: ModelSpec, contents: Mapping[str, bytes], key: Any) -> bytes:
    """The signature of a release: of all that a model needs, and its card."""
    signed = (CARD_FILE, SPEC_FILE, *spec.files, GOLDEN_FILE)
    return signatures.sign(key, {name: contents[name] for name in signed}, set(contents) - set(signed))


def _release_names(spec: ModelSpec, folder: Path) -> list[str]:
    pictures = sorted(path.name for path in folder.glob("*.png"))  # those that the card shows
    return [CARD_FILE, SPEC_FILE, *spec.files, GOLDEN_FILE, *pictures]


def _weights_problems(spec: ModelSpec, folder: Path) -> Iterator[str]:
    """What is wrong with the weights, before any of them is loaded."""
    for backend in store.BACKEND_FILES:
        try:
            store.serving_file(spec, backend)
        except WeightsError as error:
            yield str(error)
    for name in spec.files:
        try:
            content = store.read(replace(spec, folder=folder), name)
        except WeightsError as error:
            yield str(error)
            continue
        if name.endswith(".tflite") and content[4:8] != b"TFL3":
            yield f"{name} is not a LiteRT file"
        if name.endswith(".keras"):
            yield from (f"{name}: {problem}" for problem in keras_problems(content))


def _card_problems(spec: ModelSpec, path: Path) -> Iterator[str]:
    """Where the card and the spec disagree."""
    import yaml
    from huggingface_hub import ModelCard

    try:
        card = ModelCard(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        yield f"{CARD_FILE} cannot be read as a model card: {error}"
        return
    data = card.data
    figures = [
        (
            f"{row.dataset_name} {row.dataset_split or ''}".rstrip(),
            row.dataset_config,
            row.metric_type,
            row.metric_value,
        )
        for row in data.get("eval_results") or ()
    ]
    tasks = [ALL_ATTRIBUTES[attribute].kind.pipeline_tag for attribute in spec.attributes]
    wanted_figures = [(row["dataset"], row["label"], row["metric"], row["value"]) for row in spec.metrics]
    expected: dict[str, tuple[Any, Any]] = {
        "model_name": (data.get("model_name"), spec.name),
        "license": (data.get("license"), spec.license),
        "license_name": (data.get("license_name"), spec.license_name),
        "datasets": (tuple(data.get("datasets") or ()), spec.datasets),
        "pipeline_tag": (data.get("pipeline_tag"), tasks[0] if tasks else None),
        "model-index": (sorted(figures, key=repr), sorted(wanted_figures, key=repr)),
    }
    for field, (said, wanted) in expected.items():
        if said != wanted:
            yield f"{CARD_FILE} says {field} {said!r}, {SPEC_FILE} says {wanted!r}"
    tags = data.get("tags") or []
    if missing := [tag for tag in ("facemodels", *spec.attributes) if tag not in tags]:
        yield f"{CARD_FILE} lacks the tags {', '.join(missing)}"
    if f"# {spec.name} {spec.version}" not in card.text.splitlines():
        yield f"{CARD_FILE} has no title '# {spec.name} {spec.version}'"


def _golden_problems(spec: ModelSpec, path: Path) -> Iterator[str]:
    """Whether the model answers what its golden outputs say it should."""
    try:
        difference = golden_difference(AttributeModel(spec), path)
    except WeightsError as error:
        yield str(error)
        return
    if not difference <= spec.tolerance:  # true for NaN, too
        yield f"its answers differ from {GOLDEN_FILE} by {difference:.2g}, and {spec.tolerance:.2g} is its tolerance"


def _repositories(api: HfApi, owner: str) -> list[str]:
    names = (str(model.id) for model in api.list_models(author=owner, filter="facemodels", limit=100))
    return sorted(name for name in names if registry.REPO_ID.fullmatch(name))


def _tags(api: HfApi, repo_id: str) -> list[str]:
    return [str(tag.name) for tag in api.list_repo_refs(repo_id).tags]
