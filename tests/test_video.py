"""Clips: every kind of file in, the drawn copy and the table out, and all that can be wrong with them."""

from __future__ import annotations

import base64
import csv
import io
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import GROUND, moving_face, write_clip
from PIL import Image

from facemodels import (
    Analysis,
    ArgumentError,
    Box,
    Classification,
    Estimate,
    Face,
    Timeline,
    VideoError,
    VideoFrame,
    analyze_video,
    video_info,
)
from facemodels.cli import main
from facemodels.cli.console import FAILED, INTERRUPTED, OK, WRONG
from facemodels.video.frames import VIDEO_COLUMNS

pytest.importorskip("av", reason="clips need PyAV: pip install -e '.[dev]'")
import av


class Finder:
    """Takes what stands out from the ground for a face, two of them if they lie apart; the left one is happier."""

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []
        self.keep = False

    def analyze(self, image: Any) -> Analysis:
        height, width = image.shape[:2]
        if self.keep:
            self.seen.append(image)
        # Blurred, since a GIF has few colours and mixes the others from dots.
        far = np.abs(cv2.blur(image, (5, 5)).astype(int) - GROUND).max(axis=2) > 50
        columns = np.flatnonzero(far.sum(axis=0) > 8)
        faces = []
        for group in np.split(columns, np.flatnonzero(np.diff(columns) > 12) + 1):
            if len(group) < 16:
                continue
            rows = np.flatnonzero(far[:, group].sum(axis=1) > 8)
            box = Box(float(group[0]), float(rows[0]), float(group[-1] + 1), float(rows[-1] + 1))
            happy = 1 - (box.x1 + box.x2) / 2 / width
            emotion = Classification.of({"happy": happy, "sad": 1 - happy})
            faces.append(Face(box, 0.9, emotion=emotion, age=Estimate(31.0, 5.0)))
        return Analysis(tuple(faces), width, height, {"emotion": "fake@1.0.0"})


@pytest.fixture(scope="session")
def face(astronaut: np.ndarray) -> np.ndarray:
    return astronaut[20:220, 150:310]


def decode(path: Path) -> tuple[list[float], list[np.ndarray]]:
    """Times and pixels of a clip's frames."""
    with av.open(str(path)) as container:
        frames = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    return [time for time, _ in frames], [pixels for _, pixels in frames]


KINDS: dict[str, dict[str, Any]] = {
    "clip.mp4": {"sound": "aac"},
    "clip.webm": {"codec": "libvpx", "sound": "libopus"},
    "clip.mov": {"sound": "pcm_s16le"},
    "clip.avi": {"codec": "mpeg4", "sound": "libmp3lame"},
    "clip.mkv": {"sound": "ac3"},
    "clip.ts": {"sound": "aac"},
    "clip.gif": {"codec": "gif", "colours": "rgb8", "rate": 10},
    "mute.mp4": {},
}
SOUNDS = {"aac": "aac", "libopus": "opus", "libmp3lame": "mp3float", "pcm_s16le": "aac", "ac3": "aac"}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_clip(name: str, face: np.ndarray, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / name, moving_face(face, 50), **KINDS[name])
    drawn, table = tmp_path / "drawn.mp4", tmp_path / "faces.csv"
    frames = list(analyze_video(clip, Finder(), annotated=drawn, csv=table))
    assert len(frames) == 50 and [frame.index for frame in frames] == list(range(50))
    assert all(len(frame.analysis) == 1 and frame.analysis.faces[0].track_id == 1 for frame in frames)
    assert frames[0].time == 0 and frames[-1].total == 50 and frames[-1].problem is None
    info = video_info(clip)
    assert (info.width, info.height, info.audio) == (320, 240, "sound" in KINDS[name])
    assert abs(info.frames - 50) <= 1 and info.rate == KINDS[name].get("rate", 25)

    # The copy plays in browsers, while it loads, and has the same frames at the same times and the sound.
    head = drawn.read_bytes()
    assert 0 < head.find(b"moov") < head.find(b"mdat")
    with av.open(str(drawn)) as container:
        video = container.streams.video[0]
        assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")
        sounds = {one.codec_context.name: float(one.duration * one.time_base) for one in container.streams.audio}
    sound = SOUNDS.get(KINDS[name].get("sound"))
    assert sounds == ({sound: pytest.approx(2, abs=0.1)} if sound else {})
    times, pictures = decode(drawn)
    assert np.allclose(times, [frame.time for frame in frames], atol=1e-4)
    # A box is drawn at the face in every one, and nothing far from it.
    for frame, picture, plain in zip(frames, pictures, decode(clip)[1], strict=True):
        box, changed = frame.analysis.faces[0].box, np.abs(picture.astype(int) - plain).max(axis=2) > 40
        left, top, bottom = round(box.x1), round(box.y1), round(box.y2)
        assert changed[top + 20 : bottom - 20, max(0, left - 2) : left + 3].any(axis=1).mean() > 0.9
        below = picture[200:].mean(axis=(0, 1)) - plain[200:].mean(axis=(0, 1))
        assert np.abs(below).max() < 6, "the colours changed, or something is drawn far from the face"

    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == VIDEO_COLUMNS and len(rows) == 50
    assert [int(row["analyzed"]) for row in rows] == [int(frame.analyzed) for frame in frames]
    assert (rows[7]["frame"], rows[7]["track_id"], rows[7]["emotion"], rows[7]["age"]) == ("7", "1", "happy", "31.0")
    assert float(rows[7]["x1"]) == pytest.approx(frames[7].analysis.faces[0].box.x1, abs=1e-3)


def test_boxes_follow_the_face_between_analyzed_frames(clip: Path) -> None:
    finder = Finder()
    frames = list(analyze_video(clip, finder, fps=5))
    assert [frame.index for frame in frames if frame.analyzed] == [*range(0, 50, 5), 49]
    truth = [20 + place * 200 // 49 for place in range(50)]
    lefts = [frame.analysis.faces[0].box.x1 for frame in frames]
    assert np.abs(np.subtract(lefts, truth)).max() < 8
    steps = np.diff(lefts)
    assert steps.min() > 1 and steps.max() < 8, "it jumps"
    # Every frame analyzed is every frame true.
    assert all(frame.analyzed for frame in analyze_video(clip, finder, fps=None))


def test_who_comes_and_goes_is_shown_in_the_nearer_half(face: np.ndarray, tmp_path: Path) -> None:
    empty = np.full((240, 320, 3), GROUND, np.uint8)
    there = next(moving_face(face, 1))
    clip = write_clip(tmp_path / "clip.mp4", [there] * 10 + [empty] * 20 + [there] * 11, rate=10)
    counts = [len(frame.analysis) for frame in analyze_video(clip, Finder(), fps=1)]
    assert counts == [1] * 5 + [0] * 20 + [1] * 16
    assert [frame.analyzed for frame in analyze_video(clip, Finder(), fps=1)].count(True) == 5


def test_a_varying_frame_rate_is_kept(face: np.ndarray, tmp_path: Path) -> None:
    gaps = [0.02, 0.3, 0.04, 0.04, 0.5, 0.02, 0.02, 0.9] * 5
    times = [round(time, 3) for time in itertools.accumulate(gaps, initial=0.0)]
    clip = write_clip(tmp_path / "clip.mkv", moving_face(face, len(times)), times=times)
    drawn = tmp_path / "drawn.mp4"
    frames = list(analyze_video(clip, Finder(), fps=2, annotated=drawn))
    assert np.allclose([frame.time for frame in frames], times, atol=1e-3)
    assert np.allclose(decode(drawn)[0], times, atol=2e-3)
    # The first frame of every half second is analyzed, and the last frame.
    halves = [int(time * 2 + 1e-3) for time in times]
    first = [place for place, half in enumerate(halves) if half != (halves[place - 1] if place else -1)]
    assert [frame.index for frame in frames if frame.analyzed] == sorted({*first, len(times) - 1})


@pytest.mark.parametrize("turned", [90, -90, 180])
def test_a_turned_clip_is_analyzed_and_drawn_upright(turned: int, face: np.ndarray, tmp_path: Path) -> None:
    upright = list(moving_face(face, 10))
    clip = write_clip(
        tmp_path / "clip.mp4", (np.rot90(picture, -turned // 90) for picture in upright), turned=turned, rate=10
    )
    assert video_info(clip).width == 320
    finder, drawn = Finder(), tmp_path / "drawn.mp4"
    finder.keep = True
    frames = list(analyze_video(clip, finder, fps=None, annotated=drawn))
    for seen, picture, frame in zip(finder.seen, upright, frames, strict=True):
        assert np.abs(seen.astype(int) - picture).mean() < 8
        assert abs(frame.analysis.faces[0].box.y1 - 60) < 4
    with av.open(str(drawn)) as container:
        picture = next(container.decode(video=0))
        assert (picture.width, picture.height, picture.rotation) == (320, 240, 0)


def test_odd_sizes_and_oblong_pixels(face: np.ndarray, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "odd.mkv", moving_face(face, 10, (321, 241)), codec="ffv1")
    list(analyze_video(clip, Finder(), annotated=tmp_path / "odd.mp4"))
    _, pictures = decode(tmp_path / "odd.mp4")
    assert len(pictures) == 10 and pictures[0].shape == (242, 322, 3)

    wide = tmp_path / "wide.mp4"
    with av.open(str(wide), "w") as container:
        video = container.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 160, 240, "yuv420p"
        video.codec_context.sample_aspect_ratio = Fraction(2, 1)
        for picture in moving_face(face, 10):
            narrow = np.asarray(Image.fromarray(picture).resize((160, 240)))
            container.mux(video.encode(av.VideoFrame.from_ndarray(narrow, format="rgb24")))
        container.mux(video.encode(None))
    frames = list(analyze_video(wide, Finder(), annotated=tmp_path / "square.mp4"))
    assert (frames[0].analysis.width, frames[0].analysis.height) == (320, 240)
    assert abs(frames[0].analysis.faces[0].box.width - 80) < 6
    assert decode(tmp_path / "square.mp4")[1][0].shape == (240, 320, 3)


def test_a_large_clip_is_drawn_smaller_on_request(face: np.ndarray, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", moving_face(face, 5))
    frames = list(analyze_video(clip, Finder(), annotated=tmp_path / "drawn.mp4", max_side=160))
    assert abs(frames[0].analysis.faces[0].box.width - 80) < 4  # the boxes stay in the clip's own pixels
    pictures = decode(tmp_path / "drawn.mp4")[1]
    assert pictures[0].shape == (120, 160, 3)
    assert pictures[0][40:70, 8:12, 0].max() > 180, "no box where the face is in the small one"


@pytest.mark.parametrize("size", [(320, 240), (1280, 720)])
def test_colours_stay(size: tuple[int, int], face: np.ndarray, tmp_path: Path) -> None:
    picture = np.zeros((size[1], size[0], 3), np.uint8)
    colours = [(200, 40, 40), (40, 200, 40), (40, 40, 200), (128, 128, 128)]
    for place, colour in enumerate(colours):
        picture[:, place * size[0] // 4 : (place + 1) * size[0] // 4] = colour

    class Nobody:
        def analyze(self, image: Any) -> Analysis:
            return Analysis((), image.shape[1], image.shape[0])

    # As cameras write it: HD in ITU 709, without saying so.
    clip = tmp_path / "clip.mp4"
    space = av.video.reformatter.Colorspace.ITU709 if size[1] >= 720 else av.video.reformatter.Colorspace.ITU601
    with av.open(str(clip), "w") as container:
        video = container.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        for _ in range(5):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p", dst_colorspace=space)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    list(analyze_video(clip, Nobody(), annotated=tmp_path / "drawn.mp4"))
    with av.open(str(tmp_path / "drawn.mp4")) as container:
        frame = next(container.decode(video=0))
        assert frame.colorspace == av.video.reformatter.Colorspace.ITU709  # it says what it is
        pixels = frame.reformat(format="rgb24", src_colorspace=frame.colorspace).to_ndarray().astype(int)
    for place, colour in enumerate(colours):
        middle = pixels[size[1] // 2, (2 * place + 1) * size[0] // 8]
        assert np.abs(middle - colour).max() < 8, f"{colour} became {middle}"


def test_no_face_is_an_answer(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", [np.full((120, 160, 3), GROUND, np.uint8)] * 20)
    timeline = Timeline()
    frames = list(analyze_video(clip, Finder(), csv=tmp_path / "faces.csv", timeline=timeline))
    assert len(frames) == 20 and all(len(frame.analysis) == 0 for frame in frames)
    assert (tmp_path / "faces.csv").read_text() == ",".join(VIDEO_COLUMNS) + "\n"
    assert timeline.people == [] and "No face was seen" in timeline.to_svg()


def test_a_frame_is_ready_for_json(clip: Path) -> None:
    with closing(analyze_video(clip, Finder())) as frames:
        answer = json.loads(json.dumps(next(frames).to_dict()))
    assert set(answer) == {"frame", "time", "analyzed", "faces"}
    assert (answer["frame"], answer["time"], answer["analyzed"], answer["faces"][0]["track_id"]) == (0, 0.0, True, 1)


# ---------------------------------------------------------------- cancel, memory


def test_a_cancelled_clip_leaves_nothing(clip: Path, tmp_path: Path) -> None:
    frames = analyze_video(clip, Finder(), annotated=tmp_path / "drawn.mp4", csv=tmp_path / "faces.csv")
    for frame in frames:
        if frame.index == 20:
            break
    assert not {"drawn.mp4", "faces.csv"} & {path.name for path in tmp_path.iterdir()}
    frames.close()
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_what_was_there(clip: Path, tmp_path: Path) -> None:
    class Tired(Finder):
        def analyze(self, image: Any) -> Analysis:
            if len(self.seen) == 3:
                raise RuntimeError("tired")
            self.seen.append(image)
            return super().analyze(image)

    (tmp_path / "faces.csv").write_text("of yesterday")
    with pytest.raises(RuntimeError, match="tired"):
        list(analyze_video(clip, Tired(), annotated=tmp_path / "drawn.mp4", csv=tmp_path / "faces.csv", overwrite=True))
    assert [path.name for path in tmp_path.iterdir()] == ["faces.csv"]
    assert (tmp_path / "faces.csv").read_text() == "of yesterday"


def memory() -> int:
    """What this process holds in memory, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="measures memory as Linux tells it")
def test_memory_does_not_grow_with_the_clip(face: np.ndarray, tmp_path: Path) -> None:
    """Ten minutes, with two people of whom the tracker makes new ones all the time."""
    pictures = list(moving_face(face, 100, (160, 160)))
    film = itertools.islice(itertools.cycle([*pictures, *pictures[::-1]]), 3000)
    clip = write_clip(tmp_path / "long.mp4", film, rate=5, codec="mpeg4", sound="aac")
    timeline, after_a_minute, most, count = Timeline(), 0, 0, 0
    work = analyze_video(
        clip, Finder(), fps=2, annotated=tmp_path / "drawn.mp4", csv=tmp_path / "faces.csv", timeline=timeline
    )
    for frame in work:
        count += 1
        if frame.index == 300:
            after_a_minute = memory()
        elif frame.index > 300 and frame.index % 50 == 0:
            most = max(most, memory())
    assert count == 3000 and timeline.seconds > 599
    # The allocators of the threads take a while to settle, whatever the length.
    assert most - after_a_minute < 40 * 2**20, f"{(most - after_a_minute) / 2**20:.0f} MB more than after a minute"
    with (tmp_path / "faces.csv").open() as file:
        assert sum(1 for _ in file) > 2900


# ---------------------------------------------------------------- what is wrong with a clip


def not_clips(photo: Path, folder: Path) -> Iterator[tuple[Path, str]]:
    def make(name: str, content: bytes) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    yield folder / "missing.mp4", "there is no such file"
    yield folder, "this is not a file but a directory"
    yield make("empty.mp4", b""), "0 bytes"
    yield make("notes.mp4", b"Not a clip, whatever its name says.\n" * 20), "this is not a video"
    yield make("photo.mp4", photo.read_bytes()), "this is not a video"
    yield make("list.mp4", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"), "this is not a video"
    yield make("concat.mp4", b"ffconcat version 1.0\nfile /etc/hostname\n"), "this is not a video"
    yield make("zeros.avi", b"RIFF\0\0\0\0AVI " + b"\0" * 3000), "damaged or incomplete"


def test_what_is_no_clip_is_refused(photo: Path, tmp_path: Path) -> None:
    for path, message in not_clips(photo, tmp_path):
        with pytest.raises(VideoError, match=re.escape(message)) as refused:
            analyze_video(path, Finder())
        assert str(path) in str(refused.value)
    with pytest.raises(VideoError, match="no such file"):
        analyze_video("https://example.org/clip.mp4", Finder())
    with pytest.raises(VideoError, match="path of a file, not bytes"):
        analyze_video(b"clip", Finder())  # type: ignore[arg-type]


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.m4a"
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=48_000, layout="mono")
        for place in range(40):
            piece = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            piece.sample_rate, piece.pts = 48_000, 1024 * place
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    with pytest.raises(VideoError, match="there is no video in it, only sound"):
        analyze_video(path, Finder())


def test_a_clip_without_a_frame(face: np.ndarray, tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "clip.webm", moving_face(face, 10), codec="libvpx").read_bytes()
    bare = tmp_path / "bare.webm"
    bare.write_bytes(whole[: whole.index(b"\x1f\x43\xb6\x75") + 60])  # the header, and a little of the first frame
    with pytest.raises(VideoError, match="not a single frame"):
        list(analyze_video(bare, Finder(), annotated=tmp_path / "drawn.mp4", csv=tmp_path / "faces.csv"))
    with pytest.raises(VideoError, match="not a single frame"):
        video_info(bare)
    assert not (tmp_path / "drawn.mp4").exists() and not (tmp_path / "faces.csv").exists()


def faststart(clip: Path, path: Path) -> Path:
    """The same clip with its index in front."""
    with av.open(str(clip)) as source, av.open(str(path), "w", options={"movflags": "faststart"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return path


@pytest.mark.parametrize("kind", ["mp4", "webm", "avi"])
def test_of_a_truncated_clip_what_was_read_is_kept(kind: str, face: np.ndarray, tmp_path: Path) -> None:
    codec = {"mp4": "libx264", "webm": "libvpx", "avi": "mpeg4"}[kind]
    whole = write_clip(tmp_path / f"whole.{kind}", moving_face(face, 150), codec=codec)
    if kind == "mp4":
        whole = faststart(whole, tmp_path / "front.mp4")
    data = whole.read_bytes()
    cut = tmp_path / f"cut.{kind}"
    cut.write_bytes(data[: len(data) // 2])
    frames = list(analyze_video(cut, Finder(), annotated=tmp_path / "drawn.mp4", csv=tmp_path / "faces.csv"))
    assert 20 < len(frames) < 140
    problem = frames[-1].problem
    assert problem and str(cut) in problem and ("incomplete" in problem or "damaged" in problem)
    assert all(frame.problem is None for frame in frames[:-1])
    assert len(decode(tmp_path / "drawn.mp4")[0]) == len(frames)
    assert len((tmp_path / "faces.csv").read_text().splitlines()) == len(frames) + 1


def test_an_mp4_that_broke_off_before_its_index(clip: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    with pytest.raises(VideoError, match=r"cut\.mp4: the video is damaged or incomplete \(a recording or download"):
        analyze_video(cut, Finder())


def test_a_damaged_clip_is_read_on(face: np.ndarray, tmp_path: Path) -> None:
    data = bytearray(write_clip(tmp_path / "clip.mp4", moving_face(face, 100)).read_bytes())
    middle = data.index(b"mdat") + 6000
    data[middle : middle + 500] = bytes(range(250)) * 2
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(data)
    frames = list(analyze_video(broken, Finder(), annotated=tmp_path / "drawn.mp4"))
    assert 50 <= len(frames) < 100 and frames[-1].time > 3.8
    assert "broken.mp4: the video is damaged" in frames[-1].problem
    assert len(decode(tmp_path / "drawn.mp4")[0]) == len(frames)


# ---------------------------------------------------------------- what is wrong with a call


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fps": 0}, "fps must be a number above 0"),
        ({"fps": -1.0}, "fps must be"),
        ({"fps": True}, "fps must be"),
        ({"fps": float("nan")}, "fps must be"),
        ({"fps": "5"}, "fps must be"),
        ({"max_side": 3}, "max_side must be a whole number from 16 up"),
        ({"annotated": "drawn.avi"}, "annotated must be the name of an .mp4 file"),
        ({"annotated": "nowhere/drawn.mp4"}, "there is no directory"),
        ({"csv": "."}, "that is a directory"),
        ({"csv": "same.mp4", "annotated": "same.mp4"}, "the same file"),
    ],
)
def test_wrong_arguments_are_refused_at_once(
    options: dict[str, Any], message: str, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArgumentError, match=re.escape(message)):
        analyze_video(clip, Finder(), **options)


def test_the_clip_itself_is_never_written_to(clip: Path, tmp_path: Path) -> None:
    own = tmp_path / "clip.mp4"
    own.write_bytes(clip.read_bytes())
    (tmp_path / "link.mp4").symlink_to(own)
    (tmp_path / "hard.mp4").hardlink_to(own)
    for target in (own, tmp_path / "link.mp4", tmp_path / "hard.mp4", tmp_path / "." / "clip.mp4"):
        for name in ("annotated", "csv"):
            with pytest.raises(ArgumentError, match="is the video itself"):
                analyze_video(own, Finder(), **{name: target})
    assert own.read_bytes() == clip.read_bytes()


def test_without_pyav_it_says_what_to_install(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(VideoError, match="pip install 'av"):
        analyze_video(clip, Finder())


FULL = """
import resource, signal, sys
sys.path[:0] = sys.argv[1:3]
from test_video import Finder
from facemodels import VideoError, analyze_video
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), int(sys.argv[4])))
try:
    list(analyze_video(sys.argv[3], Finder(), fps=None, **{sys.argv[5]: sys.argv[6]}))
except VideoError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files as Linux does")
@pytest.mark.parametrize(("option", "name", "room"), [("annotated", "drawn.mp4", 5000), ("csv", "faces.csv", 1000)])
def test_a_full_disk(option: str, name: str, room: int, clip: Path, tmp_path: Path) -> None:
    """Files may not grow beyond a limit, which a program meets as it meets a full disk."""
    places = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]
    command = [sys.executable, "-c", FULL, *places, str(clip), str(room), option, str(tmp_path / name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == f"cannot write {tmp_path / name}: File too large\n", done.stderr
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- the command line


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(scope="session")
def faces_clip(astronaut: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of a face that the bundled detector finds."""
    picture = Image.new("RGB", (320, 240), GROUND)
    picture.paste(Image.fromarray(astronaut[20:220, 150:310]), (60, 20))
    return write_clip(tmp_path_factory.mktemp("clips") / "face.mp4", [np.asarray(picture)] * 10, rate=10)


def test_analyze_tells_who_was_in_a_clip(faces_clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "other" / "face.mp4"
    copy.parent.mkdir()
    copy.write_bytes(faces_clip.read_bytes())
    drawn = tmp_path / "drawn"
    code, out, err = run(
        capsys, "analyze", str(faces_clip), str(copy), "--fps", "2", "--annotate", str(drawn), "--timeline", str(drawn)
    )
    assert (code, err) == (OK, "")
    lines = out.splitlines()
    assert lines[0] == f"{faces_clip}: 1 person in 0:01, 10 frames, 3 of them analyzed"
    assert re.match(r"  #1 from 0:00 to 0:01  happy >?\d+%  age \d+ ± \d+  (fe)?male >?\d+%  white", lines[1])
    assert len(lines) == 4
    assert sorted(path.name for path in drawn.iterdir()) == ["face-2.mp4", "face-2.svg", "face.mp4", "face.svg"]
    assert len(decode(drawn / "face.mp4")[0]) == 10
    assert "mostly happy" in (drawn / "face.svg").read_text()


def test_analyze_writes_a_clip_as_csv_or_json(faces_clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("analyze", str(faces_clip), "missing.mp4", "--attributes", "emotion", "--fps", "all")
    code, out, err = run(capsys, *arguments, "--csv")
    rows = list(csv.DictReader(out.splitlines()))
    assert code == FAILED and err == "facemodels: missing.mp4: there is no such file\n"
    assert len(rows) == 11 and rows[3]["frame"] == "3" and rows[3]["analyzed"] == "1" and rows[3]["emotion"] == "happy"
    assert rows[10]["source"] == "missing.mp4" and "no such file" in rows[10]["error"]
    code, out, _ = run(capsys, *arguments, "--json")
    whole, missing = json.loads(out)
    assert code == FAILED and (whole["width"], whole["error"], len(whole["frames"])) == (320, None, 10)
    assert whole["frames"][9]["faces"][0]["emotion"]["label"] == "happy"
    assert missing["frames"] == [] and "no such file" in missing["error"]


def test_a_clip_of_the_same_name_is_not_replaced(faces_clip: Path, tmp_path: Path, capsys: Any) -> None:
    for name in ("y.mov", "y.mp4"):
        (tmp_path / name).write_bytes(faces_clip.read_bytes())
    call = ("analyze", str(tmp_path / "y.mov"), "--annotate", str(tmp_path), "--attributes", "emotion")
    code, out, err = run(capsys, *call, "--json")
    assert (code, out) == (WRONG, "") and f"--annotate {tmp_path / 'y.mp4'}: this file exists already" in err
    assert (tmp_path / "y.mp4").read_bytes() == faces_clip.read_bytes()
    assert run(capsys, *call, "--overwrite")[0] == OK
    assert (tmp_path / "y.mov").read_bytes() == faces_clip.read_bytes() != (tmp_path / "y.mp4").read_bytes()
    plots = ("analyze", str(tmp_path / "y.mov"), "--timeline", str(tmp_path), "--attributes", "emotion")
    (tmp_path / "y.svg").write_text("mine")
    code, out, err = run(capsys, *plots)
    assert (code, out, (tmp_path / "y.svg").read_text()) == (WRONG, "", "mine") and "y.svg: this file exists" in err


def test_a_gif_is_a_clip_when_a_sampling_rate_is_given(face: np.ndarray, tmp_path: Path, capsys: Any) -> None:
    large = np.asarray(Image.fromarray(face).resize((160, 200)))
    still = np.full((240, 320, 3), GROUND, np.uint8)
    still[20:220, 60:220] = large
    gif = write_clip(tmp_path / "face.gif", [still] * 5, codec="gif", colours="rgb8", rate=10)
    assert "frames" not in run(capsys, "analyze", str(gif))[1]
    assert "5 frames" in run(capsys, "analyze", str(gif), "--fps", "5")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{photo}", "--fps", "2"], "are for videos"),
        (["{photo}", "--timeline", "plots"], "are for videos"),
        (["{clip}", "--annotate", "{folder}"], "one of the files to analyze"),
        (["{clip}", "--annotate", "{folder}", "--overwrite"], "one of the files to analyze"),
    ],
)
def test_wrong_calls_about_clips(
    arguments: list[str], message: str, faces_clip: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"clip": faces_clip, "photo": photo, "folder": faces_clip.parent}
    code, _, err = run(capsys, "analyze", *(argument.format(**places) for argument in arguments))
    assert code == WRONG and message in err and err.count("\n") == 1


def test_a_wrong_rate_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for rate in ("0", "-3", "often", "nan"):
        with pytest.raises(SystemExit) as stopped:
            main(["analyze", "clip.mp4", "--fps", rate])
        assert stopped.value.code == WRONG
        assert "must be a number above 0, or all" in capsys.readouterr().err


def test_an_incomplete_clip_is_reported_and_its_results_kept(
    face: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = write_clip(tmp_path / "whole.webm", moving_face(face, 100, (160, 160)), codec="libvpx").read_bytes()
    (tmp_path / "cut.webm").write_bytes(whole[: len(whole) // 2])
    code, out, err = run(capsys, "analyze", str(tmp_path / "cut.webm"), "--fps", "1", "--annotate", str(tmp_path / "d"))
    assert code == FAILED and "incomplete" in err and "cut.webm: " in out and (tmp_path / "d" / "cut.mp4").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="interrupts as Unix does")
def test_ctrl_c_leaves_no_half_file(face: np.ndarray, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "long.mp4", moving_face(face, 3000), codec="mpeg4")
    drawn = tmp_path / "drawn"
    command = [sys.executable, "-m", "facemodels", "analyze", str(clip), "--fps", "all", "--annotate", str(drawn)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while not (drawn.is_dir() and any(drawn.iterdir())) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED and err == "facemodels: interrupted\n"
    assert list(drawn.iterdir()) == []


def test_a_terminal_shows_how_far_it_is(faces_clip: Path) -> None:
    pty = pytest.importorskip("pty", reason="needs a Unix terminal")
    shown: list[bytes] = []

    def keep(descriptor: int) -> bytes:
        shown.append(os.read(descriptor, 65536))
        return shown[-1]

    command = f"stty rows 30 cols 100; {sys.executable} -m facemodels analyze {faces_clip} --attributes emotion"
    assert pty.spawn(["sh", "-c", command], keep) == OK
    text = b"".join(shown).decode()
    assert "10/10" in text and "1 person in" in text


# ---------------------------------------------------------------- the app's handler


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., list[Any]]:
    """Runs the video tab's handler on an upload to its end."""
    pytest.importorskip("gradio", reason="the app needs Gradio: pip install -e '.[app]'")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    from test_app import FakeAnalyzer, upload

    from facemodels.app import Limits
    from facemodels.app.handlers.video import analyze_clip

    def run(clip: Path | None, rate: Any = "5", attributes: Any = None, **limits: int) -> list[Any]:
        value = None if clip is None else upload(clip, "party.mp4")
        return list(analyze_clip(FakeAnalyzer(), Limits(**limits), value, rate, attributes))

    return run


def test_the_tab_tells_how_far_it_is_and_then_the_answer(
    watched: Callable[..., list[Any]], clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from facemodels.app.handlers import video

    monkeypatch.setattr(video, "REPORT_SECONDS", 0.0)
    *steps, (drawn, answer, table, after) = watched(clip, attributes=["emotion"])
    assert "Reading the clip" in steps[0][1] and "30 of 50 frames" in steps[30][1]
    assert all(step[0] is None and step[2] is None for step in steps)
    previews = [base64.b64decode(re.findall(r"base64,([^\"]+)", step[3])[0]) for step in steps[1:]]
    with Image.open(io.BytesIO(previews[-1])) as preview:
        pixels = np.asarray(preview.convert("RGB")).astype(int)
    assert pixels.shape[:2] == (240, 320) and after is None and previews[0] != previews[-1]
    yellow = (pixels[..., 0] - pixels[..., 2] > 80).sum()  # the box of a happy face and its label
    assert yellow > 200 and 'data-poster="data:image/jpeg;base64,' in answer
    assert len(decode(Path(drawn))[0]) == 50
    rows = list(csv.DictReader(Path(table).read_text().splitlines()))
    assert len(rows) == 50 and rows[0]["emotion"] == "happy" and rows[0]["age"] == ""
    assert "1 person" in answer and "party-faces.mp4" in answer and 'download="party.svg"' in answer


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": "50"}, "the sampling rate must be one of"),
        ({"rate": 5}, "the sampling rate must be one of"),
        ({"attributes": ["mood"]}, "attributes must be"),
        ({"attributes": []}, "Choose at least one attribute"),
        ({"clip_seconds": 1}, "party.mp4: Videos of more than 1 seconds are not accepted"),
        ({"clip_pixels": 76_000}, "have 320 × 240 pixels; at most 0 megapixels are read"),
    ],
)
def test_the_tab_refuses_kindly(
    watched: Callable[..., list[Any]], options: dict[str, Any], message: str, clip: Path, tmp_path: Path
) -> None:
    drawn, answer, table, preview = watched(clip, **options)[-1]
    assert drawn is table is preview is None and message in answer
    assert list((tmp_path / "gradio").glob("clip-*")) == []


def test_the_tab_without_a_clip_invites(watched: Callable[..., list[Any]]) -> None:
    assert watched(None) == [(None, None, None, None)]


def test_the_tab_tells_of_a_file_by_the_name_its_visitor_knows(
    watched: Callable[..., list[Any]], photo: Path, tmp_path: Path
) -> None:
    _, answer, *_ = watched(photo)[-1]
    assert "party.mp4: This is not a video" in answer and "Accepted" not in answer and str(tmp_path) not in answer


def test_frames_are_values() -> None:
    frame = VideoFrame(3, 0.125, Analysis((), 4, 4), True)
    assert frame == VideoFrame(3, 0.125, Analysis((), 4, 4), True) and list(frame.rows()) == []
