"""What is installed and what is shipped: pinned with hashes, licensed file by file, the same bytes every time."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

from facemodels import __version__, list_models
from facemodels.hub.registry import WEIGHTS

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_every_requirement_is_pinned_with_hashes() -> None:
    packaging = pytest.importorskip("packaging.requirements")
    lock = (ROOT / "requirements.lock").read_text()
    pins: dict[str, set[str]] = {}
    for entry in re.split(r"\n(?=\S)", lock):
        if not entry.startswith("#"):
            pin = packaging.Requirement(entry.partition("\\")[0].strip())
            (specifier,) = pin.specifier
            assert specifier.operator == "==" and re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry
            pins.setdefault(pin.name, set()).add(specifier.version)
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            wanted = packaging.Requirement(line)
            assert pins.get(wanted.name), f"{line}: run make lock"
            assert all(wanted.specifier.contains(version) for version in pins[wanted.name]), f"{line}: run make lock"


def test_an_audit_that_could_not_ask_is_none() -> None:
    """Without --strict pip-audit ends with 0 where it found none of the requirements in the index."""
    (command,) = re.findall(r"pip-audit.*", (ROOT / "Makefile").read_text())
    assert "--strict" in command and "-r requirements.lock" in command


def test_a_wheel_holds_nothing_of_another_commit() -> None:
    recipe = (ROOT / "Makefile").read_text().partition("\nwheel:")[2].partition("\n\n")[0]
    assert recipe.index("rm -rf build") < recipe.index("pip wheel")


def test_every_bundled_file_has_its_licence() -> None:
    licences = PROJECT["license"].split(" AND ")
    terms = (ROOT / "LICENSES" / "LicenseRef-non-commercial-research.txt").read_text()
    for spec in list_models():
        folder = WEIGHTS / spec.name
        if not all((folder / name).is_file() for name in spec.files):
            continue  # this one is downloaded
        if spec.license == "other":
            assert f"LicenseRef-{spec.license_name}" in licences and f"facemodels/weights/{spec.name}\n" in terms
        else:
            assert spec.license in [licence.lower() for licence in licences] and (folder / "LICENSE").is_file()


def test_the_citation_names_this_version() -> None:
    yaml = pytest.importorskip("yaml")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == __version__ and citation["license"] == "Apache-2.0"


@pytest.mark.slow
def test_a_wheel_is_the_same_bytes_again(tmp_path: Path) -> None:
    wheels = []
    for name in ("first", "second"):
        source = tmp_path / name
        source.mkdir()
        for part in ("facemodels", "LICENSES"):
            shutil.copytree(ROOT / part, source / part, ignore=shutil.ignore_patterns("__pycache__"))
        for part in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / part, source)
        for path in source.rglob("*"):
            os.utime(path, (1_600_000_000 + len(wheels), 1_600_000_000 + len(wheels)))
        command = [sys.executable, "-m", "pip", "wheel", "-q", ".", "--no-deps", "-w", "dist"]
        environment = os.environ | {"SOURCE_DATE_EPOCH": "1700000000"}
        subprocess.run(command, cwd=source, env=environment, check=True, capture_output=True)
        wheels += (source / "dist").iterdir()
    first, second = wheels
    assert first.name == second.name and first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as wheel:
        names = wheel.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        headers = HeaderParser().parsestr(wheel.read(metadata).decode())
    assert headers["License-Expression"] == PROJECT["license"]
    files = headers.get_all("License-File") or []
    assert {"LICENSE", "LICENSES/LicenseRef-non-commercial-research.txt"} < set(files)
    assert "facemodels/weights/libfacedetection/LICENSE" in files
