"""Arguments that came over HTTP, and uploads: Gradio checks neither types nor paths."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from gradio.utils import get_upload_folder, is_in_or_equal

from facemodels import video_info
from facemodels.app.limits import Limits
from facemodels.app.memory import ImageMemory
from facemodels.app.uploads import KEEP_SECONDS
from facemodels.attributes import ON_REQUEST
from facemodels.errors import ArgumentError, FaceModelsError, ImageError, SourceError, VideoError
from facemodels.images import SizedImage

MAX_FACES = 1000  # the most that a caller may ask for
MAX_IMAGES = 100  # in one call of /analyze_batch
SAMPLING_RATES = {"1": 1.0, "2": 2.0, "5": 5.0, "10": 10.0, "all": None}  # frames of a video per second to analyze
UPLOADS_GO = f"uploads are deleted after {KEEP_SECONDS // 60} minutes"


def check_image(value: Any) -> Path:
    """The uploaded file behind an image argument.

    Raises:
        ArgumentError: If it is not an upload: nobody may name another file of this machine.
    """
    path = value.get("path") if isinstance(value, dict) else None
    if not isinstance(path, str) or not path or not isinstance(value.get("orig_name"), (str, type(None))):
        raise ArgumentError(
            f"image must be an uploaded file, such as gradio_client.handle_file('photo.jpg'); got {shorten(value)}"
        )
    try:
        uploaded = is_in_or_equal(path, get_upload_folder())
    except (OSError, ValueError) as error:  # a name that no file can have
        raise ArgumentError(f"image must be an uploaded file; got {shorten(path)}") from error
    if not uploaded:
        raise ArgumentError(f"image must be an uploaded file, not a path of this machine; got {shorten(path)}")
    return Path(path)


def check_max_faces(value: Any) -> int | None:
    """How many faces to keep.

    Raises:
        ArgumentError: If it is neither None nor a whole number within 1..1000.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_FACES):
        raise ArgumentError(
            f"max_faces must be a whole number within 1..{MAX_FACES}, or null for all; got {shorten(value)}"
        )
    return value


def check_attributes(value: Any, offered: Sequence[str]) -> tuple[str, ...]:
    """The attributes to answer, each once; None means all that are `offered`, but for those that are only on request.

    Raises:
        ArgumentError: If it is anything but a list of offered names.
    """
    if value is None:
        return standard(offered)
    if not isinstance(value, list) or not value or any(name not in offered for name in value):
        raise ArgumentError(
            f"attributes must be a list out of {', '.join(offered)}, or null for all; got {shorten(value)}"
        )
    return tuple(dict.fromkeys(value))


def standard(offered: Iterable[str]) -> tuple[str, ...]:
    """The attributes that are answered where none are named.

    Example:
        >>> standard(["emotion", "age", "points"])
        ('emotion', 'age')
    """
    return tuple(name for name in offered if name not in ON_REQUEST)


def check_detection(detector: Any, min_score: Any, detectors: Iterable[str]) -> None:
    """Check the visitor's choice of detector and score threshold.

    Raises:
        ArgumentError: If the detector is not offered, or the threshold not within 0..1.
    """
    if not isinstance(detector, str) or detector not in detectors:
        raise ArgumentError(f"detector must be one of {', '.join(detectors)}; got {shorten(detector)}")
    if isinstance(min_score, bool) or not isinstance(min_score, (int, float)) or not 0 <= min_score <= 1:
        raise ArgumentError(f"the minimum score must be a number within 0..1; got {shorten(min_score)}")


def check_models(models: Mapping[str, Any], offered: Mapping[str, Sequence[str]]) -> None:
    """Check the visitor's choice of models: nobody may name a folder of this machine, or start a download.

    Raises:
        ArgumentError: If a model is not among those offered for its attribute.
    """
    for attribute, model in models.items():
        if attribute not in offered or model not in offered[attribute]:
            known = ", ".join(offered.get(attribute, ()))
            raise ArgumentError(f"the model for {attribute} must be one of {known or 'none'}; got {shorten(model)}")


def check_clip(value: Any, limits: Limits) -> Path:
    """The uploaded video behind an argument.

    Raises:
        FaceModelsError: If it is no upload, no video, too long, or its frames are too large.
    """
    path = check_image(value)
    if not path.exists():
        raise VideoError(**gone(value))
    seconds = video_info(path, limits.clip_pixels).seconds
    if seconds is not None and seconds > limits.clip_seconds:
        raise too_long(path, limits)
    return path


def too_long(path: Path, limits: Limits) -> VideoError:
    """The error for a video that is longer than is accepted."""
    most = limits.clip_seconds
    reason = f"videos of more than {most} seconds are not accepted: shorten it first"
    return VideoError(reason, name=str(path), code="too_long", limit=most)


def gone(upload: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of an error for an upload that was deleted."""
    reason = f"it is no longer here: {UPLOADS_GO}. Choose it again"
    return {"reason": reason, "name": file_name(upload), "code": "gone", "minutes": KEEP_SECONDS // 60}


def check_rate(value: Any) -> float | None:
    """How many frames per second to analyze; None for all.

    Raises:
        ArgumentError: If it is not one of `SAMPLING_RATES`.
    """
    if not isinstance(value, str) or value not in SAMPLING_RATES:
        raise ArgumentError(f"the sampling rate must be one of {', '.join(SAMPLING_RATES)}; got {shorten(value)}")
    return SAMPLING_RATES[value]


def check_number(what: str, some: Sequence[Any], number: Any) -> Any:
    """One of some things, by a number that came from the page."""
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(some):
        raise ArgumentError(f"there is no {what} {shorten(number)} among {len(some)}")
    return some[number]


def shorten(value: Any) -> str:
    """The type and the beginning of a value, for an error message."""
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 80 else text[:80] + '…'}"


@contextmanager
def reading_upload(image: Any, memory: ImageMemory | None = None) -> Iterator[SizedImage]:
    """The image in an uploaded file, which may have been decoded smaller, as long as it is needed.

    Args:
        image: The upload.
        memory: Is shared by all images in progress; None if this is the only one.

    Raises:
        FaceModelsError: If it is no upload, or no image; the message has the file's name, not its path.
    """
    path = check_image(image)
    with ExitStack() as stack:
        try:
            held = [stack.enter_context((memory or ImageMemory()).reading(path))]
        except ImageError as error:
            name = file_name(image)
            if error.code == "missing":
                raise ImageError(**gone(image)) from error
            raise error.renamed(name) from error
        yield held.pop()  # not kept here, see `ImageMemory.reading`


def file_name(upload: Mapping[str, Any]) -> str:
    """The name under which the visitor knows an upload, not its path on this machine."""
    return upload.get("orig_name") or Path(upload["path"]).name


def named_as_uploaded(error: FaceModelsError, upload: Mapping[str, Any]) -> FaceModelsError:
    """An error with an upload's name instead of its path on this machine."""
    if isinstance(error, SourceError) and error.name:
        return error.renamed(file_name(upload))
    return type(error)(hide_path(str(error), upload))


def hide_path(message: str, upload: Mapping[str, Any]) -> str:
    """A message with an upload's name instead of its path on this machine."""
    path = Path(upload["path"]) if isinstance(upload, dict) and "path" in upload else None
    for one in () if path is None else (path.resolve(), path):
        message = message.replace(str(one), file_name(upload))
    return message


@contextmanager
def reading_frame(frame: Any, memory: ImageMemory | None = None) -> Iterator[SizedImage]:
    """A webcam frame, which the browser sends as a data URL; it never touches the disk.

    Args:
        frame: What the browser sent.
        memory: See `reading_upload`.

    Raises:
        ImageError: If it is something else, or not an image.
    """
    url = frame.get("url") if isinstance(frame, dict) else None
    if not isinstance(url, str) or not url.startswith("data:image/"):
        raise ImageError(f"a webcam frame must be an image in a data URL; got {shorten(frame)}")
    try:
        data = base64.b64decode(url.partition(",")[2], validate=True)
    except ValueError as error:
        raise ImageError(f"a webcam frame must be an image in base64: {error}") from error
    with (memory or ImageMemory()).reading(data) as read:
        yield read
