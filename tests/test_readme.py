"""The README does what it says."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from huggingface_hub import SpaceCard
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from benchmarks.tables import PAGES, with_tables
from facemodels import FaceAnalyzer
from facemodels.cli import main
from facemodels.hub.registry import get_spec

ROOT = Path(__file__).parent.parent
MODULES = ROOT / "node_modules"
REQUIREMENTS = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and line[0] != "#"]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
PYTHON = [code for language, code in BLOCKS if language == "python" and "gradio_client" not in code]
SHELL = [line for language, code in BLOCKS if language == "bash" for line in code.splitlines()]


@pytest.mark.parametrize("code", PYTHON, ids=lambda code: code.strip().splitlines()[0])
def test_python_blocks_run(code: str, photo: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photo.jpg").write_bytes(photo.read_bytes())
    (tmp_path / "clip.mp4").write_bytes(clip.read_bytes())
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    if "analyze_video" in code:
        assert [person.track_id for person in names["timeline"].people] == [1]  # type: ignore[attr-defined]
        assert (tmp_path / "drawn.mp4").is_file() and (tmp_path / "faces.csv").is_file()
    if "batch" in code:
        assert len(names["tracked"]) == 1 and names["drawn"].shape == names["image"].shape  # type: ignore[arg-type,attr-defined]


@pytest.fixture(scope="module")
def app_url() -> Iterator[str]:
    """The app with the bundled models."""
    pytest.importorskip("gradio", reason="the app needs Gradio: pip install -e '.[app]'")
    from test_app import serving

    with serving(FaceAnalyzer()) as url:
        yield url


def client_block(language: str, url: str) -> str:
    """The README's block of that language that calls the app, with this address in it."""
    (code,) = (code for kind, code in BLOCKS if kind == language and "http://127.0.0.1:7860" in code)
    return code.replace("http://127.0.0.1:7860", url.rstrip("/"))


def run_client(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout


def test_the_python_client_block_runs(
    app_url: str, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photo.jpg").write_bytes(photo.read_bytes())
    monkeypatch.chdir(tmp_path)
    exec(compile(client_block("python", app_url), "README.md", "exec"), {})
    assert capsys.readouterr().out.endswith("happy\n")


@pytest.mark.skipif(shutil.which("node") is None, reason="no node here: apt install nodejs")
@pytest.mark.skipif(
    not (MODULES / "@gradio" / "client").is_dir(),
    reason="no JavaScript client: npm install --no-save --no-package-lock @gradio/client@2",
)
def test_the_javascript_block_runs(app_url: str, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(photo.read_bytes())
    (tmp_path / "node_modules").symlink_to(MODULES)
    (tmp_path / "client.mjs").write_text(client_block("javascript", app_url), encoding="utf-8")
    assert run_client(["node", "client.mjs"], tmp_path) == "happy\n"


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here: apt install curl")
def test_the_curl_block_runs(app_url: str, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(photo.read_bytes())
    told = run_client(["sh", "-c", client_block("sh", app_url)], tmp_path)
    event, _, data = told.strip().partition("\ndata: ")
    [result] = json.loads(data)
    assert event == "event: complete" and result["faces"][0]["emotion"]["label"] == "happy"
    assert list(result["models"]) == ["emotion", "age"]


def test_command_lines_run(photo: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.mp4").write_bytes(clip.read_bytes())
    (tmp_path / "photos").mkdir()
    (tmp_path / "facemodels").symlink_to(ROOT / "facemodels")  # the lines are meant for the top of the project
    (tmp_path / "faces" / "happy").mkdir(parents=True)
    (tmp_path / "faces.csv").write_text("path,emotion,age,camera\nphoto.jpg,happy,41,old\n")
    for path in ("photo.jpg", "photos/one.jpg", "faces/happy/one.jpg"):
        (tmp_path / path).write_bytes(photo.read_bytes())
    lines = [line for line in SHELL if line.startswith("python -m facemodels ")]
    assert len(lines) >= 4
    for line in lines:
        words = shlex.split(line.partition("#")[0].partition(">")[0])
        assert main(words[3:]) == 0, line
    assert (tmp_path / "drawn" / "photo.jpg").is_file() and (tmp_path / "drawn" / "clip.mp4").is_file()
    assert (tmp_path / "report" / "report.md").is_file()


def test_the_two_commands_are_the_same_everywhere() -> None:
    app, test = (next(line for line in SHELL if line.endswith(end)) for end in ("python app.py", "-m pytest"))
    makefile = (ROOT / "Makefile").read_text().replace("$(PYTHON)", "python3")
    assert app in makefile and test in makefile
    assert test in (ROOT / ".ci" / "run").read_text()


def test_requirements_and_project_agree() -> None:
    """Every requirement is bounded on both sides, and has the same bounds wherever it stands."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and line[0] != "#"]
    listed = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    bounds: dict[str, set[str]] = {}
    for line in [*required, *listed]:
        name, bound = re.fullmatch(r"([\w-]+(?:\[[\w,]+\])?)(.*)", line).groups()  # type: ignore[union-attr]
        if not name.startswith("facemodels"):
            bounds.setdefault(name, set()).add(bound)
            assert "==" in bound or (">=" in bound and "<" in bound), line
    assert all(len(found) == 1 for found in bounds.values()), bounds
    for name in ("gradio", "tensorflow", "huggingface-hub", "opencv-python", "numpy", "pillow", "pytest"):
        assert any(line.startswith(f"{name}>=") for line in required), name
    assert {re.split("[<>=]", line)[0] for line in project["dependencies"]} <= {
        re.split("[<>=]", r)[0] for r in required
    }


def test_every_extra_that_is_named_exists() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    files = [*ROOT.glob("*.md"), ROOT / "training" / "README.md", *(ROOT / "facemodels").rglob("*.py")]
    named = {
        extra
        for file in files
        for found in re.findall(r"pip install (?:-e )?[\"']\.\[([a-z,]+)\]", file.read_text(encoding="utf-8"))
        for extra in found.split(",")
    }
    assert {"app", "batch", "heic"} <= named <= extras.keys()


def test_the_space_header() -> None:
    card = SpaceCard.load(ROOT / "README.md")
    data = card.data.to_dict()
    assert {
        *("title", "emoji", "colorFrom", "colorTo", "sdk", "sdk_version", "python_version", "app_file"),
        *("short_description", "license", "tags", "pinned", "suggested_hardware"),
    } <= set(data)
    assert data["sdk"] == "gradio" and (ROOT / data["app_file"]).is_file()
    assert {data["colorFrom"], data["colorTo"]} <= {
        *("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
    }
    assert len(data["emoji"]) == 1 and not data["emoji"].isascii()
    assert len(data["short_description"]) <= 60 and isinstance(data["pinned"], bool)
    # What a Space installs by itself, and what its app then finds, are within what is tested here.
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = {Requirement(line).name: Requirement(line) for line in REQUIREMENTS}
    assert data["sdk_version"] in required["gradio"].specifier
    assert data["python_version"] in SpecifierSet(project["requires-python"]) and isinstance(
        data["python_version"], str
    )
    assert data["suggested_hardware"] == "cpu-basic"
    # It names the models that it runs as soon as the hub has them; their weights come with it, so none is preloaded.
    published = {get_spec(model) for model in FaceAnalyzer().models.values() if get_spec(model).revision}
    assert set(data.get("models", [])) == {spec.repo_id for spec in published}
    assert "preload_from_hub" not in data and "datasets" not in data


WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
import numpy as np
import app
from facemodels import FaceAnalyzer
analyzer = FaceAnalyzer()
analyzer.warmup()
app.build_demo(analyzer)
assert analyzer.analyze(np.zeros((64, 64, 3), np.uint8)).error is None
"""


def test_the_requirements_are_enough_for_the_app() -> None:
    """The app works without any package that neither stands in requirements.txt nor is brought by one that does."""
    brought = closure(REQUIREMENTS)
    absent = {
        module
        for module, homes in packages_distributions().items()
        if not {canonicalize_name(home) for home in homes} & {*brought, "facemodels"}
    }
    assert {"playwright", "mypy", "skimage"} <= absent and not absent & {"gradio", "numpy", "huggingface_hub"}
    command = [sys.executable, "-c", f"absent = {absent!r}{WITHOUT}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def closure(requirements: list[str]) -> set[str]:
    """The canonical names of the distributions that pip would have installed for them."""
    found: set[tuple[str, str]] = set()
    open_ends = [(Requirement(line), "") for line in requirements]
    while open_ends:
        needed, extra = open_ends.pop()
        if needed.marker and not needed.marker.evaluate({"extra": extra}):
            continue
        for wanted in ("", *needed.extras):
            key = (canonicalize_name(needed.name), wanted)
            if key in found:
                continue
            found.add(key)
            try:
                further = requires(needed.name) or []
            except PackageNotFoundError:
                continue
            open_ends += [(Requirement(line), wanted) for line in further]
    return {name for name, _ in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_tables_are_up_to_date(page: Path) -> None:
    assert with_tables(page) == page.read_text(encoding="utf-8"), "run: python -m benchmarks.tables"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
