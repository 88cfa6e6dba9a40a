"""A few of the damaged files that `python -m benchmarks.robustness` tries by the thousand."""

from __future__ import annotations

import random
from fractions import Fraction
from pathlib import Path

import pytest

from benchmarks import robustness
from facemodels import FaceAnalyzer, VideoError, analyze_video


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


def test_a_video_whose_aspect_ratio_makes_it_too_large(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / "wide.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 2600, 2000, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(9)
        container.mux(stream.encode(av.VideoFrame(2600, 2000, "yuv420p")))
        container.mux(stream.encode(None))
    with pytest.raises(VideoError, match="23400 x 2000 pixels are more than 40 megapixels"):
        list(analyze_video(path, FaceAnalyzer(["emotion"], detector=robustness.NoFaces())))
