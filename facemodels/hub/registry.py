"""The registry of models: the name, heads and exact files of each.

A spec is the `config.json` beside a model's weights. Bundled models are under `weights/<name>/`; a spec without
bundled files (the detector `yunet`, say) names files on the hub. Standard library only.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from facemodels.attributes import ALL_ATTRIBUTES, ATTRIBUTES
from facemodels.errors import UnknownModelError, WeightsError
from facemodels.hub.fields import parse_json, read_dataclass

# The models that answer what is answered unasked, when the caller names none.
DEFAULT_MODELS: Mapping[str, str] = MappingProxyType({name: row.default_model for name, row in ATTRIBUTES.items()})

SPEC_SCHEMA = 1
SPEC_FILE = "config.json"
GOLDEN_FILE = "golden.json"
CARD_FILE = "README.md"
MAX_SPEC_BYTES = 2**20
MAX_FILE_BYTES = 256 * 2**20
WEIGHTS = Path(__file__).parent.parent / "weights"

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,95}")
VERSION = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6}){2}")
REPO_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_RANGES = {"input_size": (1, 1024), "margin": (-0.4, 2), "offset": (-1, 1), "tolerance": (0, 1)}
_NOT_WRITTEN = {"folder", "output"}  # fields of a spec that belong to one use of it, not to its file


@dataclass(frozen=True)
class Head:
    """One output of a model, and the attribute that it answers.

    Attributes:
        attribute: The attribute it answers: ``emotion``, ``age``, ``gender``, ``ethnicity``, ``points`` or ``pose``.
        output: Name of the model's output, ``(N, len(labels))``: probabilities, or for points and poses plain numbers.
        kind: ``classification``, ``age`` for a distribution over years, ``points`` or ``pose``.
        labels: One per output, in order (for ages, the years).
        views: Coarser views: name to a mapping from label to group.
        prior: The frequency of each label among the training faces, summing to one; empty if not stated.
        prior_strength: How far the weights correct for that prior (logit adjustment, Menon et al. 2021): the scores are
            ``p(label | face) / prior ** prior_strength``, normalized. 0 keeps the prior, 1 removes it.
    """

    attribute: str
    output: str
    kind: str
    labels: tuple[str, ...]
    views: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    prior: tuple[float, ...] = ()
    prior_strength: float = 0.0


@dataclass(frozen=True)
class WeightsFile:
    """One file of a model, identified by its bytes.

    Attributes:
        sha256: Hexadecimal digest.
        size: Bytes.
    """

    sha256: str
    size: int


@dataclass(frozen=True)
class ModelSpec:
    """The specification of one version of a model: everything that code needs.

    Attributes:
        name: Published name, for example ``emotion-efficientnet``.
        version: ``MAJOR.MINOR.PATCH``; new bytes mean a new version.
        kind: ``attributes``, or ``detector`` for a face detector.
        heads: Its heads.
        input_size: Side of the square RGB input in pixels, values 0..255.
        margin: Room around a detected box, as a fraction of its longer side, that gives the framing of the training
            crops.
        offset: Downward move of the crop's centre, same unit.
        align: Whether crops are turned by the eye line where landmarks are known.
        repo_id: Hub repository, ``owner/name``.
        revision: Commit of that repository, or None while this version is not published.
        files: File name to its bytes.
        license: SPDX id, or ``other`` with `license_name`.
        license_name: Name of a licence that has no SPDX id.
        datasets: The data sets that it was trained on.
        metrics: Headline figures as measured by ``training/evaluate.py``: dataset, metric, value.
        tolerance: Largest difference between the Keras and the LiteRT file's outputs, as measured at export.
        schema: Version of this layout.
        folder: The folder of the files, for a model given as a folder; never written to a file.
        output: The head that was requested by name, ``name@version#output``; never written to a file.

    Example:
        >>> get_spec("emotion-efficientnet").attributes
        ('emotion',)
    """

    name: str
    version: str
    kind: str
    heads: tuple[Head, ...]
    input_size: int
    margin: float
    offset: float
    align: bool
    repo_id: str
    revision: str | None
    files: Mapping[str, WeightsFile]
    license: str
    license_name: str | None = None
    datasets: tuple[str, ...] = ()
    metrics: tuple[Mapping[str, Any], ...] = ()
    tolerance: float = 0.0
    schema: int = SPEC_SCHEMA
    folder: Path | None = None
    output: str = ""

    @property
    def id(self) -> str:
        """``name@version``."""
        return f"{self.name}@{self.version}"

    @property
    def answering(self) -> str:
        """`id`, with the head that was requested by name."""
        return f"{self.id}#{self.output}" if self.output else self.id

    @property
    def attributes(self) -> tuple[str, ...]:
        """The attributes it answers, each once: that of the head requested by name, or all."""
        heads = (head for head in self.heads if not self.output or head.output == self.output)
        return tuple(dict.fromkeys(head.attribute for head in heads))

    def heads_for(self, attribute: str) -> tuple[Head, ...]:
        """The heads that answer an attribute, the default first."""
        return tuple(head for head in self.heads if head.attribute == attribute)

    def head(self, attribute: str) -> Head:
        """The head that answers an attribute: the one requested by name, or the first.

        Raises:
            UnknownModelError: If the model does not answer it, or the head requested by name answers another.
        """
        answering = self.heads_for(attribute)
        if self.output:
            answering = tuple(head for head in answering if head.output == self.output)
            if not answering:
                other = next(head.attribute for head in self.heads if head.output == self.output)
                raise UnknownModelError(f"{self.answering} answers {other}, not {attribute}")
        if answering:
            return answering[0]
        raise UnknownModelError(f"{self.id} does not answer {attribute!r}; it answers: {', '.join(self.attributes)}")

    def with_output(self, output: str) -> ModelSpec:
        """This spec with one of its heads requested by name.

        Raises:
            UnknownModelError: If it has no such head.
        """
        names = [head.output for head in self.heads]
        if output not in names:
            raise UnknownModelError(f"{self.id} has no head {output!r}; it has: {', '.join(names) or 'none'}")
        return replace(self, output=output)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as in `config.json`."""
        data = {name: value for name, value in asdict(self).items() if name not in _NOT_WRITTEN}
        for head in data["heads"]:
            if not head["prior"]:
                del head["prior"], head["prior_strength"]
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], source: str = "the spec") -> ModelSpec:
        """Read and check plain data.

        Args:
            data: As from `to_dict`.
            source: Where it came from, for the error message.

        Raises:
            WeightsError: If a field is missing, unknown, of the wrong type, unsafe as a path, or of a newer schema.
        """
        try:
            schema = data.get("schema") if isinstance(data, Mapping) else SPEC_SCHEMA
            if schema != SPEC_SCHEMA:
                raise ValueError(
                    f"it has schema {reprlib.repr(schema)}, this version of facemodels reads {SPEC_SCHEMA}"
                )
            spec = read_dataclass(cls, data, left_out=_NOT_WRITTEN)
            _check(spec)
        except ValueError as error:
            raise WeightsError(f"{source} is not a usable model spec: {error}") from error
        return spec

    @classmethod
    def from_file(cls, path: Path) -> ModelSpec:
        """Read a `config.json`.

        Raises:
            WeightsError: If it cannot be read or does not hold a usable spec.
        """
        try:
            if (size := path.stat().st_size) > MAX_SPEC_BYTES:
                raise ValueError(f"it has {size:,} bytes, and {MAX_SPEC_BYTES:,} are allowed")
            data = parse_json(path.read_bytes())
        except (OSError, ValueError) as error:
            raise WeightsError(f"{path}: cannot be read as a model spec: {error}") from error
        return cls.from_dict(data, str(path))


def _check(spec: ModelSpec) -> None:
    """Raise ValueError for values that must never be used (a spec may be untrusted)."""
    if not _NAME.fullmatch(spec.name):
        raise ValueError(f"name {spec.name!r} must match {_NAME.pattern}")
    if not VERSION.fullmatch(spec.version):
        raise ValueError(f"version {spec.version!r} must look like 1.2.0")
    if spec.kind not in ("attributes", "detector"):
        raise ValueError(f"kind {spec.kind!r} is not 'attributes' or 'detector'")
    if (spec.kind == "attributes") != bool(spec.heads):
        raise ValueError("a model of attributes needs heads, a detector has none")
    if not REPO_ID.fullmatch(spec.repo_id):
        raise ValueError(f"repo_id {spec.repo_id!r} must look like owner/name")
    if spec.revision is not None and not _REVISION.fullmatch(spec.revision):
        raise ValueError(f"revision {spec.revision!r} is not a commit")
    for field_name, (low, high) in _RANGES.items():
        if not low <= getattr(spec, field_name) <= high:
            raise ValueError(f"{field_name} {reprlib.repr(getattr(spec, field_name))} is not within {low:g}..{high:g}")
    for name, entry in spec.files.items():
        if not _FILE.fullmatch(name) or Path(name).name != name:
            raise ValueError(f"file name {name!r} is not a plain file name")
        if not re.fullmatch(r"[0-9a-f]{64}", entry.sha256) or not 0 < entry.size <= MAX_FILE_BYTES:
            raise ValueError(f"file {name!r} lacks a sha256 or has a size outside 1 byte..256 MiB")
    outputs = [head.output for head in spec.heads]
    if twice := sorted({output for output in outputs if outputs.count(output) > 1}):
        raise ValueError(f"heads: the output {twice[0]!r} appears twice")
    for number, head in enumerate(spec.heads):
        try:
            _check_head(head)
        except ValueError as error:
            raise ValueError(f"heads[{number}] ({head.output!r}): {error}") from error
    for number, row in enumerate(spec.metrics):
        value = row.get("value")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"metrics[{number}]: value {value!r} is not a number")
        if missing := [name for name in ("dataset", "label", "metric") if not isinstance(row.get(name), str)]:
            raise ValueError(f"metrics[{number}]: {missing[0]} is missing or not a text")


def _check_head(head: Head) -> None:
    """Raise ValueError for a head that cannot answer its attribute; the message begins with the field."""
    attribute = ALL_ATTRIBUTES.get(head.attribute)
    if attribute is None:
        raise ValueError(f"attribute {head.attribute!r} is unknown; known: {', '.join(ALL_ATTRIBUTES)}")
    if head.kind != attribute.kind.name:
        raise ValueError(f"kind {head.kind!r} is not that of {attribute.name}, which is {attribute.kind.name!r}")
    if not head.labels:
        raise ValueError("labels: there are none")
    if twice := sorted({label for label in head.labels if head.labels.count(label) > 1}):
        raise ValueError(f"labels: {twice[0]!r} appears twice")
    if unknown := [label for label in head.labels if not attribute.kind.is_output(attribute, label)]:
        wrong = ", ".join(map(repr, unknown[:5]))
        raise ValueError(f"labels: {wrong} can be no {attribute.name}; known: {attribute.label_text}")
    if (outputs := attribute.kind.outputs) and head.labels != outputs:
        raise ValueError(f"labels: {attribute.name} needs {outputs[0]}, {outputs[1]}, … {outputs[-1]}, in this order")
    if head.prior and not (len(head.prior) == len(head.labels) and all(value > 0 for value in head.prior)):
        raise ValueError("prior: needs a positive number for each label")
    if head.prior_strength and not head.prior:
        raise ValueError("prior_strength: needs a prior")
    if not 0 <= head.prior_strength <= 1:
        raise ValueError(f"prior_strength: {head.prior_strength!r} is not within 0..1")
    for name, view in head.views.items():
        if set(view) != set(head.labels):
            raise ValueError(f"views: {name!r} does not map every label")


@cache
def all_specs() -> dict[str, ModelSpec]:
    """The specs that ship with the package, by ``name@version``; read once, on first use."""
    specs = (ModelSpec.from_file(path) for path in sorted(WEIGHTS.glob(f"*/{SPEC_FILE}")))
    return {spec.id: spec for spec in specs}


def is_bundled(file: WeightsFile) -> bool:
    """Whether a file has the same bytes as one in the bundled specs, wherever it is."""
    return any(file in spec.files.values() for spec in all_specs().values())


def list_models(attribute: str | None = None) -> list[ModelSpec]:
    """The models this version of facemodels knows by name.

    Args:
        attribute: Only those that answer this attribute.

    Returns:
        Their specs, by name and version; without `attribute` also the detectors that need a file.

    Raises:
        UnknownModelError: If there is no such attribute.

    Example:
        >>> [spec.name for spec in list_models("emotion")]
        ['emotion-efficientnet', 'emotion4-vgg16']
    """
    if attribute is not None and attribute not in ALL_ATTRIBUTES:
        raise UnknownModelError(f"unknown attribute {attribute!r}; known: {', '.join(ALL_ATTRIBUTES)}")
    return [spec for spec in all_specs().values() if attribute is None or attribute in spec.attributes]


def get_spec(reference: str) -> ModelSpec:
    """The spec of a known model.

    Args:
        reference: ``name`` (its newest version here) or ``name@version``.

    Raises:
        UnknownModelError: If it is unknown; the message lists the known ones.

    Example:
        >>> get_spec("emotion-efficientnet").kind
        'attributes'
    """
    name, _, version = reference.partition("@")
    versions = [spec for spec in all_specs().values() if spec.name == name and version in ("", spec.version)]
    if not versions:
        known = ", ".join(all_specs()) or "none"
        raise UnknownModelError(f"unknown model {reference!r}; known here: {known}")
    return max(versions, key=lambda spec: tuple(int(part) for part in spec.version.split(".")))
