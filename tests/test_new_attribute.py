"""A new attribute is a row of the table and a field of `Face`, and then every room has it.

A copy of the package gets two made-up attributes, one of labels and one of numbers, in exactly those places (and words
in the app's languages), and a script in a process of its own follows them from a model's output to the page.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import facemodels

PACKAGE = Path(facemodels.__file__).parent
ROWS = """
    Attribute("glasses", Categorical(), default_model="looks", labels=("none", "reading", "sun")),
    Attribute("height", Numeric(unit="cm", maximum=250), default_model="looks"),
)
ATTRIBUTES: Mapping"""
FIELDS = """    ethnicity: Classification | None = None
    glasses: Classification | None = None
    height: Estimate | None = None
"""
WORDS = {
    "attribute_glasses": "Glasses",
    "attribute_height": "Height",
    "label_none": "None",
    "label_reading": "Reading glasses",
    "label_sun": "Sunglasses",
    "unit_cm": "{low} to {high} cm, most likely {value}",
}
CONFIG = {
    "name": "looks",
    "version": "1.0.0",
    "kind": "attributes",
    "heads": [
        {"attribute": "glasses", "output": "glasses", "kind": "classification", "labels": ["none", "reading", "sun"]},
        {"attribute": "height", "output": "height", "kind": "number", "labels": ["150", "170", "190"]},
    ],
    "input_size": 48,
    "margin": 0.0,
    "offset": 0.0,
    "align": True,
    "repo_id": "me/looks",
    "revision": None,
    "files": {"model.tflite": {"sha256": "0" * 64, "size": 1}},
    "license": "mit",
    "schema": 1,
}
SCRIPT = """
import io, json, sys
import numpy as np
from facemodels import Box, FaceAnalyzer, FaceTracker, Timeline, annotate, drawing, models
from facemodels.evaluation.labels import read_labels
from facemodels.results import CsvSink, describe_face
from facemodels.types import Analysis

class Fixed:  # in place of an interpreter
    def __init__(self, *_, **__): pass
    def run(self, batch):
        rows = len(batch)
        return {"glasses": np.tile(np.float32([0.1, 0.7, 0.2]), (rows, 1)),
                "height": np.tile(np.float32([0.25, 0.5, 0.25]), (rows, 1))}

import facemodels.analyzer

class Model(models.AttributeModel):
    def __init__(self, spec, **_):
        self.spec, self._backend = spec, Fixed()

facemodels.analyzer.AttributeModel = Model
folder, labelled = sys.argv[1:]
analyzer = FaceAnalyzer(["glasses", "height"], models={"glasses": folder, "height": folder}, detector=None)
image = np.zeros((200, 200, 3), np.uint8)
analysis = analyzer.analyze(image, boxes=[Box(50, 50, 150, 150)])
(face,) = analysis
table = io.StringIO()
with CsvSink(table) as sink:
    sink.write_image("a.jpg", analysis)
tracker, timeline = FaceTracker(), Timeline()
for time in range(3):
    timeline.add(float(time), tracker.update(analysis), image)
(person,) = timeline.people
(caption,) = drawing.layout([face], 400, 400)
annotate(image, analysis)
from training.data.manifest import face_data
faces = face_data(labelled, "train")
from facemodels.app.html.image import analysis_html
from facemodels.app.words import words_in
print(json.dumps({
    "analysis": analysis.to_dict(),
    "schema": Analysis.schema(),
    "text": describe_face(face),
    "csv": table.getvalue(),
    "caption": caption.lines,
    "person": [person.glasses.label, person.height.value],
    "page": analysis_html(analysis, image, "a.jpg", words_in("en")),
    "labels": [picture.labels for picture in read_labels(labelled)[0]],
    "training": [faces.targets["glasses"].tolist(), faces.labels["glasses"].tolist()],
}))
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What every room makes of the two attributes."""
    pytest.importorskip("gradio", reason="the page needs Gradio: pip install -e '.[app]'")
    root = tmp_path_factory.mktemp("house")
    copy = root / "facemodels"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("weights", "__pycache__"))
    (copy / "weights").symlink_to(PACKAGE / "weights")
    insert(copy / "attributes.py", ")\nATTRIBUTES: Mapping", ROWS.lstrip("\n"))
    insert(copy / "types.py", "    ethnicity: Classification | None = None\n", FIELDS)
    for path in (copy / "app" / "languages").glob("*.json"):
        path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **WORDS}), encoding="utf-8")
    (root / "looks").mkdir()
    (root / "looks" / "config.json").write_text(json.dumps(CONFIG))
    for label in ("Glasses/sun/a.jpg", "Height/172/b.jpg"):
        (root / "labelled" / label).parent.mkdir(parents=True)
        Image.new("L", (48, 48)).save(root / "labelled" / label)
    rows = "path,split,glasses,group\nGlasses/sun/a.jpg,train,sun,a\nHeight/172/b.jpg,train,,b\n"
    (root / "labelled" / "manifest.csv").write_text(rows)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(root / "looks"), str(root / "labelled")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(root), str(PACKAGE.parent)))},
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def insert(path: Path, place: str, text: str) -> None:
    """Replace a piece of a file that stands there exactly once."""
    before = path.read_text(encoding="utf-8")
    assert before.count(place) == 1, f"{path.name}: {place!r}"
    path.write_text(before.replace(place, text), encoding="utf-8")


def test_results_and_their_schema(seen: dict) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="pip install -e '.[dev]'")
    (face,) = seen["analysis"]["faces"]
    assert face["glasses"]["label"] == "reading" and face["height"] == {"value": 170.0, "error": 10.0}
    assert face["emotion"] is None and set(seen["analysis"]["models"]) == {"glasses", "height"}
    jsonschema.validate(seen["analysis"], seen["schema"])
    assert {"glasses", "height"} <= set(seen["schema"]["properties"]["faces"]["items"]["required"])


def test_text_and_table(seen: dict) -> None:
    assert "reading 70%" in seen["text"] and "height 170 ± 10" in seen["text"]
    header, row = (line.split(",") for line in seen["csv"].splitlines())
    cells = dict(zip(header, row, strict=True))
    assert (cells["glasses"], cells["glasses_score"], cells["height"], cells["height_error"]) == (
        *("reading", "0.7", "170.0", "10.0"),
    )


def test_drawing_and_timeline(seen: dict) -> None:
    assert "reading" in " ".join(seen["caption"]) and "170 ± 10" in " ".join(seen["caption"])
    assert seen["person"] == ["reading", pytest.approx(170.0)]


def test_training_reads_its_labels(seen: dict) -> None:
    assert seen["training"] == [[[0, 0, 1], [1, 1, 1]], [2, -1]]


def test_page_and_labels(seen: dict) -> None:
    page = seen["page"].replace("\N{NO-BREAK SPACE}", " ")
    assert "Reading glasses 70%" in page and "154 to 186 cm, most likely 170" in page
    assert seen["labels"] == [{"glasses": "sun"}, {"height": "172"}]
