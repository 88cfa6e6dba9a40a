"""What `python -m benchmarks.fuzz` does, in small: seeds, seeds with a few bytes changed, and what once failed."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from benchmarks import fuzz
from benchmarks.robustness import damaged
from facemodels import download
from facemodels.hub.publish import remote_versions

CORPUS = Path(__file__).parent / "corpus"  # a folder for each target; a file for each that failed


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_seeds_with_a_few_bytes_changed(name: str) -> None:
    read, seeds = fuzz.TARGETS[name]
    chance = random.Random(0)
    for seed in seeds():
        read(seed)
        for _ in range(5):
            read(damaged(seed, chance))


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*/*")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_once_failed(path: Path) -> None:
    fuzz.TARGETS[path.parent.name][0](path.read_bytes())


def test_the_seed_of_a_hub_is_read_to_its_end() -> None:
    """Else the search would go no further than the first answer."""
    model, owner, *_ = fuzz.hub_seeds()
    with fuzz.answering(model.split(fuzz.BETWEEN)):
        (folder,) = download("someone/tiny@1.0.0").values()
        assert (folder / "model.tflite").read_bytes() == b"weights" * 10
    with fuzz.answering(owner.split(fuzz.BETWEEN)):
        (version,) = remote_versions("someone")
        assert version.spec is not None and version.reference == "someone/tiny@1.0.0"
        assert list(download(version.reference)) == [version.reference]
