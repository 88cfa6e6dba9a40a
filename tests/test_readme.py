"""The README does what it says."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

from benchmarks.tables import with_table
from facemodels import FaceAnalyzer
from facemodels.cli import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
PYTHON = [code for language, code in BLOCKS if language == "python" and "gradio_client" not in code]
SHELL = [line for language, code in BLOCKS if language == "bash" for line in code.splitlines()]


@pytest.mark.parametrize("code", PYTHON, ids=lambda code: code.strip().splitlines()[0])
def test_python_blocks_run(code: str, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photo.jpg").write_bytes(photo.read_bytes())
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    if "batch" in code:
        assert len(names["tracked"]) == 1 and names["drawn"].shape == names["image"].shape  # type: ignore[arg-type,attr-defined]


def test_the_client_block_runs(photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gradio", reason="the app needs Gradio: pip install -e '.[app]'")
    from test_app import serving

    (code,) = (code for language, code in BLOCKS if language == "python" and "gradio_client" in code)
    (tmp_path / "photo.jpg").write_bytes(photo.read_bytes())
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    with serving(FaceAnalyzer()) as url:
        exec(compile(code.replace("http://127.0.0.1:7860", url), "README.md", "exec"), names)
    assert names["result"]["faces"][0]["emotion"]["label"] == "happy"


def test_command_lines_run(photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "facemodels").symlink_to(ROOT / "facemodels")  # the lines are meant for the top of the project
    for path in ("photo.jpg", "photos/one.jpg"):
        (tmp_path / path).write_bytes(photo.read_bytes())
    lines = [line for line in SHELL if line.startswith("python -m facemodels ")]
    assert len(lines) >= 4
    for line in lines:
        words = shlex.split(line.partition("#")[0].partition(">")[0])
        assert main(words[3:]) == 0, line
    assert (tmp_path / "drawn" / "photo.jpg").is_file()


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


def test_the_space_header() -> None:
    from huggingface_hub import RepoCard

    data = RepoCard.load(ROOT / "README.md", repo_type="space").data.to_dict()
    assert data["sdk"] == "gradio" and (ROOT / data["app_file"]).is_file()
    assert re.fullmatch(r"3\.\d+", data["python_version"])
    assert len(data["short_description"]) <= 60
    assert data["sdk_version"].startswith("6.")
    assert {"title", "emoji", "colorFrom", "colorTo", "license"} <= set(data)


def test_the_table_of_models_is_up_to_date() -> None:
    assert with_table(README) == README, "run: python -m benchmarks.tables"


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", README):
        assert (ROOT / target).exists(), target
