"""What visitors upload is deleted: by age, at the end, and after a crash."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from facemodels.app import uploads
from facemodels.app.uploads import UploadFolder, touch
from facemodels.errors import ArgumentError

ROOT = Path(__file__).parent.parent


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What whoever starts the app named in the environment."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    return tmp_path / "uploads"


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"]


def wait_until(done: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_it_is_a_folder_of_this_process_that_nobody_else_reads_and_that_goes_at_the_end(base: Path) -> None:
    with UploadFolder() as folder:
        assert os.environ["GRADIO_TEMP_DIR"] == str(folder.path) and folder.path.is_relative_to(base)
        assert folder.path.stat().st_mode & 0o077 == 0 and folder.path.parent.stat().st_mode & 0o077 == 0
        assert folder.oldest() is None
        (folder.path / "ab").mkdir()
        (folder.path / "ab" / "photo.jpg").write_bytes(b"1")
        assert 0 <= folder.oldest() < 5
    assert list(base.iterdir()) == [] and os.environ["GRADIO_TEMP_DIR"] == str(base)


def test_files_of_others_in_the_same_folder_stay(base: Path) -> None:
    base.mkdir()
    (base / "theirs.txt").write_text("x")
    with UploadFolder(keep=0) as folder:
        folder.sweep()
    assert (base / "theirs.txt").exists()


def test_what_is_old_goes_and_empty_folders_with_it(base: Path) -> None:
    with UploadFolder(keep=1) as folder:
        for name in ("used", "spared", "old"):
            (folder.path / name).mkdir()
            (folder.path / name / "photo.jpg").write_bytes(b"1")
            os.utime(folder.path / name / "photo.jpg", (2e9, 2e9))  # what a file says of itself does not count
        folder.spare([folder.path / "spared" / "photo.jpg"])
        for _ in range(30):
            touch(folder.path / "used" / "photo.jpg")
            time.sleep(0.1)
        assert sorted(path.parent.name for path in files(folder.path)) == ["spared", "used"]
        assert not (folder.path / "old").exists() and folder.oldest() < 1


@pytest.mark.slow
def test_at_full_speed_nothing_gets_older_than_promised(base: Path) -> None:
    with UploadFolder(keep=2) as folder:
        oldest, end, count = 0.0, time.monotonic() + 5, 0
        while time.monotonic() < end:
            for _ in range(50):
                count += 1
                (folder.path / f"{count:x}").mkdir()
                (folder.path / f"{count:x}" / "photo.jpg").write_bytes(b"1")
            oldest = max(oldest, folder.oldest() or 0)
        assert count > 1000 and oldest < 4  # a busy machine is late, not forgetful
        wait_until(lambda: not any(folder.path.iterdir()))


def test_a_sweep_that_fails_is_not_the_last(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with UploadFolder(keep=0.5) as folder:
        sweep, failed = folder.sweep, threading.Event()

        def fail_once() -> None:
            if not failed.is_set():
                failed.set()
                raise PermissionError("not now")
            sweep()

        monkeypatch.setattr(folder, "sweep", fail_once)
        (folder.path / "photo.jpg").write_bytes(b"1")
        time.sleep(2)
        assert failed.is_set() and files(folder.path) == []


@pytest.mark.slow
def test_a_clip_stays_while_it_is_analyzed(base: Path, clip: Path) -> None:
    pytest.importorskip("gradio", reason="the app needs Gradio: pip install -e '.[app]'")
    from test_app import FakeAnalyzer

    from facemodels.app import Limits
    from facemodels.app.handlers.video import analyze_clip

    class Slow(FakeAnalyzer):
        def analyze(self, image: Any, **options: Any) -> Any:
            time.sleep(0.1)
            return super().analyze(image, **options)

    with UploadFolder(keep=1.5) as folder:
        copy = folder.path / "clip.mp4"
        copy.write_bytes(clip.read_bytes())
        *_, (drawn, _, table, _) = analyze_clip(Slow(), Limits(), {"path": str(copy)}, "all", ["age"])
        assert copy.exists() and Path(drawn).stat().st_size and Path(table).stat().st_size
        time.sleep(2)
        assert files(folder.path) == []


HOLD = """
import sys, time
from facemodels.app.uploads import UploadFolder
with UploadFolder() as folder:
    (folder.path / "photo.jpg").write_bytes(b"1")
    print(folder.path, flush=True)
    time.sleep(60)
"""


def test_what_a_killed_process_left_goes_at_the_next_start_and_what_a_living_one_has_stays(base: Path) -> None:
    living, killed = (
        subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(2)
    )
    try:
        kept, left = (Path(process.stdout.readline().strip()) for process in (living, killed))
        killed.kill()
        killed.wait()
        assert left.exists()
        with UploadFolder():
            assert not left.exists() and files(kept)
    finally:
        living.kill()
        living.communicate()
        killed.communicate()


@pytest.mark.skipif(os.name != "posix" or os.getuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_refused(base: Path) -> None:
    base.mkdir(mode=0o500)
    with pytest.raises(ArgumentError, match="Permission denied. Set GRADIO_TEMP_DIR to another folder"):
        UploadFolder().__enter__()


def test_a_folder_that_cannot_be_is_refused(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base.write_text("a file")
    with pytest.raises(ArgumentError, match="Set GRADIO_TEMP_DIR to another folder"):
        UploadFolder().__enter__()
    monkeypatch.delenv("GRADIO_TEMP_DIR")
    monkeypatch.setattr(uploads.tempfile, "gettempdir", lambda: str(base))
    with pytest.raises(ArgumentError, match="Set TMPDIR, or GRADIO_TEMP_DIR for uploads alone to"):
        UploadFolder().__enter__()


@pytest.mark.skipif(os.name != "posix", reason="who owns a folder is a matter of POSIX")
def test_somebody_elses_folder_is_refused(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base.mkdir()
    (base / f"facemodels-{os.getuid()}").symlink_to(base)
    with pytest.raises(ArgumentError, match="belongs to somebody else"):
        UploadFolder().__enter__()
    (base / f"facemodels-{os.getuid()}").unlink()
    real = os.getuid()
    monkeypatch.setattr(uploads.os, "getuid", lambda: real + 1)
    (base / f"facemodels-{real + 1}").mkdir()
    with pytest.raises(ArgumentError, match="belongs to somebody else"):
        UploadFolder().__enter__()


def test_a_full_disk_is_refused_before_the_start(base: Path) -> None:
    with pytest.raises(ArgumentError, match=r"MB are free, and an upload may take \d+. Set GRADIO_TEMP_DIR"):
        UploadFolder(room=2**60).__enter__()
    assert files(base) == []


SERVE = """
import sys
from facemodels.app import main, server
from test_app import FakeAnalyzer
class Analyzer(FakeAnalyzer):
    def __init__(self, **options): super().__init__()
    def warmup(self, attributes): pass
class Short(server.UploadFolder):
    def __init__(self, **options): super().__init__(keep=6, **options)
server.FaceAnalyzer, server.UploadFolder = Analyzer, Short
main(sys.argv[1:])
"""


def test_the_app_deletes_uploads_by_age_after_a_kill_and_at_the_end(base: Path, photo: Path) -> None:
    pytest.importorskip("gradio", reason="the app needs Gradio: pip install -e '.[app]'")
    from gradio_client import Client, handle_file
    from test_app import free_port, wait_for

    def serve() -> tuple[subprocess.Popen[str], str]:
        port = free_port()
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, "--port", str(port)], cwd=ROOT, env=environment, text=True
        )
        wait_for(f"http://127.0.0.1:{port}/health", process)
        return process, f"http://127.0.0.1:{port}/"

    def health(url: str) -> float | None:
        with urllib.request.urlopen(f"{url}health", timeout=10) as answer:
            return json.load(answer)["oldest_upload_seconds"]

    process, url = serve()
    try:
        assert health(url) is None
        client = Client(url, verbose=False)
        end = time.monotonic() + 8
        while time.monotonic() < end:
            assert client.predict(handle_file(photo), api_name="/analyze")["faces"]
            assert files(base) and health(url) < 8
        wait_until(lambda: files(base) == [])
        assert health(url) is None
        client.predict(handle_file(photo), api_name="/analyze")
        process.kill()
        process.wait(timeout=20)
        assert files(base)
        process, url = serve()
        assert files(base) == []
        Client(url, verbose=False).predict(handle_file(photo), api_name="/analyze")
        assert files(base)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0 and files(base) == [] and not list(base.glob("facemodels-*"))
    finally:
        process.kill()
        process.wait(timeout=20)
