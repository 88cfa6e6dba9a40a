"""Videos as a player shows them: turned and mirrored, trimmed, with natural colours, as long as they are, and cuts."""

from __future__ import annotations

import itertools
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import GROUND, moving_face, write_clip
from PIL import Image

from facemodels import Analysis, Box, Face, Timeline, VideoFrame, analyze_video, video_info
from facemodels.sources import Sources
from facemodels.video import reading
from facemodels.video.containers import is_video
from facemodels.video.cuts import HEIGHT, WIDTH, mark_cuts

pytest.importorskip("av", reason="videos need PyAV: pip install -e '.[dev]'")
import av

pytestmark = pytest.mark.slow


class Recorder:
    """Finds one face in the middle, and keeps what it was shown."""

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def analyze(self, image: Any) -> Analysis:
        self.seen.append(image)
        height, width = image.shape[:2]
        return Analysis((Face(Box(width / 4, height / 4, width * 3 / 4, height * 3 / 4)),), width, height)


@pytest.fixture(scope="session")
def face(astronaut: np.ndarray) -> np.ndarray:
    return astronaut[20:220, 150:310]


@pytest.fixture(scope="session")
def scene(astronaut: np.ndarray) -> np.ndarray:
    """A picture without any symmetry, 160 x 120."""
    return np.asarray(Image.fromarray(astronaut[:384]).resize((160, 120)))


def lengths(path: Path) -> dict[str, float]:
    """When the streams of a file end, in seconds, and the file."""
    with av.open(str(path)) as container:
        ends = {
            stream.type: float(((stream.start_time or 0) + stream.duration) * stream.time_base)
            for stream in container.streams
            if stream.duration
        }
        return {**ends, "file": container.duration / av.time_base}


def analyzed(path: Path, folder: Path, **options: Any) -> tuple[list[VideoFrame], Path]:
    """All frames, after the checks that hold for every whole video, and the drawn copy."""
    drawn = folder / "drawn.mp4"
    frames = list(analyze_video(path, Recorder(), annotated=drawn, overwrite=True, **options))
    assert frames[-1].problem is None
    assert {frame.total for frame in frames} == {len(frames)}, "progress does not count what is visible"
    with av.open(str(drawn)) as container:
        assert [frame.time for frame in container.decode(video=0)] == pytest.approx(
            [frame.time for frame in frames], abs=2e-3
        )
    return frames, drawn


# ---------------------------------------------------------------- turned and mirrored

ONE = 1 << 16
# The eight display matrices, a b c d each, and what a player does with the picture.
MATRICES: dict[str, tuple[tuple[int, int, int, int], Any]] = {
    "as it is": ((1, 0, 0, 1), lambda image: image),
    "mirrored": ((-1, 0, 0, 1), lambda image: image[:, ::-1]),
    "upside down, mirrored": ((1, 0, 0, -1), lambda image: image[::-1]),
    "upside down": ((-1, 0, 0, -1), lambda image: image[::-1, ::-1]),
    "turned clockwise": ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
    "turned counter-clockwise": ((0, -1, 1, 0), lambda image: np.rot90(image, 1)),
    "transposed": ((0, 1, 1, 0), lambda image: image.swapaxes(0, 1)),
    "transposed the other way": ((0, -1, -1, 0), lambda image: np.rot90(image, 2).swapaxes(0, 1)),
}


def write_turned(path: Path, scene: np.ndarray, signs: Sequence[int]) -> Path:
    a, b, c, d = (ONE * sign for sign in signs)
    return write_clip(path, [scene] * 3, rate=10, matrix=(a, b, 0, c, d, 0, 0, 0, 1 << 30))


@pytest.mark.parametrize("name", MATRICES)
def test_the_whole_display_matrix_counts(name: str, scene: np.ndarray, tmp_path: Path) -> None:
    signs, show = MATRICES[name]
    path = write_turned(tmp_path / "clip.mp4", scene, signs)
    shown = show(scene)
    recorder, drawn = Recorder(), tmp_path / "drawn.mp4"
    list(analyze_video(path, recorder, fps=None, annotated=drawn))
    assert recorder.seen[0].shape == shown.shape
    assert np.abs(recorder.seen[0].astype(int) - shown).mean() < 8
    info = video_info(path)
    assert (info.width, info.height) == (shown.shape[1], shown.shape[0])
    # The copy is upright by itself.
    with av.open(str(drawn)) as container:
        frame = next(container.decode(video=0))
    assert frame.side_data.get("DISPLAYMATRIX") is None
    edge = frame.to_ndarray(format="rgb24")[:20].astype(int) - shown[:20]
    assert np.abs(edge).mean() < 12


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="compares with FFmpeg's own frames")
@pytest.mark.parametrize("name", MATRICES)
def test_a_turned_frame_is_ffmpegs_own(name: str, scene: np.ndarray, tmp_path: Path) -> None:
    path = write_turned(tmp_path / "clip.mp4", scene, MATRICES[name][0])
    command = ["ffmpeg", "-v", "error", "-i", path, "-frames:v", "1", tmp_path / "frame.png"]
    subprocess.run(command, check=True, timeout=60)
    recorder = Recorder()
    list(analyze_video(path, recorder))
    theirs = np.asarray(Image.open(tmp_path / "frame.png").convert("RGB")).astype(int)
    assert recorder.seen[0].shape == theirs.shape and np.abs(recorder.seen[0] - theirs).mean() < 3


# ---------------------------------------------------------------- lengths


def trim(path: Path, start: float, seconds: float) -> Path:
    """An MP4 file whose edit list shows a part of it, as trimming without encoding writes it."""
    data = path.read_bytes()
    where = data.index(b"elst")
    version, count = data[where + 4], int.from_bytes(data[where + 8 : where + 12], "big")
    assert (version, count) == (0, 1)
    with av.open(str(path)) as container:
        ticks = container.streams.video[0].time_base
    _, old, rate = struct.unpack(">IiI", data[where + 12 : where + 24])
    edit = struct.pack(">IiI", round(seconds * 1000), old + round(start / ticks), rate)
    path.write_bytes(data[: where + 12] + edit + data[where + 24 :])
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_an_edit_list_hides_frames(suffix: str, face: np.ndarray, tmp_path: Path) -> None:
    whole = write_clip(tmp_path / f"clip.{suffix}", moving_face(face, 50), rate=10)
    path = trim(whole, 2.4, 1.5)
    frames, drawn = analyzed(path, tmp_path)
    assert 12 <= len(frames) <= 16 and frames[0].time == 0
    assert video_info(path).frames == len(frames)
    assert lengths(drawn)["file"] == pytest.approx(1.5, abs=0.11)


VARIABLE = {
    "clip.mp4": {},
    "clip.mov": {},
    "clip.mkv": {},
    "clip.webm": {"codec": "libvpx"},
    "clip.gif": {"codec": "gif", "colours": "rgb8"},
}


@pytest.mark.parametrize("name", VARIABLE)
def test_a_last_frame_that_stands_for_seconds(name: str, face: np.ndarray, tmp_path: Path) -> None:
    times = [place / 10 for place in range(15)]
    options: dict[str, Any] = VARIABLE[name]
    path = write_clip(tmp_path / name, moving_face(face, 15, (160, 160)), times=times, last=6.0, **options)
    timeline = Timeline()
    frames, drawn = analyzed(path, tmp_path, timeline=timeline)
    assert len(frames) == 15 and frames[-1].time == pytest.approx(1.4, abs=0.01)
    assert lengths(path)["file"] == pytest.approx(7.4, abs=0.11), "not the clip that is meant"
    assert lengths(drawn)["video"] == pytest.approx(lengths(path)["file"], abs=0.02)
    assert timeline.seconds == pytest.approx(lengths(path)["file"], abs=0.02)


def test_empty_packets_are_no_missing_frames(face: np.ndarray, tmp_path: Path) -> None:
    """AVI knows no times: a gap is filled with packets that hold nothing."""
    times = [*(place / 10 for place in range(10)), *(5 + place / 10 for place in range(10))]
    path = write_clip(tmp_path / "gap.avi", moving_face(face, 20), times=times, codec="mpeg4", rate=10)
    frames, drawn = analyzed(path, tmp_path)
    assert len(frames) == 20 and frames[10].time == pytest.approx(5, abs=0.1)
    assert lengths(drawn)["video"] == pytest.approx(6, abs=0.12)


SOUND_LONGER = {
    "clip.mp4": {"sound": "aac"},
    "clip.mov": {"sound": "pcm_s16le"},
    "clip.mkv": {"sound": "ac3"},
    "clip.webm": {"codec": "libvpx", "sound": "libopus"},
    "clip.avi": {"codec": "mpeg4", "sound": "libmp3lame"},
    "clip.ts": {"sound": "aac"},
    "clip.flv": {"sound": "aac"},
    "clip.wmv": {"codec": "wmv2", "sound": "libmp3lame"},
}


@pytest.mark.parametrize("name", SOUND_LONGER)
def test_sound_longer_than_the_picture(name: str, face: np.ndarray, tmp_path: Path) -> None:
    options: dict[str, Any] = SOUND_LONGER[name]
    path = write_clip(tmp_path / name, moving_face(face, 30, (160, 160)), sound_seconds=9.0, **options)
    frames, drawn = analyzed(path, tmp_path)
    assert len(frames) == 30 and frames[-1].time < 2
    assert lengths(drawn)["audio"] == pytest.approx(9, abs=0.15)
    assert video_info(path).seconds == pytest.approx(9, abs=0.15)


def test_hidden_frames_of_vp8_are_not_counted(face: np.ndarray, tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.webm", moving_face(face, 50, (160, 160)), codec="libvpx")
    path = tmp_path / "clip.webm"
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(video=0)):
            if packet.dts is None:
                continue
            if number % 10 == 5:
                data = bytes(packet)
                hidden = av.Packet(bytes([data[0] & ~0x10]) + data[1:])
                hidden.pts = hidden.dts = packet.pts - 1
                hidden.time_base, hidden.stream = packet.time_base, stream
                target.mux(hidden)
            packet.stream = stream
            target.mux(packet)
    assert len(analyzed(path, tmp_path)[0]) == 50


def test_a_picture_that_comes_after_the_sound_comes_after_it_in_the_copy(face: np.ndarray, tmp_path: Path) -> None:
    times = [2 + place / 10 for place in range(10)]
    path = write_clip(tmp_path / "late.mkv", moving_face(face, 10), times=times, sound="aac", sound_seconds=4)
    frames, drawn = analyzed(path, tmp_path)
    assert frames[0].time == pytest.approx(2, abs=0.05)
    assert lengths(drawn)["audio"] == pytest.approx(4, abs=0.1)


def test_progress_never_counts_more_than_there_are(
    face: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames of a very large file are estimated, which may be too few."""
    monkeypatch.setattr(reading, "COUNT_UP_TO", 0)
    times = [place / 25 for place in range(40)]
    path = write_clip(tmp_path / "clip.mkv", moving_face(face, 40, (160, 160)), times=times, rate=5)
    monkeypatch.setattr(reading.Reader, "rate", property(lambda _: 10.0, lambda *_: None), raising=False)
    frames = list(analyze_video(path, Recorder(), fps=2))
    estimate = video_info(path).frames
    assert estimate is not None and estimate < 30 and len(frames) == 40
    assert all(frame.total is not None and frame.total > frame.index for frame in frames)
    assert frames[0].total == estimate and frames[-1].total == 40


@pytest.mark.parametrize("suffix", ["mkv", "webm", "avi", "gif", "wmv", "ogv", "flv"])
@pytest.mark.parametrize("fraction", [0.5, 0.95])
def test_what_is_really_cut_short_is_said(suffix: str, fraction: float, face: np.ndarray, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "webm": {"codec": "libvpx"},
        "gif": {"codec": "gif", "colours": "rgb8"},
        "wmv": {"codec": "wmv2"},
        "ogv": {"codec": "libtheora"},
        "flv": {"codec": "flv"},
    }.get(suffix, {"codec": "mpeg4"})
    try:
        path = write_clip(tmp_path / f"clip.{suffix}", moving_face(face, 100), **options)
    except (av.error.FFmpegError, ValueError) as error:
        pytest.skip(f"this PyAV cannot write it: {error}")
    if suffix == "flv" and fraction > 0.9:
        pytest.skip("FLV does not say where it ends: the last second may be missing unnoticed")
    data = path.read_bytes()
    path.write_bytes(data[: round(len(data) * fraction)])
    frames = list(analyze_video(path, Recorder()))
    assert 10 < len(frames) < 100 or suffix == "avi"
    assert frames[-1].problem and "incomplete" in frames[-1].problem


def test_a_download_that_reserved_its_room_is_incomplete(face: np.ndarray, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mkv", moving_face(face, 300), sound="aac")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))
    problem = list(analyze_video(path, Recorder()))[-1].problem
    assert problem and "incomplete" in problem


# ---------------------------------------------------------------- colours

PATCHES = [(200, 40, 40), (40, 160, 40), (40, 40, 200), (224, 172, 140), (120, 75, 55), (128, 128, 128), (30, 30, 30)]


def hdr(colours: np.ndarray, transfer: int) -> np.ndarray:
    """Colours of an ordinary display as the 16-bit signal of HLG (18) or PQ (16) in BT.2020, or of BT.2020 alone.

    Written down from ITU-R BT.2087, BT.2100 and BT.2408, apart from the code under test.
    """
    light = (colours / 255) ** 2.4
    to_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
    light = light @ to_2020.T
    if transfer == 16:
        power = (light * 203 / 10_000) ** 0.1593017578125
        signal = ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    elif transfer == 18:
        display = light * 203 / 1000
        luminance = display @ np.array([0.2627, 0.6780, 0.0593])
        scene = display * np.maximum(luminance, 1e-9)[..., None] ** (1 / 1.2 - 1)
        high = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
        signal = np.where(scene <= 1 / 12, np.sqrt(3 * scene), high)
    else:
        signal = light ** (1 / 2.4)
    return np.rint(np.clip(signal, 0, 1) * 65535).astype(np.uint16)


def write_hdr(
    path: Path,
    transfer: int,
    *,
    patches: Sequence[tuple[float, float, float]] = PATCHES,
    codec: str = "libx265",
    full: bool = False,
    matrix: int = 9,
) -> Path:
    image = np.zeros((120, 40 * len(patches), 3))
    for place, colour in enumerate(patches):
        image[:, 40 * place : 40 * place + 40] = colour
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=10)
        video.height, video.width, video.pix_fmt = *image.shape[:2], "yuv420p10le"
        if codec == "libx265":
            video.options = {"x265-params": "log-level=none"}
        context = video.codec_context
        context.color_primaries, context.color_trc, context.colorspace = 9, transfer, matrix
        context.color_range = 2 if full else 1
        frame = av.VideoFrame.from_ndarray(hdr(image, transfer), format="rgb48le")
        for place in range(5):
            ready = frame.reformat(
                format="yuv420p10le", dst_colorspace=9, src_color_range=2, dst_color_range=2 if full else 1
            )
            ready.pts = place
            ready.color_primaries, ready.color_trc, ready.colorspace = 9, transfer, matrix
            container.mux(video.encode(ready))
        container.mux(video.encode(None))
    return path


@pytest.mark.parametrize("full", [False, True], ids=["limited range", "full range"])
@pytest.mark.parametrize(("name", "transfer"), [("HLG", 18), ("PQ", 16), ("BT.2020", 14)])
def test_colours_are_natural(name: str, transfer: int, full: bool, tmp_path: Path) -> None:
    path = write_hdr(tmp_path / "clip.mp4", transfer, full=full)
    recorder, drawn = Recorder(), tmp_path / "drawn.mp4"
    frames = list(analyze_video(path, recorder, annotated=drawn))
    assert frames[-1].problem is None
    with av.open(str(drawn)) as container:
        frame = next(container.decode(video=0))
        copy = frame.reformat(format="rgb24", src_colorspace=frame.colorspace).to_ndarray()
    for place, colour in enumerate(PATCHES):
        for image in (recorder.seen[0], copy):
            found = image[10, 40 * place + 20].astype(int)
            assert np.abs(found - colour).max() <= 14, f"{name}: {colour} became {found}"


def test_light_brighter_than_white_keeps_its_shades(tmp_path: Path) -> None:
    greys = [255 * power ** (1 / 2.4) for power in (0.5, 0.9, 1.3, 1.8, 2.4, 3.2, 4.5)]  # 4.9 is 1,000 cd/m²
    for transfer in (16, 18):
        path = write_hdr(tmp_path / f"{transfer}.mp4", transfer, patches=[(grey, grey, grey) for grey in greys])
        recorder = Recorder()
        list(analyze_video(path, recorder))
        shades = [int(recorder.seen[0][10, 40 * place + 20, 1]) for place in range(len(greys))]
        assert (np.diff(shades) >= 1).all() and 240 < shades[-1] <= 255, shades


def test_colours_that_cannot_be_converted_are_said(tmp_path: Path) -> None:
    path = write_hdr(tmp_path / "clip.mp4", 16, codec="libx264", matrix=14)  # ICtCp
    frames = list(analyze_video(path, Recorder()))
    assert len(frames) == 5 and "colours that cannot be converted" in (frames[-1].problem or "")


def test_without_the_filter_that_converts_colours_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(av.filter, "filters_available", {"scale"})
    frames = list(analyze_video(write_hdr(tmp_path / "clip.mp4", 18), Recorder()))
    assert len(frames) == 5 and "colours that cannot be converted" in (frames[-1].problem or "")


# ---------------------------------------------------------------- cuts


def portrait(astronaut: np.ndarray, person: int) -> np.ndarray:
    """A person before a grey wall, always at the same place."""
    top, left, mirrored = ((20, 150, False), (60, 130, True))[person]
    image = Image.new("RGB", (320, 240), GROUND)
    head = Image.fromarray(astronaut[top : top + 200, left : left + 160])
    if mirrored:
        head = Image.fromarray(255 - np.asarray(head)[::-1, ::-1])
    image.paste(head.resize((140, 180)), (90, 40))
    return np.asarray(image)


class Head:
    """Finds the head of `portrait` wherever the ground ends."""

    def analyze(self, image: Any) -> Analysis:
        far = np.abs(image.astype(int) - GROUND).max(axis=2) > 40
        rows, columns = np.flatnonzero(far.mean(axis=1) > 0.1), np.flatnonzero(far.mean(axis=0) > 0.1)
        height, width = image.shape[:2]
        if not len(rows) or not len(columns):
            return Analysis((), width, height)
        return Analysis((Face(Box(columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)),), width, height)


def ids(path: Path, **options: Any) -> list[int | None]:
    """The id in each frame."""
    return [next((face.track_id for face in frame.analysis), None) for frame in analyze_video(path, Head(), **options)]


@pytest.mark.parametrize("at", [7, 10, 13, 19])
@pytest.mark.parametrize("fps", [2, 5, None])
def test_a_cut_ends_all_tracks(at: int, fps: float | None, astronaut: np.ndarray, tmp_path: Path) -> None:
    one, other = portrait(astronaut, 0), portrait(astronaut, 1)
    path = write_clip(tmp_path / "clip.mp4", [one] * at + [other] * (20 - at), rate=10)
    assert ids(path, fps=fps) == [1] * at + [2] * (20 - at)


def test_a_black_frame_between_two_people_is_a_cut_too(astronaut: np.ndarray, tmp_path: Path) -> None:
    black = np.zeros((240, 320, 3), np.uint8)
    pictures = [portrait(astronaut, 0)] * 10 + [black] * 2 + [portrait(astronaut, 1)] * 10
    found = ids(write_clip(tmp_path / "clip.mp4", pictures, rate=10))
    assert found[:10] == [1] * 10 and set(found[12:]) == {max(one for one in found[12:] if one)} and 1 not in found[12:]


def grey(image: np.ndarray) -> np.ndarray:
    return cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)


def shots(image: np.ndarray) -> Iterator[tuple[str, list[np.ndarray]]]:
    """What is no cut, however much of the picture changes."""
    height, width = image.shape[:2]

    def moved(x: float = 0, y: float = 0, zoom: float = 1, turn: float = 0) -> np.ndarray:
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), turn, zoom)
        matrix[:, 2] += (x * width, y * width)
        return cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)

    random = np.random.default_rng(1)
    noise = [np.clip(image + random.normal(0, 12, image.shape), 0, 255).astype(np.uint8) for _ in range(8)]
    white, black = np.full_like(image, 245), np.zeros_like(image)
    yield "still", [image] * 8
    yield "noise", noise
    yield "pan", [moved(x=0.06 * step) for step in range(8)]
    yield "shake", [moved(x=0.04 * (step % 2), y=0.03 * (step % 3)) for step in range(8)]
    yield "zoom", [moved(zoom=1.08**step) for step in range(8)]
    yield "turn", [moved(turn=5 * step) for step in range(8)]
    yield "flash", [image, image, white, image, image]
    yield "dropout", [image, image, black, black, image, image]
    yield "damaged frame", [image, image, image[::-1, ::-1], image, image]
    yield "lamp", [image, image, (image * 0.6).astype(np.uint8), (image * 0.6).astype(np.uint8)]
    yield "fade", [(image * (1 - step / 8)).astype(np.uint8) for step in range(8)]


def test_motion_and_light_are_no_cuts(astronaut: np.ndarray) -> None:
    for name, frames in shots(astronaut):
        marks = [is_cut for _, is_cut in mark_cuts((None, grey(frame)) for frame in frames)]
        assert len(marks) == len(frames) and not any(marks), f"{name}: {marks}"


def test_who_comes_or_goes_at_once_is_no_cut(astronaut: np.ndarray) -> None:
    alone = portrait(astronaut, 0)
    both = np.concatenate([alone, portrait(astronaut, 1)], axis=1)
    alone = np.concatenate([alone, np.full_like(alone, GROUND)], axis=1)
    marks = [is_cut for _, is_cut in mark_cuts((None, grey(frame)) for frame in [alone, alone, both, both, alone])]
    assert not any(marks), marks


@pytest.mark.parametrize("wall", ["plain", "textured"])
def test_a_person_takes_the_place_of_another_before_the_same_wall(wall: str, astronaut: np.ndarray) -> None:
    random = np.random.default_rng(0)
    ground = cv2.resize(random.integers(60, 200, (18, 32, 3), np.uint8), (640, 360), interpolation=cv2.INTER_NEAREST)
    scenes = []
    for person in (0, 1):
        scene = ground.copy() if wall == "textured" else np.full_like(ground, GROUND)
        scene[120:360, 240:420] = cv2.resize(portrait(astronaut, person)[40:220, 90:230], (180, 240))
        scenes.append(grey(scene))
    marks = [is_cut for _, is_cut in mark_cuts((None, scene) for scene in [scenes[0]] * 4 + [scenes[1]] * 4)]
    assert [place for place, is_cut in enumerate(marks) if is_cut] == [4]


def test_cuts_are_found_while_all_moves(astronaut: np.ndarray) -> None:
    pans = [[frame for _, frames in itertools.islice(shots(image), 2, 3) for frame in frames] for image in (
        astronaut, np.ascontiguousarray(255 - astronaut[::-1])
    )]  # fmt: skip
    marks = [is_cut for _, is_cut in mark_cuts((None, grey(frame)) for frame in [*pans[0], *pans[1]])]
    assert [place for place, is_cut in enumerate(marks) if is_cut] == [8]


# ---------------------------------------------------------------- names and kinds

KINDS = {
    "00001.MTS": {"format": "mpegts", "sound": "aac"},
    "00002.m2ts": {"format": "mpegts"},
    "VTS_01_1.VOB": {"format": "vob", "codec": "mpeg2video"},
    "clip.mpg": {"codec": "mpeg1video"},
    "clip.3gp": {"codec": "h263", "size": (176, 144)},
    "clip.ogv": {"codec": "libtheora"},
    "clip.wmv": {"codec": "wmv2"},
    "clip.flv": {"codec": "flv"},
    "clip.mkv": {},
    "no suffix": {"format": "mp4"},
    "photo.jpg": {"format": "matroska"},
}


@pytest.mark.parametrize("name", KINDS)
def test_content_tells_a_video_and_not_its_name(name: str, face: np.ndarray, tmp_path: Path) -> None:
    options: dict[str, Any] = dict(KINDS[name])
    pictures = moving_face(face, 20, options.pop("size", (320, 240)))
    try:
        path = write_clip(tmp_path / name, pictures, **options)
    except (av.error.FFmpegError, ValueError) as error:
        pytest.skip(f"this PyAV cannot write it: {error}")
    assert is_video(path) and is_video(str(path))
    frames = list(analyze_video(path, Recorder()))
    assert len(frames) == 20 and frames[-1].problem is None


def test_what_is_no_video(photo: Path, face: np.ndarray, tmp_path: Path) -> None:
    def make(name: str, content: bytes) -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    gif = write_clip(tmp_path / "clip.gif", moving_face(face, 3), codec="gif", colours="rgb8", rate=10)
    no_videos = [
        *(photo, gif, tmp_path, tmp_path / "missing.mp4", Path("null\0.mp4"), Path(__file__)),
        make("empty.mp4", b""),
        make("photo.mp4", photo.read_bytes()),
        make("photo.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"),
        make("raw.cr3", b"\0\0\0\x18ftypcrx \0\0\0\1crx isom"),
        make("song.m4a", b"\0\0\0\x1cftypM4A \0\0\0\0M4A mp42isom"),
        make("song.ogg", b"OggS\0\2" + bytes(22) + b"\1\x1eOpusHead"),
        make("letters.ts", b"G" * 187 + b"\n"),
        make("waves.wav", b"RIFF\0\0\0\0WAVEfmt "),
    ]
    assert [path for path in no_videos if is_video(path)] == []


def test_a_folder_is_searched_for_videos_by_content(face: np.ndarray, tmp_path: Path) -> None:
    video = write_clip(tmp_path / "stream.ts", moving_face(face, 20)).read_bytes()
    (tmp_path / "no suffix").write_bytes(video)
    (tmp_path / "movie.dat").write_bytes(video)
    (tmp_path / "program.ts").write_text("const first: number = 1;\n" * 100)
    (tmp_path / "go.mod").write_text("module example.org/first\n")
    (tmp_path / "notes").write_text("no video")
    sources = Sources([str(tmp_path)])
    assert {(Path(path).name, kind) for path, kind in sources} == {
        *(("stream.ts", True), ("no suffix", True), ("movie.dat", True))
    }
    assert sources.left_out_text() == "1 .mod, 1 without a suffix, 1 .ts"


def test_long_names_and_names_that_are_no_utf8(face: np.ndarray, tmp_path: Path) -> None:
    video = write_clip(tmp_path / "clip.mp4", moving_face(face, 5))
    names = ["é" * 125 + "x.mp4"]  # 255 bytes, as many as file systems take
    if sys.platform == "linux":
        names.append(os.fsdecode(b"caf\xe9.mp4"))
    for name in names:
        folder = tmp_path / name[:3]
        folder.mkdir()
        path, drawn, table = tmp_path / name, folder / name, folder / f"{name[:-4]}.csv"
        path.write_bytes(video.read_bytes())
        assert is_video(path)
        frames = list(analyze_video(path, Recorder(), annotated=drawn, csv=table))
        assert len(frames) == 5 and sorted(folder.iterdir()) == sorted([drawn, table])
