"""Copies of videos in which nobody is recognized."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import GROUND, moving_face, write_clip
from PIL import Image

from facemodels import ArgumentError, Box, Face, VideoError, anonymize_video
from facemodels.cli import main
from facemodels.privacy import MIN_SCORE
from facemodels.video.anonymize import BRIDGED, HELD, hidden_frames
from facemodels.video.samples import Sample

av = pytest.importorskip("av", reason="clips need PyAV: pip install -e '.[dev]'")


class Forgetful:
    """Finds what stands out from the ground, except in some frames."""

    min_score = 0.6

    def __init__(self, missed: range = range(0)) -> None:
        self.missed = missed
        self.count = 0
        self.asked: dict[str, Any] = {}

    def using(self, **settings: Any) -> Forgetful:
        self.asked = settings
        return self

    def detect(self, image: Any, /) -> list[Face]:
        self.count += 1
        if self.count - 1 in self.missed:
            return []
        rows, columns = np.nonzero(np.abs(image.astype(int) - GROUND).max(axis=2) > 60)
        return [Face(Box(*(float(side) for side in (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))))]


def decode(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def detail(frame: np.ndarray, box: Box) -> float:
    """How much fine detail is in a part of a frame."""
    x1, y1, x2, y2 = (int(side) for side in (box.x1 + 8, box.y1 + 8, box.x2 - 8, box.y2 - 8))
    grey = cv2.cvtColor(np.ascontiguousarray(frame[y1:y2, x1:x2]), cv2.COLOR_RGB2GRAY)
    return float(np.abs(cv2.Laplacian(grey, cv2.CV_32F)).mean())


def test_a_face_that_is_missed_for_a_while_stays_hidden(clip: Path, tmp_path: Path) -> None:
    target = tmp_path / "hidden.mp4"
    finder = Forgetful(missed=range(20, 32))
    frames = list(anonymize_video(clip, target, finder))
    assert finder.asked["min_score"] == MIN_SCORE and finder.asked["max_faces"] > 10**6
    assert [frame.index for frame in frames] == list(range(50)) and frames[-1].total == 50
    assert all(len(frame.analysis) == 1 for frame in frames)
    for before, after in zip(decode(clip), decode(target), strict=True):
        (face,) = Forgetful().detect(before)
        assert detail(after, face.box) < 0.4 * detail(before, face.box)
        assert np.abs(after[:40].astype(int) - before[:40]).max() < 12  # the rest is as it was


def test_the_copy_has_the_sound_and_the_length_but_no_metadata(astronaut: np.ndarray, tmp_path: Path) -> None:
    plain = write_clip(tmp_path / "plain.mp4", moving_face(astronaut[20:220, 150:310], 25), sound="aac")
    tagged = tmp_path / "tagged.mp4"
    with av.open(str(plain)) as source, av.open(str(tagged), "w") as made:
        made.metadata.update(title="Zebra party", location="+52.5200+013.4050/", comment="Zebra")
        streams = {stream: made.add_stream_from_template(stream) for stream in source.streams}
        for stream in streams.values():
            stream.metadata.update(language="deu", handler_name="Zebra camera")
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream]
                made.mux(packet)
    assert b"Zebra" in tagged.read_bytes()
    for sound in (True, False):
        target = tmp_path / f"{sound}.mp4"
        assert len(list(anonymize_video(tagged, target, Forgetful(), sound=sound))) == 25
        assert b"Zebra" not in target.read_bytes()
        with av.open(str(tagged)) as before, av.open(str(target)) as after:
            assert [stream.type for stream in after.streams] == ["video", "audio"][: 1 + sound]
            assert float(after.duration) == pytest.approx(float(before.duration), abs=50_000)
            assert not {"title", "location", "comment"} & after.metadata.keys()
            assert all(stream.metadata.get("language") in (None, "und") for stream in after.streams)


def test_no_input_and_no_other_file_is_replaced(clip: Path, tmp_path: Path) -> None:
    before, taken = clip.read_bytes(), tmp_path / "taken.mp4"
    taken.write_bytes(b"mine")
    for target, match in ((clip, "is the video itself"), (taken, "exists already"), (tmp_path / "x.avi", "an .mp4")):
        with pytest.raises(ArgumentError, match=match):
            anonymize_video(clip, target, Forgetful(), overwrite=target == clip)
    with pytest.raises(ArgumentError, match="how must be one of"):
        anonymize_video(clip, tmp_path / "x.mp4", Forgetful(), how="hat")
    with pytest.raises(VideoError):
        anonymize_video(taken, tmp_path / "x.mp4", Forgetful())
    with closing(anonymize_video(clip, tmp_path / "x.mp4", Forgetful())) as work:
        next(work)
    assert clip.read_bytes() == before and taken.read_bytes() == b"mine" and [*tmp_path.iterdir()] == [taken]


class Scripted:
    """Finds the faces that it was told, frame after frame."""

    min_score = 0.6

    def __init__(self, found: list[list[Box]]) -> None:
        self.found: Iterator[list[Box]] = iter(found)

    def using(self, **settings: Any) -> Scripted:
        return self

    def detect(self, image: Any, /) -> list[Face]:
        return [Face(box) for box in next(self.found)]


def hidden(seen: list[list[Box]], cut: int | None = None, rate: int = 10) -> list[tuple[Face, ...]]:
    pixels = np.zeros((100, 200, 3), np.uint8)
    samples = [
        Sample(index, index / rate, pixels, (), index == cut, len(seen), None, None) for index in range(len(seen))
    ]
    return [frame.analysis.faces for frame in hidden_frames(samples, Scripted(seen), rate)]


def test_a_gap_is_bridged_along_the_way_and_its_ends_are_held() -> None:
    left, right = Box(10, 10, 50, 50), Box(40, 10, 80, 50)
    seen: list[list[Box]] = [[] for _ in range(60)]
    seen[20], seen[30] = [left], [right]
    faces = hidden(seen)
    held = round(HELD * 10)
    assert [bool(found) for found in faces] == [20 - held <= index <= 30 + held for index in range(60)]
    assert faces[25][0].box.centre == (45, 30)
    # The longer it was not seen, the farther it may be.
    assert 40 < faces[21][0].box.width < faces[25][0].box.width > faces[29][0].box.width > 40
    apart = [[left] if index in (0, round(BRIDGED * 10) + 15) else [] for index in range(60)]
    assert not hidden(apart)[18]


def test_nobody_is_hidden_in_another_scene() -> None:
    box = Box(10, 10, 50, 50)
    seen = [[box] if index < 10 else [] for index in range(20)]
    assert [len(faces) for faces in hidden(seen, cut=10)] == [1] * 10 + [0] * 10
    seen = [[] if index < 10 else [box] for index in range(20)]
    assert [len(faces) for faces in hidden(seen, cut=10)] == [0] * 10 + [1] * 10


def test_the_command_hides_turned_and_partly_covered_faces(astronaut: np.ndarray, tmp_path: Path) -> None:
    image = np.asarray(Image.fromarray(astronaut).resize((256, 256)))
    covered = image.copy()
    covered[75:100, 85:145] = 90  # mouth and chin
    pictures = [image, np.rot90(image), np.rot90(image, 2), covered]
    boxes = [Box(90, 30, 136, 86), Box(30, 120, 86, 166), Box(120, 170, 166, 226), Box(90, 30, 136, 75)]
    clip = write_clip(tmp_path / "clip.mp4", pictures, rate=5)
    before = clip.read_bytes()
    out = tmp_path / "out"
    assert main(["analyze", str(clip), "--anonymize", str(out), "--attributes", "gender"]) == 0
    (copy,) = out.iterdir()
    assert copy.name == "clip.mp4" and clip.read_bytes() == before
    for old, new, box in zip(pictures, decode(copy), boxes, strict=True):
        assert detail(new, box) < 0.3 * detail(old, box)
