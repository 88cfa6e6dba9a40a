"""The house rules that can be checked: arrows, import cost, quiet, public names."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import facemodels
import facemodels.app

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "facemodels"

# Rooms, from the ground up: a module or package may import what stands in earlier rows, and a package its own files.
# A file of a package that stands elsewhere than its package is named.
LAYERS = (
    {"values", "errors", "forking", "streams"},
    {"kinds"},
    {"attributes"},
    {"types", "files", "sandbox", "video.containers"},
    {"results"},
    {"image_formats"},
    {"images", "crops", "litert", "hub.registry", "evaluation.metrics", "evaluation.tables"},
    {"hub", "drawing", "explain", "evaluation.labels", "sources", "quality", "privacy"},
    {"models", "detection", "video"},
    {"hub.golden", "hub.trial"},
    {"analyzer", "hub.publish"},
    {"evaluation"},
    {"app", "batch"},
    {"cli"},
    {"__main__"},
)
LAYER_OF = {room: number for number, layer in enumerate(LAYERS) for room in layer}
STANDARD_LIBRARY_ONLY = {"values", "kinds", "attributes", "types", "errors", "hub.fields", "hub.registry"}
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


def module_name(path: Path) -> str:
    """The name of a file inside the package, ``hub.store``; of a package's ``__init__`` that of the package."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"}


def room_of(module: str) -> str | None:
    """The entry of LAYERS that a module belongs to: its own, or that of the nearest package around it."""
    while module and module not in LAYER_OF:
        module = module.rpartition(".")[0]
    return module or None


def imported_modules(name: str) -> set[str]:
    """The modules of the package that a module imports, anywhere in its file."""
    found = set()
    for target in imports(MODULES[name]):
        inner = target.removeprefix("facemodels.")
        if inner != target:
            # `from facemodels.hub import store` names hub.store, `from facemodels.hub.store import fetch` does too.
            found.add(inner if inner in MODULES else inner.rpartition(".")[0])
    return {module for module in found if module in MODULES and module != name}


@pytest.mark.parametrize("name", MODULES)
def test_arrows_point_down_only(name: str) -> None:
    room = room_of(name)
    assert room, f"facemodels.{name} has no room in LAYERS"
    for target in imports(MODULES[name]):
        assert target.split(".")[0] not in ("training", "app", "benchmarks", "tests"), target
        assert room == "app" or target.split(".")[0] not in ("gradio", "fastapi"), target
    for module in imported_modules(name):
        other = room_of(module)
        assert other is not None
        below = LAYER_OF[other] < LAYER_OF[room]
        assert below or name.split(".")[0] == module.split(".")[0], f"{name} must not import {module}"


def test_no_circles() -> None:
    TopologicalSorter({name: imported_modules(name) for name in MODULES}).prepare()  # raises CycleError


@pytest.mark.parametrize("name", MODULES)
def test_keras_only_where_it_is_allowed(name: str) -> None:
    path = MODULES[name]
    roots = {target.split(".")[0] for target in imports(path)}
    if name not in KERAS_ALLOWED:
        assert not roots & {"keras", "tensorflow"}
    assert not {target.split(".")[0] for target in imports(path, top_level=True)} & {"keras", "tensorflow"}
    if name in STANDARD_LIBRARY_ONLY:
        assert roots <= set(sys.stdlib_module_names) | {"facemodels"}


def test_the_app_stays_out_of_the_kitchen() -> None:
    for name, path in MODULES.items():
        if room_of(name) == "app":
            assert not {target.split(".")[0] for target in imports(path)} & {"cv2", "keras", "tensorflow", "training"}
    assert imports(ROOT / "app.py") <= {
        "facemodels.app",
        *(f"facemodels.app.{name}" for name in facemodels.app.__all__),
    }


def test_nothing_is_swallowed_and_nothing_printed() -> None:
    for path in [*MODULES.values(), ROOT / "app.py"]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                broad = node.type is None or (
                    isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")
                )
                assert not broad or hands_on(node), f"{path.name}:{node.lineno} swallows every error"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "print", f"{path.name}:{node.lineno} prints"


def hands_on(handler: ast.ExceptHandler) -> bool:
    """Whether a handler raises, or gives the error to a future, which raises it where somebody waits."""
    return any(
        isinstance(node, ast.Raise) or (isinstance(node, ast.Attribute) and node.attr == "set_exception")
        for node in ast.walk(handler)
    )


def test_tests_use_public_names_only() -> None:
    private = re.compile(
        r"(from (facemodels|training)\S* import .*\b_[a-z]|monkeypatch\.setattr\([^\"]*[\"']_[A-Za-z])", re.I
    )
    lines = [
        (path.name, line) for path in (ROOT / "tests").glob("*.py") for line in path.read_text("utf-8").splitlines()
    ]
    assert not [line for line in lines if private.search(line[1]) and line[0] != "test_architecture.py"]


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
