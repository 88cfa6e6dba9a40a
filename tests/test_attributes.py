"""The table of attributes, and what each kind makes of values."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from facemodels import Box, Classification, Estimate, Face
from facemodels.attributes import ATTRIBUTES, HEADLINE, face_texts
from facemodels.kinds import Categorical, Numeric
from facemodels.values import percent

ROOT = Path(__file__).parent.parent
JOY = Classification.of({"happy": 0.9, "sad": 0.1})
GLOOM = Classification.of({"happy": 0.2, "sad": 0.8})


def test_every_attribute_is_a_field_of_a_face() -> None:
    face = Face(Box(0, 0, 1, 1))
    for name, attribute in ATTRIBUTES.items():
        assert attribute.name == name and getattr(face, name) is None
        assert bool(attribute.labels) == isinstance(attribute.kind, Categorical)
        for view in attribute.views.values():
            assert tuple(view) == attribute.labels
    assert HEADLINE in ATTRIBUTES and face.values == {}


def test_only_the_table_compares_with_an_attribute() -> None:
    """Code that asks which attribute it has would have to be found by whoever adds one."""
    names = "|".join(ATTRIBUTES)
    pattern = re.compile(rf"""(==|!=)\s*["']({names})["']|["']({names})["']\s*(==|!=)""")
    for path in (ROOT / "facemodels").rglob("*.py"):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            assert not pattern.search(line), f"{path.relative_to(ROOT)}:{number}: {line.strip()}"


def test_texts() -> None:
    face = Face(Box(0, 0, 1, 1), emotion=JOY, age=Estimate(31.4, 4.6), gender=Classification.of({"female": 1.0}))
    assert face_texts(face.values) == ["happy 90%", "age 31 ± 5", "female >99%"]
    assert face_texts(face.values, {"happy": "froh", "female": "weiblich"}.__getitem__)[0] == "froh 90%"
    assert [percent(score) for score in (0.0, 0.004, 0.006, 0.994, 0.996)] == ["<1%", "<1%", "1%", "99%", ">99%"]


def test_decoding() -> None:
    (joy,) = Categorical().decode(("happy", "sad"), np.array([[0.9, 0.1]]))
    assert joy == JOY
    (age,) = Numeric().decode(("10", "20", "30"), np.array([[0.25, 0.5, 0.25]]))
    assert age == Estimate(20.0, 5.0)


def test_blending_over_time() -> None:
    kind = Categorical()
    assert kind.blend(JOY, GLOOM, 0.5).scores == pytest.approx({"happy": 0.55, "sad": 0.45})
    kept = kind.blend(JOY, GLOOM, 0.4, switch_margin=0.3)
    assert (kept.label, round(kept.score, 2)) == ("happy", 0.48), "the label changes only with a lead"
    assert kind.blend(JOY, Classification.of({"glad": 1.0}), 0.9).label == "glad", "another model answers now"
    assert Numeric().blend(Estimate(20.0, 4.0), Estimate(30.0, 8.0), 0.5) == Estimate(25.0, 6.0)


@pytest.mark.parametrize(
    ("name", "text", "label"),
    [("ethnicity", "East Asian", "east_asian"), ("ethnicity", "other", "other"), ("age", " 31.5", "31.5")],
)
def test_true_labels(name: str, text: str, label: str) -> None:
    assert ATTRIBUTES[name].parse(text) == label


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("emotion", "glad", "known: angry"),
        ("age", "131", "years, 0..130"),
        ("age", "nan", "years"),
        ("age", "٣", "years"),
    ],
)
def test_labels_that_are_none(name: str, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ATTRIBUTES[name].parse(text)
