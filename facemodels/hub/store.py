"""Resolve a model's name to verified files: local or downloaded, checked by sha256 either way.

A file is looked for in the folder the caller named (then nowhere else), in the local hub cache, in the copy that ships
with the package, and last on the hub, pinned to a commit. What is here is never asked for over the network, and every
call to the hub is bounded in time.
"""

from __future__ import annotations

import hashlib
import os
import re
import reprlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from facemodels.errors import ArgumentError, FaceModelsError, HubError, UnknownModelError, WeightsError
from facemodels.hub import registry
from facemodels.hub.fields import parse_json
from facemodels.hub.registry import CARD_FILE, DEFAULT_MODELS, GOLDEN_FILE, SPEC_FILE, ModelSpec, WeightsFile, get_spec
from facemodels.hub.signatures import SIGNATURE_FILE, check_public_key
from facemodels.hub.signatures import verify as verify_signature

if TYPE_CHECKING:
    from huggingface_hub import HfApi

# What a backend opens; nothing else is ever opened, of a detector only these.
BACKEND_FILES = {"litert": ".tflite", "keras": ".keras"}
DETECTOR_FILES = (".onnx", ".tflite", ".json")

ANSWER_SECONDS = 3  # for the hub's answer to a question, unless HF_HUB_ETAG_TIMEOUT says otherwise
PATIENCE_SECONDS = 20  # for a transfer, and one second more for every SLOWEST_BYTES
SLOWEST_BYTES = 50_000
MAX_TEXT_BYTES = 2**20

_HUB_REFERENCE = re.compile(f"({registry.REPO_ID.pattern})(?:@v?({registry.VERSION.pattern}))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")

T = TypeVar("T")


def resolve(reference: str | os.PathLike[str]) -> ModelSpec:
    """The spec that a reference means.

    Args:
        reference: A known name (``emotion-efficientnet``) or ``name@version``; the path of a local folder that holds a
            `config.json` (where a known model has the same name, write ``./mine``); or ``OWNER/NAME@1.1.0``, a version
            published on the hub, which is asked for once and then cached. So are other versions of a known name, if it
            is published. Where a model has several heads for an attribute, ``#OUTPUT`` after any of these asks for
            another than the first (``emotion-efficientnet#emotion_fer2013``).

    Raises:
        UnknownModelError: If it is not one of these, or has no such head. A hub repository without a version is
            refused, since branches move.
        WeightsError: If the `config.json` found is not a usable spec.
        HubError: If the hub had to be asked, and could not be or does not have it.

    Example:
        >>> resolve("yunet").kind
        'detector'
    """
    if not isinstance(reference, str | os.PathLike):
        raise ArgumentError(f"a model is named by a str or a path, not by {type(reference).__name__}: {reference!r}")
    text = os.fspath(reference)
    try:
        folder = Path(text).expanduser()
        folder.exists()
    except (OSError, RuntimeError, ValueError) as error:  # no such user, too long, a zero byte
        raise UnknownModelError(f"{reprlib.repr(text)} names no model: {error}") from error
    named, mark, output = text.rpartition("#")
    if mark and not folder.exists():
        return resolve(named).with_output(output)
    if isinstance(reference, str) and folder.name == text:
        return _named_spec(text)
    if (folder / SPEC_FILE).is_file():
        return replace(ModelSpec.from_file(folder / SPEC_FILE), folder=folder.resolve())
    if folder.is_dir():
        raise UnknownModelError(f"the folder {text!r} holds no {SPEC_FILE}, so it is not a model")
    match = _HUB_REFERENCE.fullmatch(text)
    if match is None:
        raise UnknownModelError(
            f"{text!r} is neither an existing folder, nor a known name, nor OWNER/NAME@1.1.0 on the hub"
        )
    repo_id, version = match.groups()
    if version is None:
        raise UnknownModelError(
            f"{text!r} names no version, and a branch can change at any time: pin one, as in {text}@1.1.0"
        )
    return published_spec(repo_id, version)


def fetch(spec: ModelSpec, name: str) -> Path:
    """The verified local path of one file of a model; it is downloaded if no good copy is here.

    Args:
        spec: From `resolve` or `facemodels.get_spec`.
        name: A key of ``spec.files``, for example ``model.tflite``.

    Raises:
        WeightsError: If the spec has no such file, no copy matches its sha256, or this version was never published.
        HubError: If it must be downloaded and cannot be.
    """
    return _verified(spec, name)[0]


def read(spec: ModelSpec, name: str) -> bytes:
    """The verified content of one file of a model: the very bytes whose sha256 was checked.

    What is opened later must be made from these bytes, not from the path: a file can change after it was checked.

    Args:
        spec: From `resolve` or `facemodels.get_spec`.
        name: A key of ``spec.files``, for example that of `serving_file`.

    Raises:
        WeightsError: As `fetch` does.
        HubError: As `fetch` does.
    """
    return _verified(spec, name)[1]


def _verified(spec: ModelSpec, name: str) -> tuple[Path, bytes]:
    """The path of one file, and what was read from it and verified."""
    expected = _expected(spec, name)
    problems = []
    for location, path in _locations(spec, name):
        try:
            return path, _content(path, expected)
        except ValueError as error:
            problems.append(f"{location} {path} ({error})")
    looked = "looked in: " + ", ".join(problems)
    if spec.folder is not None:
        raise WeightsError(f"{name} of {spec.id} cannot be had from the folder given; {looked}")
    if spec.revision is None:
        raise WeightsError(f"{name} of {spec.id} is not here, and this version is not published on the hub; {looked}")
    if not _COMMIT.fullmatch(spec.revision):
        raise WeightsError(f"{spec.id} is pinned to {spec.revision!r}, which is not a commit, so it is not downloaded")
    try:
        found = _download(spec.repo_id, name, spec.revision, partial(_content, expected=expected), expected.size)
        if not registry.is_bundled(expected):
            with suppress(HubError, WeightsError):  # not every repository has some
                _download(spec.repo_id, GOLDEN_FILE, spec.revision, _text)
        return found
    except HubError as error:
        raise HubError(
            f"{name} of {spec.id} is not here and could not be downloaded: {error}; {looked}."
            f" Once the hub can be reached, run: python -m facemodels download {_reference(spec)}"
        ) from error


def fetch_text(repo_id: str, revision: str, name: str, reference: str) -> Path:
    """The local path of a small text file of a repository, from the cache or the hub.

    Args:
        repo_id: ``owner/name``.
        revision: A commit, or the tag of a version that was never asked for before.
        name: ``config.json`` or ``README.md``.
        reference: What the user typed, for the error message.

    Raises:
        WeightsError: If it is too large to be what it should.
        HubError: If it must be downloaded and cannot be.
    """
    path = _snapshots(repo_id) / revision / name
    with suppress(ValueError):
        _text(path)
        return path
    try:
        return _download(repo_id, name, revision, _text)[0]
    except HubError as error:
        raise HubError(
            f"{name} of {reference} is not here and could not be downloaded: {error}; looked in: cache {path.parent}."
            f" Once the hub can be reached, run: python -m facemodels download {reference}"
        ) from error


def cached(spec: ModelSpec, name: str) -> Path | None:
    """The verified local path of one file, or None if no good copy is here; never touches the network.

    Args:
        spec: From `resolve` or `facemodels.get_spec`.
        name: A key of ``spec.files``.

    Raises:
        WeightsError: If the spec has no such file.
    """
    found = _found(spec, name)
    return found[1] if found else None


def local_text(spec: ModelSpec, name: str) -> Path | None:
    """The path of a small text file beside a model's weights, if it is here; never touches the network.

    Args:
        spec: Of a model that was given as a folder, or comes from the hub.
        name: ``golden.json``, say.
    """
    if spec.folder is not None:
        path = spec.folder / name
    elif spec.revision is not None:
        path = _snapshots(spec.repo_id) / spec.revision / name
    else:
        return None
    return path if path.is_file() else None


def verify(path: Path, expected: WeightsFile) -> bytes:
    """Read a file that the caller chose, and check what was read.

    Returns:
        Its content; see `read`.

    Raises:
        WeightsError: If it is not there, or its size or sha256 is another.
    """
    try:
        return _content(path, expected)
    except ValueError as error:
        raise WeightsError(f"{path} is not the file expected: {error}") from error


def locate(spec: ModelSpec, backend: str = "litert") -> str:
    """The place that a model would be loaded from now, without network access.

    Returns:
        ``folder``, ``cache``, ``bundled``, ``hub`` (it would be downloaded) or ``missing``.
    """
    found = _found(spec, serving_file(spec, backend))
    if found:
        return found[0]
    return "hub" if spec.folder is None and spec.revision is not None else "missing"


def serving_file(spec: ModelSpec, backend: str = "litert") -> str:
    """The name of the file that a backend opens (of a detector the first, whatever the backend).

    Raises:
        ArgumentError: If the backend is unknown.
        WeightsError: If the model has no file for it.
    """
    if backend not in BACKEND_FILES:
        raise ArgumentError(f"unknown backend {backend!r}; known: {', '.join(BACKEND_FILES)}")
    suffixes = DETECTOR_FILES if spec.kind == "detector" else (BACKEND_FILES[backend],)
    for name in spec.files:
        if name.endswith(suffixes):
            return name
    raise WeightsError(f"{spec.id} has no {' or '.join(suffixes)} file; it has: {', '.join(spec.files) or 'none'}")


def download(
    names: str | Sequence[str] | None = None,
    *,
    backend: str = "litert",
    public_key: str | os.PathLike[str] | None = None,
) -> dict[str, Path]:
    """Download and verify the weights of models, for use without a network.

    Args:
        names: References as for `resolve`, one or several; None for the default models.
        backend: Whose files: ``litert``, or ``keras`` for the `.keras` weights.
        public_key: The file of a key. The models must have been signed with its private key: card, spec, golden outputs
            and the weights of all backends are downloaded and verified.

    Returns:
        Each reference, and the folder that holds its verified file.

    Raises:
        UnknownModelError: As `resolve` does, before anything is downloaded.
        WeightsError: As `fetch` does; or if a model is not signed, or not with this key.
        HubError: As `resolve` and `fetch` do.
        ArgumentError: If the key cannot be used.
        FaceModelsError: If there is a key, and the extra ``sign`` is not installed.

    Example:
        >>> sorted(download())      # doctest: +SKIP
        ['demographics-efficientnet', 'emotion-efficientnet']
    """
    if names is None:
        names = list(dict.fromkeys(DEFAULT_MODELS.values()))
    elif isinstance(names, str | os.PathLike):
        names = [os.fspath(names)]
    if public_key is not None:
        check_public_key(public_key)
    specs = {name: resolve(name) for name in names}
    if public_key is not None:
        for spec in specs.values():
            _verify_signature(spec, public_key)
    return {name: fetch(spec, serving_file(spec, backend)).parent for name, spec in specs.items()}


def ask(what: str, call: Callable[[], T], seconds: float | None = None) -> T:
    """Run a request to the hub with a time limit; any failure becomes a HubError.

    The client library bounds neither a name lookup nor an answer that trickles. So the exchange has its own thread,
    which is left behind when time is up: it ends with the process, and what it still writes is verified before use.

    Args:
        what: What is asked for, for the error message.
        call: The exchange.
        seconds: The most it may take; None for a short question.

    Raises:
        HubError: If it takes longer, fails in any way, or ``HF_HUB_OFFLINE`` is set.
    """
    from huggingface_hub import constants

    seconds = seconds or _answer_seconds() + 1
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:  # noqa: BLE001
            outcome.set_exception(error)  # `result` raises it where somebody waits for it

    Thread(target=run, daemon=True, name="facemodels-hub").start()
    try:
        return outcome.result(seconds)
    except FaceModelsError:
        raise
    except TimeoutError as error:
        raise HubError(f"{what}: {constants.ENDPOINT} did not answer within {seconds:.0f} s") from error
    except Exception as error:
        raise HubError(f"{what}: {_reason(error)}") from error


def was_answered(error: HubError) -> bool:
    """Whether the hub said no, rather than nothing."""
    from huggingface_hub.errors import HfHubHTTPError

    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, HfHubHTTPError):
        cause = cause.__cause__
    return cause is not None


def transfer_seconds(size: int) -> float:
    """How long a transfer of so many bytes may take."""
    return PATIENCE_SECONDS + size / SLOWEST_BYTES


def client() -> HfApi:
    """The hub's client, which says who asks; imported here, since that takes a fifth of a second."""
    from huggingface_hub import HfApi

    from facemodels import __version__

    return HfApi(library_name="facemodels", library_version=__version__)


def _reason(error: Exception) -> str:
    """An exception of the client library, in a few words."""
    from huggingface_hub import constants, errors

    if isinstance(error, errors.RepositoryNotFoundError):
        return f"{constants.ENDPOINT} has no such repository (or it is private: set HF_TOKEN)"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{constants.ENDPOINT} has the repository, but not this version or commit"
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return f"{constants.ENDPOINT} has this version, but no such file in it"
    if isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code
        hint = " (does HF_TOKEN hold a token with the right to?)" if status in (401, 403) else ""
        return f"{constants.ENDPOINT} answered {status}: {error.server_message or 'no message'}{hint}"
    if isinstance(error, OSError) and error.filename:
        return f"{error.strerror}: {error.filename}"
    detail = " ".join(str(error).split())[:500]
    return f"{constants.ENDPOINT} could not be used ({type(error).__name__}: {detail})"


def _answer_seconds() -> int:
    from huggingface_hub import constants

    chosen = constants.HF_HUB_ETAG_TIMEOUT != constants.DEFAULT_ETAG_TIMEOUT
    return constants.HF_HUB_ETAG_TIMEOUT if chosen else ANSWER_SECONDS


def _expected(spec: ModelSpec, name: str) -> WeightsFile:
    """The bytes a file must have, for the kinds of files that are opened at all."""
    if name not in spec.files:
        raise WeightsError(f"{spec.id} has no file {name!r}; it has: {', '.join(spec.files) or 'none'}")
    opened = DETECTOR_FILES if spec.kind == "detector" else tuple(BACKEND_FILES.values())
    if not name.endswith(opened):
        raise WeightsError(f"{name!r} of {spec.id} is never opened: only {' and '.join(opened)} files are")
    return spec.files[name]


def _locations(spec: ModelSpec, name: str) -> Iterator[tuple[str, Path]]:
    """Where a file may lie here, best first. A folder the caller named is the only place."""
    if spec.folder is not None:
        yield "folder", spec.folder / name
        return
    if spec.revision is not None:
        yield "cache", _snapshots(spec.repo_id) / spec.revision / name
    yield "bundled", registry.WEIGHTS / spec.name / name


def _found(spec: ModelSpec, name: str) -> tuple[str, Path] | None:
    expected = _expected(spec, name)
    for found in _locations(spec, name):
        with suppress(ValueError):
            _content(found[1], expected)
            return found
    return None


def _snapshots(repo_id: str) -> Path:
    """Where the hub cache keeps a repository's commits; this layout is documented.

    `huggingface_hub.try_to_load_from_cache` knows it too, but importing that brings the whole HTTP client along, and
    every start of a process asks here whether YuNet is cached.
    """
    from huggingface_hub import constants  # cheap; it knows HF_HOME, HF_HUB_CACHE and their defaults

    return Path(constants.HF_HUB_CACHE) / f"models--{repo_id.replace('/', '--')}" / "snapshots"


def _content(path: Path, expected: WeightsFile) -> bytes:
    """What a file holds; ValueError, with the reason, if that is not what is expected."""
    content = _bytes(path, expected.size)
    digest = hashlib.sha256(content).hexdigest()
    if digest != expected.sha256:
        raise ValueError(f"has sha256 {digest} instead of {expected.sha256}")
    return content


def _text(path: Path) -> bytes:
    """What a small text file of a repository holds; ValueError, with the reason, if it cannot be that file."""
    content = _bytes(path)
    content.decode()
    if path.suffix == ".json":
        parse_json(content)
    return content


def _bytes(path: Path, size: int | None = None) -> bytes:
    """What a file of this size, or a text file of any size up to a cap, holds; ValueError if it is not such a file."""
    try:
        found = path.stat().st_size
        if size is not None and found != size:
            raise ValueError(f"has {found:,} bytes instead of {size:,}")
        if size is None and found > MAX_TEXT_BYTES:
            raise ValueError(f"is larger than {MAX_TEXT_BYTES:,} bytes")
        with path.open("rb") as file:
            return file.read(found)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        raise ValueError("not there" if missing else f"cannot be read: {error.strerror}") from error


def _verify_signature(spec: ModelSpec, public_key: str | os.PathLike[str]) -> None:
    """Raise a WeightsError unless a model is signed with this key, whole."""
    signature = _release_text(spec, SIGNATURE_FILE)
    if signature is None:
        raise WeightsError(f"{spec.id} is not signed: it has no {SIGNATURE_FILE}")
    contents = {name: _release_text(spec, name) for name in (CARD_FILE, SPEC_FILE, GOLDEN_FILE)}
    contents |= {name: read(spec, name) for name in spec.files}
    verify_signature(
        public_key, spec.id, {name: data for name, data in contents.items() if data is not None}, signature
    )


def _release_text(spec: ModelSpec, name: str) -> bytes | None:
    """A small text file of a release, from where the model itself is, or from the hub; None if it has no such file."""
    from huggingface_hub.errors import RemoteEntryNotFoundError

    if spec.folder is not None or spec.revision is None:
        path = (spec.folder or registry.WEIGHTS / spec.name) / name
        if not path.is_file():
            return None
    else:
        path = _snapshots(spec.repo_id) / spec.revision / name
    with suppress(ValueError):
        return _text(path)
    if spec.folder is not None or spec.revision is None:
        raise WeightsError(f"{name} of {spec.id} cannot be read")
    try:
        return _download(spec.repo_id, name, spec.revision, _text)[1]
    except HubError as error:
        if isinstance(error.__cause__, RemoteEntryNotFoundError):
            return None
        raise


def _reference(spec: ModelSpec) -> str:
    """What to type to get this spec again."""
    try:
        known = get_spec(spec.id) == spec
    except UnknownModelError:
        known = False
    return spec.id if known else f"{spec.repo_id}@{spec.version}"


def _named_spec(text: str) -> ModelSpec:
    """The spec of a plain name: one that ships with the package, or another published version of one that does."""
    try:
        return get_spec(text)
    except UnknownModelError:
        name, _, version = text.partition("@")
        known = next((spec for spec in registry.list_models() if spec.name == name), None)
        if version and known is not None and known.revision is not None and known.kind == "attributes":
            return resolve(f"{known.repo_id}@{version}")
        if (Path(text) / SPEC_FILE).is_file():  # a known name comes first; ./NAME always means the folder
            return resolve(Path(text))
        raise


def published_spec(repo_id: str, version: str) -> ModelSpec:
    """The spec of a published version, from the cache or, the first time, from the hub.

    Once known, a tag's commit is kept: moving the tag later does not change what a reference means here.

    Args:
        repo_id: ``owner/name``.
        version: ``1.1.0``.

    Raises:
        WeightsError: If its `config.json` is not a usable spec.
        HubError: If the hub had to be asked, and could not be or does not have it.
    """
    reference = f"{repo_id}@{version}"
    repository = _snapshots(repo_id).parent
    ref = repository / "refs" / f"v{version}"
    revision = ref.read_text().strip() if ref.is_file() else ""
    if not _COMMIT.fullmatch(revision):
        revision = f"v{version}"
    path = fetch_text(repo_id, revision, SPEC_FILE, reference)
    spec = ModelSpec.from_file(path)
    if spec.version != version:
        raise WeightsError(f"{reference} is not used: its {SPEC_FILE} says that it is version {spec.version}")
    if spec.kind != "attributes":
        raise WeightsError(
            f"{reference} is not used: it is a {spec.kind}, and only models of attributes come from elsewhere"
        )
    return replace(spec, repo_id=repo_id, revision=path.parent.name)


def _download(
    repo_id: str, name: str, revision: str, content: Callable[[Path], bytes], size: int | None = None
) -> tuple[Path, bytes]:
    """Download one file into the hub cache and check it; a copy that fails the check is replaced once.

    Args:
        repo_id: ``owner/name``.
        name: A plain file name.
        revision: A commit, or the tag of a version.
        content: Reads a local file; ValueError, with the reason, if it is not the one wanted.
        size: Its bytes; None for a text file, which may have any number up to a cap.

    Returns:
        Where it is, and what it holds.
    """
    from huggingface_hub import constants, hf_hub_url

    api, wait = client(), _answer_seconds()
    what = f"{name} of {repo_id} at {revision}"

    def look() -> int | None:
        return api.get_hf_file_metadata(url=hf_hub_url(repo_id, name, revision=revision), timeout=wait).size

    def get(force: bool) -> Path:
        return Path(api.hf_hub_download(repo_id, name, revision=revision, etag_timeout=wait, force_download=force))

    # `hf_hub_download` goes on trying for half a minute when nobody answers, so one short question comes first.
    offered = ask(what, look)
    if offered is not None and (offered != size if size else offered > MAX_TEXT_BYTES):
        raise WeightsError(f"{what} is not downloaded: the hub has {offered:,} bytes, not {size or MAX_TEXT_BYTES:,}")
    old = _snapshots(repo_id) / revision / name
    damaged = old.is_file()
    if damaged and not old.is_symlink():
        old.unlink()  # where the cache holds plain copies, a forced download would leave this one
    for force in (True,) if damaged else (False, True):
        path = ask(what, partial(get, force), transfer_seconds(size or 0))
        try:
            return path, content(path)
        except ValueError as error:
            problem = error
    raise WeightsError(
        f"{what} as {constants.ENDPOINT} sends it is not the file expected, and is not used: {path} {problem}"
    )
