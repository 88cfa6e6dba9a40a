"""What whoever starts the app can choose, by option or by environment variable (the option wins)."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

from PIL import Image
from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from facemodels.app.limits import Limits
from facemodels.app.theme import THEMES
from facemodels.attributes import ATTRIBUTES
from facemodels.detection import DETECTORS

T = TypeVar("T")
EXAMPLES = Path(__file__).parent / "examples"  # made by `python -m benchmarks.examples`
HIDDEN = ("auth", "examples")  # values that --help does not show: a secret, and a list of files


def read_count(text: str) -> int:
    """A whole number of at least 1."""
    if not str(text).isdecimal() or int(text) < 1:
        raise ValueError(f"must be a whole number of at least 1; got {text!r}")
    return int(text)


def read_port(text: str) -> int:
    """A port."""
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise ValueError(f"must be a port within 1..65535; got {text!r}")
    return int(text)


def read_models(text: str) -> dict[str, str]:
    """``emotion=emotion-efficientnet@1.0.0,age=…``; what the models must be, `FaceAnalyzer` checks."""
    pairs = [pair.partition("=") for pair in text.split(",")]
    if any(attribute.strip() not in ATTRIBUTES or not model.strip() for attribute, _, model in pairs):
        raise ValueError(
            f"must be like emotion=NAME@VERSION,age=NAME@VERSION, with attributes out of {', '.join(ATTRIBUTES)}; "
            f"got {text!r}"
        )
    return {attribute.strip(): model.strip() for attribute, _, model in pairs}


def read_user(text: str) -> tuple[str, str]:
    """``user:password``; the message does not repeat it."""
    user, _, password = text.partition(":")
    if not user or not password:
        raise ValueError("must be user:password, neither of them empty")
    return user, password


def read_root_path(text: str) -> str:
    """The path, or the whole address, under which a reverse proxy offers the app."""
    if not text.startswith(("/", "http://", "https://")):
        raise ValueError(
            f"must be a path such as /faces, or an address such as https://example.org/faces; got {text!r}"
        )
    return text.rstrip("/")


def read_hosts(text: str) -> tuple[str, ...]:
    """Host names, separated by commas; ``*.example.org`` is any name under one."""
    hosts = tuple(host.strip() for host in text.split(","))
    if any(not re.fullmatch(r"(\*\.)?[\w.-]+|\[[\da-f:]+\]", host, re.I) for host in hosts):
        raise ValueError(f"must be host names without a port, such as faces.example.org,*.example.com; got {text!r}")
    return hosts


def read_theme(text: str) -> str:
    """The name of a theme."""
    if text not in ("facemodels", *THEMES):
        raise ValueError(f"must be one of facemodels, {', '.join(THEMES)}; got {text!r}")
    return text


def read_examples(text: str) -> tuple[Path, ...]:
    """The pictures of a folder, by name; one that has the name of a video beside it stands for that video."""
    folder = Path(text)
    kinds = Image.registered_extensions()
    if not folder.is_dir():
        raise ValueError(f"must be a folder of pictures; there is no folder {text!r}")
    pictures = sorted(path for path in folder.iterdir() if path.suffix.lower() in kinds and path.is_file())
    pictures = [path for path in pictures if not path.with_suffix(".mp4").is_file()]
    if not pictures:
        raise ValueError(f"must be a folder of pictures; there is none in {text!r}")
    return tuple(pictures)


Count = Annotated[int, BeforeValidator(read_count)]


def _named(variable: str, default: Any, description: str) -> Any:
    return Field(default, validation_alias=variable, description=description)


class Settings(BaseSettings):
    """The app's settings; a field's alias is its environment variable, its name with dashes its option."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True, populate_by_name=True, validate_default=False, extra="ignore"
    )

    host: str = Field(
        default_factory=lambda: "0.0.0.0" if "SPACE_ID" in os.environ else "127.0.0.1",
        validation_alias="GRADIO_SERVER_NAME",
        description="address to listen on",
    )
    port: Annotated[int | None, BeforeValidator(read_port)] = _named(
        "GRADIO_SERVER_PORT", None, "port to listen on, else the first free one from 7860"
    )
    root_path: Annotated[str | None, BeforeValidator(read_root_path)] = _named(
        "GRADIO_ROOT_PATH", None, "path or address under which a reverse proxy offers the app"
    )
    auth: Annotated[tuple[str, str] | None, NoDecode, BeforeValidator(read_user)] = _named(
        "FACEMODELS_AUTH", None, "user:password that visitors and callers must give"
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(read_hosts)] = _named(
        "FACEMODELS_ALLOWED_HOSTS", (), "host names that requests may ask for, separated by commas, instead of any"
    )
    detector: str = _named("FACEMODELS_DETECTOR", "auto", f"face detector: auto, {', '.join(DETECTORS)}")
    models: Annotated[dict[str, str], NoDecode, BeforeValidator(read_models)] = _named(
        "FACEMODELS_MODELS", {}, "models other than the default ones: emotion=NAME@VERSION,…"
    )
    examples: Annotated[tuple[Path, ...], NoDecode, BeforeValidator(read_examples)] = Field(
        default_factory=lambda: read_examples(str(EXAMPLES)),
        validation_alias="FACEMODELS_EXAMPLES",
        description="folder of pictures, and of videos (.mp4), to choose from on the image tab and on the video tab, "
        "instead of two portraits in the public domain and a video of them",
    )
    theme: Annotated[str, BeforeValidator(read_theme)] = _named(
        "FACEMODELS_THEME", "facemodels", f"look: facemodels, {', '.join(THEMES)}"
    )
    max_upload: Count = _named("FACEMODELS_MAX_UPLOAD", 200, "largest upload, in megabytes")
    queue: Count = _named("FACEMODELS_QUEUE", Limits.queue, "requests that may wait")
    analyses: Count = _named("FACEMODELS_ANALYSES", Limits.analyses, "pictures analyzed at the same time")
    webcams: Count = _named("FACEMODELS_WEBCAMS", Limits.webcams, "webcams that stream at the same time")
    webcam_seconds: Count = _named(
        "FACEMODELS_WEBCAM_SECONDS", Limits.webcam_seconds, "seconds a webcam keeps its place while others wait"
    )
    clips: Count = _named("FACEMODELS_CLIPS", Limits.clips, "clips analyzed at the same time")
    clip_seconds: Count = _named("FACEMODELS_CLIP_SECONDS", Limits.clip_seconds, "longest clip, in seconds")
    max_clip_megapixels: Count = _named(
        "FACEMODELS_MAX_CLIP_MEGAPIXELS", Limits.clip_pixels // 10**6, "largest frames of a clip, in megapixels"
    )
    max_megapixels: Count = _named(
        "FACEMODELS_MAX_MEGAPIXELS",
        Limits.pixels // 10**6,
        "largest picture, in megapixels; those in progress take at most 7 MB of memory for each, and further ones wait",
    )

    @property
    def limits(self) -> Limits:
        """How much work the app takes on at once."""
        return Limits(
            self.queue,
            self.analyses,
            self.webcams,
            self.webcam_seconds,
            self.clips,
            self.clip_seconds,
            self.max_clip_megapixels * 10**6,
            self.max_megapixels * 10**6,
        )


def variables() -> Mapping[str, str]:
    """Setting to the environment variable that has it.

    Example:
        >>> variables()["max_upload"]
        'FACEMODELS_MAX_UPLOAD'
    """
    return {name: str(field.validation_alias) for name, field in Settings.model_fields.items()}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare an option per setting; its help says what holds without it."""
    for name, field in Settings.model_fields.items():
        variable = variables()[name]
        value = os.environ.get(variable) or field.get_default(call_default_factory=True)
        now = "" if name in HIDDEN or value in (None, {}, ()) else f" (now: {value})"
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            default=argparse.SUPPRESS,
            help=f"{field.description}; {variable}{now}",
        )


def read_settings(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> Settings:
    """The settings from options and environment; ends the process with a message if one is wrong."""
    given = vars(parser.parse_args(arguments))
    return make_settings(parser, given)


def make_settings(parser: argparse.ArgumentParser, given: Mapping[str, Any]) -> Settings:
    """The settings from options that were parsed, and from the environment."""
    try:
        return Settings(**{name: value for name, value in given.items() if name in Settings.model_fields})
    except ValidationError as error:
        _refuse(parser, error)


def _refuse(parser: argparse.ArgumentParser, error: ValidationError) -> NoReturn:
    first = error.errors(include_input=False, include_url=False)[0]
    names = {variable: name for name, variable in variables().items()}
    name = names.get(str(first["loc"][0]), str(first["loc"][0]))
    reason = first.get("ctx", {}).get("error", first["msg"])
    parser.error(f"argument --{name.replace('_', '-')}: {reason} (this setting is also {variables()[name]})")
