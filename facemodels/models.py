"""Attribute models: crops in, classifications and estimates out. Two backends give the same numbers."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from facemodels import sandbox
from facemodels.attributes import ALL_ATTRIBUTES
from facemodels.errors import WeightsError
from facemodels.forking import Lock
from facemodels.hub import registry, store
from facemodels.hub.keras_file import keras_problems
from facemodels.hub.registry import GOLDEN_FILE, Head, ModelSpec
from facemodels.litert import Interpreters
from facemodels.values import Value

# Crops go in batches of these sizes: every other size would cost an interpreter of its own, about 0.1 s and its memory.
BATCH_SIZES = (1, 4, 16)

# What the first run of somebody else's model may take, by backend: TensorFlow alone takes seconds to be imported.
TRIAL_SECONDS = {"litert": 60, "keras": 180}
TRIAL_MEMORY = 4 * 2**30


class Backend(Protocol):
    """Runs one weights file."""

    def run(self, batch: np.ndarray, /) -> dict[str, np.ndarray]:
        """``(N, S, S, 3)`` float32 RGB 0..255 -> output name to ``(N, labels)`` float32; N is one of `BATCH_SIZES`."""
        ...


class KerasBackend:
    """The `.keras` file on Keras 3, whatever backend that runs on. For comparison and for further training.

    Args:
        content: The verified content of the file.
        name: Of the model, for messages.

    Raises:
        WeightsError: If Keras is missing, or cannot load the file.
    """

    def __init__(self, content: bytes, name: str = "the model") -> None:
        try:
            import keras
        except (ImportError, ValueError) as error:
            raise WeightsError(_keras_advice(error)) from error
        self._lock = Lock()
        self._name = name
        # Keras opens paths only; nobody else can write to this copy.
        with tempfile.TemporaryDirectory(prefix="facemodels-") as folder:
            copy = Path(folder) / "model.keras"
            copy.write_bytes(content)
            try:
                # safe_mode refuses anything but data and built-in layers; compile=False leaves the optimizer out.
                self._model = keras.saving.load_model(copy, compile=False, safe_mode=True)
            except Exception as error:
                raise WeightsError(f"{name} cannot be loaded by Keras: {error}") from error

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """See `Backend.run`."""
        try:
            with self._lock:
                outputs = self._model.predict_on_batch(batch)
            return {name: np.asarray(output, np.float32) for name, output in outputs.items()}
        except Exception as error:
            raise WeightsError(f"{self._name} cannot be run by Keras: {error}") from error


def _keras_advice(error: Exception) -> str:
    """Advice if Keras cannot be imported."""
    if variable := os.environ.get("KERAS_BACKEND"):
        return (
            f"Keras cannot be imported with KERAS_BACKEND={variable} ({error}): "
            "install that, or set KERAS_BACKEND=tensorflow"
        )
    return (
        f"backend=\"keras\" needs Keras and TensorFlow ({error}): pip install 'keras>=3.15,<4' 'tensorflow>=2.21,<2.23'"
    )


class AttributeModel:
    """A model of one or more attributes, ready to answer.

    A file that is not one of those bundled with the package is first run in a child process, since neither LiteRT nor
    Keras survives every file.

    Args:
        spec: What to load.
        backend: ``litert`` or ``keras``.
        threads: Threads of LiteRT.
        trusted: Skip the trial run in a child process, for files that the caller made.

    Raises:
        ArgumentError: If the backend is unknown.
        WeightsError: If a file is damaged or does not fit its spec, or ends the child process.
        HubError: If a file is missing and cannot be downloaded.

    Example:
        >>> model = AttributeModel(get_spec("emotion-efficientnet"))      # doctest: +SKIP
        >>> model.predict(np.zeros((1, 48, 48, 3), np.uint8))["emotion"][0].label      # doctest: +SKIP
        'neutral'
    """

    def __init__(
        self, spec: ModelSpec, *, backend: str = "litert", threads: int | None = None, trusted: bool = False
    ) -> None:
        name = store.serving_file(spec, backend)
        content = store.read(spec, name)
        if not trusted and not registry.is_bundled(spec.files[name]):
            _try_out(spec, name, content, backend)
        self._load(spec, content, backend, threads)

    @classmethod
    def of_content(
        cls, spec: ModelSpec, content: bytes, backend: str = "litert", threads: int | None = None
    ) -> AttributeModel:
        """A model of these bytes; neither are they verified nor first run elsewhere."""
        model = cls.__new__(cls)
        model._load(spec, content, backend, threads)
        return model

    def _load(self, spec: ModelSpec, content: bytes, backend: str, threads: int | None) -> None:
        self.spec = spec
        self._backend: Backend
        if backend == "keras":
            self._backend = KerasBackend(content, spec.id)
        else:
            self._backend = Interpreters(content, threads, spec.id)

    def probabilities(self, crops: np.ndarray) -> dict[str, np.ndarray]:
        """The raw outputs.

        Args:
            crops: ``(N, S, S, 3)`` uint8 RGB, S being the spec's input size; N may be 0.

        Returns:
            Output name to ``(N, labels)`` float32, each row summing to one.

        Raises:
            WeightsError: If the file's outputs are not those of the spec, or not numbers.
        """
        parts: list[dict[str, np.ndarray]] = []
        done = 0
        while done < len(crops):
            chunk = crops[done : done + max(size for size in BATCH_SIZES if size <= len(crops) - done)]
            done += len(chunk)
            outputs = self._backend.run(chunk.astype(np.float32))
            self._check(outputs)
            parts.append(outputs)
        if not parts:
            return {head.output: np.empty((0, len(head.labels)), np.float32) for head in self.spec.heads}
        return {head.output: np.concatenate([part[head.output] for part in parts]) for head in self.spec.heads}

    def predict(self, crops: np.ndarray, heads: Sequence[Head] | None = None) -> dict[str, list[Value]]:
        """What the model perceives.

        Args:
            crops: As for `probabilities`.
            heads: Those wanted, one per attribute; by default the spec's answer to each of its attributes.

        Returns:
            Attribute to one result per crop.
        """
        outputs = self.probabilities(crops)
        wanted = [self.spec.head(attribute) for attribute in self.spec.attributes] if heads is None else heads
        return {head.attribute: decode(head, outputs[head.output]) for head in wanted}

    def warmup(self) -> None:
        """Make the interpreter for single faces, so that the first real call is as fast as the next."""
        size = self.spec.input_size
        self.probabilities(np.zeros((1, size, size, 3), np.uint8))

    def _check(self, outputs: dict[str, np.ndarray]) -> None:
        for head in self.spec.heads:
            got = outputs.get(head.output)
            if got is None or got.shape[1:] != (len(head.labels),):
                found = {name: values.shape[1:] for name, values in outputs.items()}
                raise WeightsError(
                    f"{self.spec.id}: expected the output {head.output!r} with {len(head.labels)} values, "
                    f"the file has {found}"
                )
            if not np.isfinite(got).all():
                raise WeightsError(f"{self.spec.id}: the output {head.output!r} is not a number; the file is damaged")


def _try_out(spec: ModelSpec, name: str, content: bytes, backend: str) -> None:
    """Run a model in a child process.

    Raises:
        WeightsError: If that does not go well.
    """
    if backend == "keras" and (problems := list(keras_problems(content))):
        raise WeightsError(f"{name} of {spec.id} is not used: it {'; it '.join(problems)}")
    header = {"spec": spec.to_dict(), "backend": backend, "golden": None}
    if golden := store.local_text(spec, GOLDEN_FILE):
        header["golden"] = str(golden)
    try:
        problem = sandbox.call(
            "facemodels.hub.trial", header, content, seconds=TRIAL_SECONDS[backend], memory=TRIAL_MEMORY
        )
    except sandbox.ChildError as error:
        raise WeightsError(f"{name} of {spec.id} is not used: the child process that ran it first {error}") from error
    if problem:
        raise WeightsError(f"{name} of {spec.id} is not used: {problem}")


def decode(head: Head, probabilities: np.ndarray) -> list[Value]:
    """Turn one head's probabilities into plain results.

    Args:
        head: The head; the kind of its attribute says how to read the numbers.
        probabilities: ``(N, labels)``, the head's raw outputs.

    Returns:
        One value per row; see `facemodels.kinds.Kind.decode`.
    """
    kind = ALL_ATTRIBUTES[head.attribute].kind
    rows = probabilities.astype(float)
    if kind.probabilities:
        # float32 rows sum to one only to about 1e-7; in double precision they do to 1e-15.
        rows /= rows.sum(axis=1, keepdims=True)
    return kind.decode(head.labels, rows)
