"""The house rules that can be checked: arrows, import cost, quiet, public names."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import facemodels

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "facemodels"

# Each module may import those of earlier rows, and what its own row names after the colon.
LAYERS = (
    {"types", "errors"},
    {"images", "crops", "registry", "litert", "metrics", "tables"},
    {"hub", "tracking", "drawing", "explain", "timeline", "labels", "libfacedetection"},
    {"models", "detectors", "video"},
    {"golden"},
    {"analyzer", "publish", "clips"},
    {"evaluation"},
    {"report"},
    {"cli"},
    {"__main__"},
)
LAYER_OF = {module: number for number, layer in enumerate(LAYERS) for module in layer}
STANDARD_LIBRARY_ONLY = {"types", "errors", "registry"}
KERAS_ALLOWED = {"models"}


def imports(path: Path, *, top_level: bool = False) -> set[str]:
    """Full names of what a file imports (at the top of the module, or anywhere)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()
    nodes = tree.body if top_level else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


MODULES = sorted(path for path in PACKAGE.glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_arrows_point_left_only(path: Path) -> None:
    assert path.stem in LAYER_OF, f"facemodels/{path.name} has no place in LAYERS"
    for name in imports(path):
        parts = name.split(".")
        assert parts[0] not in ("training", "gradio", "app", "benchmarks", "tests"), name
        if parts[0] == "facemodels" and len(parts) > 1 and parts[1] in LAYER_OF and parts[1] != path.stem:
            assert LAYER_OF[parts[1]] < LAYER_OF[path.stem], f"{path.stem} must not import {parts[1]}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_keras_only_where_it_is_allowed(path: Path) -> None:
    roots = {name.split(".")[0] for name in imports(path)}
    if path.stem not in KERAS_ALLOWED:
        assert not roots & {"keras", "tensorflow"}
    assert not {name.split(".")[0] for name in imports(path, top_level=True)} & {"keras", "tensorflow"}
    if path.stem in STANDARD_LIBRARY_ONLY:
        assert roots <= set(sys.stdlib_module_names) | {"facemodels"}


def test_the_app_stays_out_of_the_kitchen() -> None:
    roots = {name.split(".")[0] for name in imports(ROOT / "app.py")}
    assert not roots & {"cv2", "keras", "tensorflow", "training"}


def test_nothing_is_swallowed_and_nothing_printed() -> None:
    for path in [*MODULES, ROOT / "app.py"]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                broad = node.type is None or (
                    isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")
                )
                raises = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
                assert not broad or raises, f"{path.name}:{node.lineno} swallows every error"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "print", f"{path.name}:{node.lineno} prints"


def test_public_names() -> None:
    contract = {
        *("FaceAnalyzer", "Analysis", "Face", "Box", "Classification", "Estimate", "FaceTracker", "ModelSpec"),
        *("list_models", "download", "read_image", "annotate"),
    }
    assert contract <= set(facemodels.__all__)
    assert set(facemodels._HOMES) == set(facemodels.__all__) - {"__version__"}
    for name in facemodels.__all__:
        value = getattr(facemodels, name)
        assert name == "__version__" or value.__doc__, f"{name} has no docstring"
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = facemodels.nothing_like_it


def test_importing_is_light_and_silent() -> None:
    code = (
        "import sys\nbefore = set(sys.modules)\nimport facemodels\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "assert not new & {'numpy', 'cv2', 'PIL', 'tensorflow', 'keras', 'gradio', 'huggingface_hub'}, new\n"
        "import threading\nassert threading.active_count() == 1\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
