"""The table of attributes: what a model can perceive in a face, each defined once.

To add an attribute: a row in `ATTRIBUTES`, a field of `Face`, and its words in the app's languages. Standard library
only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from facemodels.kinds import Attribute, Categorical, Numeric, PointSet, Rotation
from facemodels.values import Value, readable

_ROWS = (
    Attribute(
        "emotion",
        Categorical(),
        default_model="emotion-efficientnet",
        labels=("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "contempt"),
        caption=(0, 0),
    ),
    Attribute(
        "age",
        Numeric("age", unit="years", maximum=130),
        default_model="demographics-efficientnet",
        caption=(1, 1),
    ),
    Attribute(
        "gender",
        Categorical(),
        default_model="demographics-efficientnet",
        labels=("female", "male"),
        caption=(1, 0),
    ),
    Attribute(
        "ethnicity",
        Categorical(),
        default_model="demographics-efficientnet",
        labels=("white", "black", "east_asian", "southeast_asian", "indian", "middle_eastern", "latino"),
        # UTKFace knows five groups; its "Others" are Hispanic, Latino and Middle Eastern.
        views={
            "five": {
                "white": "white",
                "black": "black",
                "east_asian": "asian",
                "southeast_asian": "asian",
                "indian": "indian",
                "middle_eastern": "other",
                "latino": "other",
            }
        },
        caption=(2, 0),
    ),
)
ATTRIBUTES: Mapping[str, Attribute] = MappingProxyType({row.name: row for row in _ROWS})
# Geometry of the face: answered only on request, and never labelled.
ON_REQUEST: Mapping[str, Attribute] = MappingProxyType(
    {
        "points": Attribute("points", PointSet(), default_model="landmarks-efficientnet"),
        "pose": Attribute("pose", Rotation(), default_model="landmarks-efficientnet"),
    }
)
ALL_ATTRIBUTES: Mapping[str, Attribute] = MappingProxyType({**ATTRIBUTES, **ON_REQUEST})
EMOTIONS = ATTRIBUTES["emotion"].labels
GENDERS = ATTRIBUTES["gender"].labels
ETHNICITIES = ATTRIBUTES["ethnicity"].labels
ETHNICITY_FIVE = ATTRIBUTES["ethnicity"].views["five"]
FIVE_GROUPS = tuple(dict.fromkeys(ETHNICITY_FIVE.values()))
# The attribute that a face is coloured, plotted and headlined by.
HEADLINE = "emotion"


def is_numeric(name: str) -> bool:
    """Whether this is the name of a numeric attribute.

    Example:
        >>> is_numeric("age"), is_numeric("emotion"), is_numeric("age_bin")
        (True, False, False)
    """
    return name in ATTRIBUTES and isinstance(ATTRIBUTES[name].kind, Numeric)


def face_texts(values: Mapping[str, Value | None], label: Callable[[str], str] = readable) -> list[str]:
    """The values of one face as text, one per attribute that was answered, in the order of the table.

    Args:
        values: Attribute to value.
        label: Translates labels.

    Example:
        >>> from facemodels import Classification, Estimate
        >>> face_texts({"emotion": Classification.of({"happy": 0.9, "sad": 0.1}), "age": Estimate(31.2, 5.0)})
        ['happy 90%', 'age 31 ± 5']
    """
    return [
        f"{name} " * attribute.kind.named + attribute.kind.text(value, label)
        for name, attribute in ALL_ATTRIBUTES.items()
        if (value := values.get(name)) is not None
    ]
