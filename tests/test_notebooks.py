"""Every notebook runs top to bottom, and leaves what it says."""

from __future__ import annotations

import ast
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="notebooks need pip install -e '.[dev]'")
pytest.importorskip("nbclient", reason="notebooks need pip install -e '.[dev]'")
pytest.importorskip("tensorflow", reason="training needs TensorFlow: pip install -e '.[dev]'")

from nbformat import NotebookNode  # noqa: E402

from facemodels import FaceAnalyzer  # noqa: E402
from training.notebooks import render  # noqa: E402

pytestmark = pytest.mark.slow

NAMES = ("Age_Prediction_Model", "Emotion_Prediction_Model", "Emotion_Recognition_Model")
NAMES += ("Ethnicity_Prediction_Model", "Gender_Prediction_Model")


def code(notebook: Path) -> list[str]:
    cells = nbformat.read(notebook, as_version=4).cells
    return [cell.source for cell in cells if cell.cell_type == "code"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notebooks")


@pytest.fixture(scope="module")
def executed(folder: Path) -> dict[str, NotebookNode]:
    """All of them run, two at a time: most of a kernel's time goes into starting it."""

    def run(name: str) -> NotebookNode:
        (folder / name).mkdir()
        return render.execute(render.FOLDER / f"{name}.ipynb", folder / name)

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(NAMES, pool.map(run, NAMES), strict=True))


def text_of(node: NotebookNode) -> str:
    return "".join(output.get("text", "") for cell in node.cells for output in cell.get("outputs", ()))


def pictures_of(node: NotebookNode) -> int:
    return sum("image/png" in output.get("data", ()) for cell in node.cells for output in cell.get("outputs", ()))


def test_these_notebooks_are_here() -> None:
    assert tuple(notebook.stem for notebook in render.notebooks()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_stored_without_outputs_and_without_logic(name: str) -> None:
    node = nbformat.read(render.FOLDER / f"{name}.ipynb", as_version=4)
    nbformat.validate(node)
    assert all(not cell.outputs and cell.execution_count is None for cell in node.cells if cell.cell_type == "code")
    for source in code(render.FOLDER / f"{name}.ipynb"):
        tree = ast.parse(re.sub(r"^%.*", "", source))
        kinds = {type(part) for part in ast.walk(tree)}
        assert not kinds & {ast.FunctionDef, ast.ClassDef, ast.While, ast.Try, ast.Lambda}, source
        assert len(source.splitlines()) <= 16, source


@pytest.mark.parametrize("name", [name for name in NAMES if "Prediction" in name])
def test_a_model_is_made_and_used(name: str, executed: dict[str, NotebookNode], folder: Path) -> None:
    node = executed[name]
    attribute = name.partition("_")[0].lower()
    (release,) = (folder / name).glob("runs/*/release/*")
    analyzer = FaceAnalyzer([attribute], models={attribute: release}, detector=None)
    assert analyzer.models == {attribute: f"{attribute}-notebook@{analyzer.models[attribute].partition('@')[2]}"}
    assert pictures_of(node) == 5  # the data, what the network sees, the course, the evaluation, the faces read
    said = text_of(node)
    assert "model.tflite" in said and "160 faces to learn from" in said
    if attribute == "age":
        assert 0 < float(re.search(r"([\d.]+) years off on average", said)[1]) < 30  # type: ignore[index]
        assert len(re.findall(r"\d+ ± \d+, truly \d+", said)) == 6
    else:
        # Hair and skin are easy to see in drawn faces; for the rest the run is too short.
        least = {"emotion": 0, "gender": 80, "ethnicity": 30}[attribute]
        assert least <= float(re.search(r"([\d.]+)% of 160 right", said)[1]) <= 100  # type: ignore[index]


def test_new_pictures_are_read(executed: dict[str, NotebookNode]) -> None:
    node = executed["Emotion_Recognition_Model"]
    said = text_of(node)
    assert pictures_of(node) == 3
    assert re.search(r"3 \{1: '\w+', 2: '\w+', 3: '\w+', 4: '\w+'\}", said)  # four faces keep their ids
    assert "# faces.csv: 2 faces" in str(node.cells[-1].outputs)


@pytest.mark.parametrize("name", NAMES)
def test_the_rendered_copy_is_of_this_notebook(name: str) -> None:
    text = (render.RENDERED / f"{name}.md").read_text()
    assert re.findall(r"```python\n(.*?)\n```", text, re.DOTALL) == code(render.FOLDER / f"{name}.ipynb"), (
        f"run: python -m training.notebooks.render {name}"
    )
    links = re.findall(r"!\[\w+\]\((.*?)\)", text)
    assert len(links) >= 3 and all((render.RENDERED / link).is_file() for link in links)
    files = list((render.RENDERED / name).iterdir())
    assert len(files) == len(links) and sum(path.stat().st_size for path in files) < 400_000
    assert "Traceback" not in text and "/tmp/" not in text


def test_a_cell_that_fails_is_named(tmp_path: Path) -> None:
    from nbclient.exceptions import CellExecutionError

    node = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")])
    nbformat.write(node, tmp_path / "bad.ipynb")
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        render.execute(tmp_path / "bad.ipynb", tmp_path)


def test_the_command_names_what_it_knows(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        render.main(["Mood"])
    assert "no notebook Mood; known: Age_Prediction_Model" in capsys.readouterr().err
