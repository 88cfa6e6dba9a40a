"""One attribute model: crops in, classifications and estimates out. Two backends give the same numbers."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from facemodels.attributes import ATTRIBUTES, Value
from facemodels.errors import ArgumentError, WeightsError
from facemodels.hub import store
from facemodels.hub.registry import Head, ModelSpec
from facemodels.litert import Interpreters

# Crops go in batches of these sizes: every other size would cost an interpreter of its own, about 0.1 s and its memory.
BATCH_SIZES = (1, 4, 16)


class Backend(Protocol):
    """Runs one weights file."""

    def run(self, batch: np.ndarray, /) -> dict[str, np.ndarray]:
        """``(N, S, S, 3)`` float32 RGB 0..255 -> output name to ``(N, labels)`` float32; N is one of `BATCH_SIZES`."""
        ...


class KerasBackend:
    """The `.keras` file on Keras 3, whatever backend that runs on. For comparison and for further training.

    Args:
        path: The verified file.
    """

    def __init__(self, path: Path) -> None:
        try:
            import keras
        except ImportError as error:
            raise WeightsError(
                "backend=\"keras\" needs Keras and TensorFlow: pip install 'keras>=3.15,<4' 'tensorflow>=2.21,<2.23'"
            ) from error
        # safe_mode refuses anything but data and built-in layers; compile=False leaves the optimizer out.
        self._model = keras.saving.load_model(path, compile=False, safe_mode=True)
        self._lock = threading.Lock()

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """See `Backend.run`."""
        with self._lock:
            outputs = self._model.predict_on_batch(batch)
        return {name: np.asarray(output, np.float32) for name, output in outputs.items()}


class AttributeModel:
    """A model of one or more attributes, ready to answer.

    Args:
        spec: What to load.
        backend: ``litert`` or ``keras``.
        threads: Threads of LiteRT.

    Raises:
        ArgumentError: If the backend is unknown.
        WeightsError: If a file is damaged or does not fit its spec.
        HubError: If a file is not here and the hub cannot give it.

    Example:
        >>> model = AttributeModel(get_spec("emotion-efficientnet"))      # doctest: +SKIP
        >>> model.predict(np.zeros((1, 48, 48, 3), np.uint8))["emotion"][0].label      # doctest: +SKIP
        'neutral'
    """

    def __init__(self, spec: ModelSpec, *, backend: str = "litert", threads: int | None = None) -> None:
        self.spec = spec
        self._backend: Backend
        if backend == "litert":
            self._backend = Interpreters(store.fetch(spec, "model.tflite"), threads)
        elif backend == "keras":
            self._backend = KerasBackend(store.fetch(spec, "model.keras"))
        else:
            raise ArgumentError(f"unknown backend {backend!r}; known: litert, keras")

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


def decode(head: Head, probabilities: np.ndarray) -> list[Value]:
    """Turn one head's probabilities into plain results.

    Args:
        head: The head; the kind of its attribute says how to read the numbers.
        probabilities: ``(N, labels)``.

    Returns:
        One value per row; see `facemodels.attributes.Kind.decode`.
    """
    # float32 rows sum to one only to about 1e-7; in double precision they do to 1e-15.
    rows = probabilities.astype(float)
    rows /= rows.sum(axis=1, keepdims=True)
    return ATTRIBUTES[head.attribute].kind.decode(head.labels, rows)
