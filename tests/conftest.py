"""What several tests need: a free picture of a face, detectors and models that cost nothing, and the data folder."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facemodels import Box, Face


@pytest.hookimpl(tryfirst=True)  # before tests are left out by their markers
def pytest_configure() -> None:
    """Let child processes be interrupted where the tests run in a shell's background, which ignores SIGINT."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "release" in getattr(item, "fixturenames", ()):  # it trains
            item.add_marker(pytest.mark.slow)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if terminalreporter.config.option.markexpr == "not slow":
        terminalreporter.write_line("the slow tests were left out; run them with: python -m pytest -m slow")


class FixedDetector:
    """A detector that always finds the boxes it was made with."""

    name = "fixed"

    def __init__(self, *boxes: Box) -> None:
        self.boxes = boxes

    def detect(self, image: np.ndarray, min_score: float = 0.6) -> list[Face]:
        height, width = image.shape[:2]
        return [Face(box.clip(width, height), 0.9) for box in self.boxes]


@pytest.fixture(scope="session")
def astronaut() -> np.ndarray:
    """A photo of one smiling woman, 512x512 RGB, free to use (NASA)."""
    data = pytest.importorskip("skimage.data", reason="scikit-image brings the test photo: pip install -e '.[dev]'")
    return data.astronaut()


@pytest.fixture(scope="session")
def photo(astronaut: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The astronaut as a JPEG file."""
    path = tmp_path_factory.mktemp("photos") / "astronaut.jpg"
    Image.fromarray(astronaut).save(path, quality=95)
    return path


GROUND = (90, 120, 90)  # what is behind the face in a clip


def write_clip(
    path: Path,
    pictures: Iterable[np.ndarray],
    *,
    rate: int = 25,
    codec: str = "libx264",
    colours: str = "yuv420p",
    times: Sequence[float] | None = None,
    last: float | None = None,
    sound: str | None = None,
    sound_seconds: float | None = None,
    turned: int = 0,
    matrix: Sequence[int] | None = None,
    format: str | None = None,
) -> Path:
    """Write pictures, all of one size, as a clip.

    Args:
        path: Of the clip; its suffix decides the container.
        pictures: ``(H, W, 3)`` RGB uint8.
        rate: Pictures per second.
        codec: FFmpeg's name of the encoder.
        colours: FFmpeg's name of the pixel format.
        times: When each picture is shown, in seconds, instead of `rate`.
        last: How long the last picture stands, in seconds, instead of as long as the others.
        sound: Encoder for a tone, or none.
        sound_seconds: Length of the tone, instead of that of the pictures.
        turned: Counter-clockwise degrees by which a player shall turn it.
        matrix: The display matrix that a player shall apply, nine numbers.
        format: FFmpeg's name of the container, where the suffix does not tell.
    """
    av = pytest.importorskip("av", reason="clips need PyAV: pip install -e '.[dev]'")
    ticks = Fraction(1, 1000)
    with av.open(str(path), "w", format=format) as container:
        video, audio, end = None, None, 0.0
        held: list[av.Packet] = []  # the last packet, until it is known to be the last
        for place, picture in enumerate(pictures):
            if video is None:
                video = container.add_stream(codec, rate=rate)
                video.height, video.width = picture.shape[:2]
                video.pix_fmt = colours
                if codec == "libvpx":
                    video.options = {"deadline": "realtime", "cpu-used": "8"}
                if times is not None:
                    video.codec_context.time_base = ticks
                if last is not None:
                    video.codec_context.max_b_frames = 0  # the last packet is the last picture
                if turned:
                    video.set_display_rotation(turned)
                if matrix is not None:
                    video.set_display_matrix(matrix)
                if sound:
                    audio = container.add_stream(sound, rate=48_000, layout="stereo")
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            end = place / rate
            if times is not None:
                end = times[place]
                frame.pts, frame.time_base = round(end / ticks), ticks
            for packet in video.encode(frame):
                container.mux(held)
                held = [packet]
        if audio is not None:
            seconds = sound_seconds or end + 1 / rate
            tone = 0.2 * np.sin(np.arange(int(48_000 * seconds)) * 2 * np.pi * 440 / 48_000)
            wave = av.AudioFrame.from_ndarray(np.stack([tone, tone]).astype(np.float32), format="fltp", layout="stereo")
            wave.sample_rate, wave.pts, wave.time_base = 48_000, 0, Fraction(1, 48_000)
            context = audio.codec_context
            fit = av.AudioResampler(context.format.name, "stereo", 48_000, context.frame_size or 1024)
            for piece in [*fit.resample(wave), *fit.resample(None)]:
                container.mux(audio.encode(piece))
            container.mux(audio.encode(None))
        if video is not None:
            *others, final = [*held, *video.encode(None)]
            if last is not None:
                final.duration = round(last / final.time_base)
            container.mux([*others, final])
    return path


def moving_face(face: np.ndarray, count: int, size: tuple[int, int] = (320, 240)) -> Iterator[np.ndarray]:
    """Pictures of a face that moves once across a plain ground, 80 by 100 pixels, from column 20 on, at row 60."""
    small = Image.fromarray(face).resize((80, 100))
    for place in range(count):
        picture = Image.new("RGB", size, GROUND)
        picture.paste(small, (20 + place * (size[0] - 120) // max(count - 1, 1), 60))
        yield np.asarray(picture)


@pytest.fixture(scope="session")
def clip(astronaut: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of `moving_face` at 25 frames a second, an MP4 file with sound."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    return write_clip(path, moving_face(astronaut[20:220, 150:310], 50), sound="aac")


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of the real data sets."""
    folder = os.environ.get("FACEMODELS_DATA")
    if not folder:
        pytest.skip("FACEMODELS_DATA is not set: this test needs the data sets")
    return Path(folder)


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release folder of a tiny emotion model, trained for seconds on drawn faces and exported, as a user would."""
    pytest.importorskip("tensorflow", reason="training needs TensorFlow: pip install -e '.[dev]'")
    from training.config import load_config
    from training.release.export import export
    from training.train import smoke, train

    run = tmp_path_factory.mktemp("run")
    train(smoke(load_config("emotion-efficientnet")), ".", run)
    folder = tmp_path_factory.mktemp("release") / "emotion-efficientnet"
    export(run, folder, ".")
    return folder
