"""Signatures of published models, in the OpenSSF's format for models: proof that the holder of a key made these files.

A signature (`model.sig`, a Sigstore bundle) covers the card, the spec, every weights file and the golden outputs, but
not the figures of the card. It is made and verified offline with a pair of elliptic-curve keys, by the package
`model-signing`; its own command verifies the same file.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from facemodels.errors import ArgumentError, FaceModelsError, WeightsError

SIGNATURE_FILE = "model.sig"

_KEYS = "an elliptic-curve key in PEM format (P-256, P-384 or P-521)"


def load_private_key(path: str | os.PathLike[str], password: str | None = None) -> Any:
    """Load the key for `sign`.

    Args:
        path: A private key, see `_KEYS`.
        password: For an encrypted key.

    Raises:
        ArgumentError: If it cannot be used.
        FaceModelsError: If the extra ``sign`` is not installed.
    """
    signing = _load_model_signing().signing
    return _with_key(
        lambda: signing.Config().use_elliptic_key_signer(
            private_key=Path(path), password=None if password is None else password.encode()
        ),
        f"{os.fspath(path)} is no private key to sign with",
    )


def check_public_key(path: str | os.PathLike[str]) -> None:
    """Check that `verify` can use a key.

    Raises:
        ArgumentError: If it cannot.
        FaceModelsError: If the extra ``sign`` is not installed.
    """
    _verifier(path)


def sign(key: Any, contents: Mapping[str, bytes], unsigned: Iterable[str] = ()) -> bytes:
    """Sign files.

    Args:
        key: From `load_private_key`.
        contents: What is in each file, by its name.
        unsigned: The names of other files that lie beside them.

    Returns:
        What `SIGNATURE_FILE` shall hold.
    """
    hashing = _load_model_signing().hashing
    key.set_hashing_config(hashing.Config().set_ignored_paths(paths=[*unsigned, SIGNATURE_FILE]))
    with tempfile.TemporaryDirectory(prefix="facemodels-sign-") as temporary:
        folder = _written(Path(temporary, "model"), contents)
        key.sign(folder, Path(temporary, SIGNATURE_FILE))
        return Path(temporary, SIGNATURE_FILE).read_bytes()


def verify(public_key: str | os.PathLike[str], name: str, contents: Mapping[str, bytes], signature: bytes) -> None:
    """Verify that files are the signed ones: these names with this content, no more and no fewer.

    Args:
        public_key: The file of the key, see `check_public_key`.
        name: What the files are called in an error.
        contents: What is in each file, by its name.
        signature: What `SIGNATURE_FILE` holds.

    Raises:
        WeightsError: If the signature is by another key, damaged, or of other files.
        ArgumentError: If the key cannot be used.
        FaceModelsError: If the extra ``sign`` is not installed.
    """
    verifier = _verifier(public_key)
    with tempfile.TemporaryDirectory(prefix="facemodels-verify-") as temporary:
        folder = _written(Path(temporary, "model"), contents)
        path = Path(temporary, SIGNATURE_FILE)
        path.write_bytes(signature)
        try:
            verifier.verify(folder, path)
        except Exception as error:  # a stranger's file: its parser and the cryptography raise what they like
            detail = " ".join(str(error).split())[:500] or "it was made with another key, or changed"
            raise WeightsError(
                f"{name} is not used: {SIGNATURE_FILE} does not sign its files with {os.fspath(public_key)} ({detail})"
            ) from error


def _verifier(path: str | os.PathLike[str]) -> Any:
    verifying = _load_model_signing().verifying
    return _with_key(
        lambda: verifying.Config().use_elliptic_key_verifier(public_key=Path(path)),
        f"{os.fspath(path)} is no public key to verify with",
    )


def _with_key(load: Any, problem: str) -> Any:
    """What uses a key, made by `load`; a key that is none is an ArgumentError."""
    try:
        return load()
    except OSError as error:
        raise ArgumentError(f"{problem}: {error.strerror or error}") from error
    except Exception as error:
        raise ArgumentError(f"{problem}: it must be {_KEYS} ({' '.join(str(error).split())[:200]})") from error


def _written(folder: Path, contents: Mapping[str, bytes]) -> Path:
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


def _load_model_signing() -> Any:
    """The package model_signing, loaded when it is needed: it brings much along."""
    try:
        import model_signing.hashing
        import model_signing.signing
        import model_signing.verifying
    except ImportError as error:
        raise FaceModelsError(
            f'signatures need model-signing, which is missing ({error}): pip install ".[sign]" in the checkout'
        ) from error
    return model_signing
