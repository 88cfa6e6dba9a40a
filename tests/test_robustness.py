"""A few of the damaged files that `python -m benchmarks.robustness` tries by the thousand."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from benchmarks import robustness


def test_damaged_images_are_used_or_refused() -> None:
    trial = robustness.try_images(400)
    assert trial.failures == []
    assert trial.results["used"] > 50 and trial.results["refused"] > 50


def test_damaged_videos_are_used_or_refused(tmp_path: Path) -> None:
    pytest.importorskip("av")
    trial = robustness.try_videos(8, tmp_path)
    assert trial.failures == [] and sum(trial.results.values()) == 8


def test_changed_weights_are_used_or_refused(tmp_path: Path) -> None:
    trial = robustness.try_weights(3, tmp_path)
    assert trial.failures == [] and sum(trial.results.values()) == 3
    assert list(tmp_path.iterdir()) == []


def test_what_should_not_happen_is_told() -> None:
    trial = robustness.Trial("spec")
    trial.record(7, lambda: 1 / 0, ValueError)  # type: ignore[arg-type, return-value]
    assert trial.failures == ["spec 7: ZeroDivisionError: division by zero"]
    assert robustness.robustness_table([trial]).splitlines()[-1] == "| spec | 1 | 1 failed | 1 | 0 s |"


def test_damage_is_the_same_in_every_run() -> None:
    content = bytes(range(256))
    first = [robustness.damaged(content, random.Random(1)) for _ in range(2)]
    assert first[0] == first[1] != content
    assert isinstance(robustness.damaged(b"", random.Random(2)), bytes)
