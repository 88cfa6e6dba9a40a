"""What programs call: the endpoints of `gradio_client`. Argument and endpoint names are a contract."""

# No `from __future__ import annotations` here: Gradio reads the endpoints' types from live annotations.
import copy
import functools
import inspect
import threading
from collections.abc import Callable, Mapping
from typing import Any, Concatenate, ParamSpec, TypeVar

import gradio as gr
from gradio.components.api_component import Api

from facemodels import list_models
from facemodels.app.analyzers import Analyzer
from facemodels.app.handlers.image import analyze_upload, analyze_uploads, annotate_result
from facemodels.app.handlers.models import describe
from facemodels.app.html.parts import named_error_text
from facemodels.app.limits import Limits
from facemodels.app.memory import ImageMemory
from facemodels.app.requests import MAX_FACES, MAX_IMAGES
from facemodels.app.words import words_in
from facemodels.attributes import ALL_ATTRIBUTES, ON_REQUEST
from facemodels.errors import FaceModelsError

P = ParamSpec("P")
R = TypeVar("R")

ANALYZE_DOC = (
    "The faces in a picture and what the models perceive: schema, width, height, models, error, faces (largest first)."
)
ANALYZE_BATCH_DOC = (
    "Several pictures in one call: a list with the answer of /analyze for each, in order; one that cannot be analyzed "
    "says why in error."
)
ANNOTATE_DOC = "The picture, as PNG, with a box and a label at each face; a very large one comes smaller."
MODELS_DOC = "Every known model: id, attributes, version, licence, data sets, metrics, files."

FILE = {"path": "photo.jpg", "url": "photo.jpg", "meta": {"_type": "gradio.FileData"}}  # handle_file('photo.jpg')
# Argument to its description and an example, for the API page.
ARGUMENTS: Mapping[str, tuple[str, Any]] = {
    "image": ("An uploaded file: JPEG, PNG, WebP and more. In Python gradio_client.handle_file('photo.jpg').", FILE),
    "images": (f"A list of at most {MAX_IMAGES} uploaded files, each as for /analyze.", [FILE]),
    "max_faces": (f"The most faces to answer for, the largest first: 1 to {MAX_FACES}, or null for all.", 10),
    "attributes": (
        f"A list out of {', '.join(ALL_ATTRIBUTES)}; null for all but {' and '.join(ON_REQUEST)}. No other models run.",
        ["emotion", "age"],
    ),
}


def answers_errors(handler: Callable[P, R]) -> Callable[P, R]:
    """Tell callers of an endpoint what was wrong; Gradio hides every exception but its own."""

    @functools.wraps(handler)
    def answer(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return handler(*args, **kwargs)
        except FaceModelsError as error:
            raise gr.Error(str(error), print_exception=False) from error

    return answer


def answers_visitors(handler: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
    """As `answers_errors`, for handlers of the page: in the visitor's language, which is their first argument."""

    @functools.wraps(handler)
    def answer(language: Any, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return handler(language, *args, **kwargs)
        except FaceModelsError as error:
            say = words_in(language)
            raise gr.Error(named_error_text(error, say), title=say("failed"), print_exception=False) from error

    return answer


def add_endpoints(analyzer: Analyzer, limits: Limits, memory: ImageMemory, stopping: threading.Event) -> None:
    """Declare the endpoints, inside a `gr.Blocks`."""

    @answers_errors
    def analyze_endpoint(
        image: gr.FileData, max_faces: int | None = None, attributes: list[str] | None = None
    ) -> dict[str, Any]:
        return analyze_upload(analyzer, image, max_faces, attributes, memory)[1].to_dict()

    @answers_errors
    def annotate_endpoint(
        image: gr.FileData, max_faces: int | None = None, attributes: list[str] | None = None
    ) -> gr.FileData:
        return gr.FileData(path=annotate_result(analyzer, image, max_faces, attributes, memory))

    @answers_errors
    def analyze_batch_endpoint(
        images: list[gr.FileData], max_faces: int | None = None, attributes: list[str] | None = None
    ) -> list[dict[str, Any]]:
        analyses = analyze_uploads(analyzer, images, max_faces, attributes, memory, stopping)
        return [analysis.to_dict() for analysis in analyses]

    def models_endpoint() -> list[dict[str, Any]]:
        return [describe(spec) for spec in list_models()]

    shared = {"concurrency_id": "analyze", "concurrency_limit": limits.analyses}
    gr.api(analyze_endpoint, api_name="analyze", api_description=ANALYZE_DOC, **shared)
    gr.api(analyze_batch_endpoint, api_name="analyze_batch", api_description=ANALYZE_BATCH_DOC, **shared)
    gr.api(annotate_endpoint, api_name="annotate", api_description=ANNOTATE_DOC, **shared)
    gr.api(models_endpoint, api_name="models", api_description=MODELS_DOC)


def describe_arguments(demo: gr.Blocks) -> None:
    """Tell the API page what each argument is; `gr.api` takes neither descriptions nor examples."""
    for function in demo.fns.values():
        if function.api_visibility != "public" or function.fn is None:
            continue
        for name, component in zip(inspect.signature(function.fn).parameters, function.inputs, strict=True):
            if not isinstance(component, Api):
                continue
            description, example = ARGUMENTS[name]
            component.label = name
            component._api_info = {**component._api_info, "additional_description": description}
            setattr(component, "example_payload", functools.partial(copy.deepcopy, example))  # noqa: B010
