"""Convert plain data from JSON to dataclasses: each field is checked against its annotation; errors name it."""

from __future__ import annotations

import json
import math
import reprlib
import types
from collections.abc import Container, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")

LONGEST_TEXT = 1000


def parse_json(content: bytes) -> Any:
    """Parse untrusted JSON.

    Raises:
        ValueError: If it is not JSON, is nested too deeply, or has a duplicate key.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} appears twice")
        return found

    try:
        return json.loads(content.decode(), object_pairs_hook=unique)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_dataclass(kind: type[T], data: Any, name: str = "", left_out: Container[str] = ()) -> T:
    """Create a dataclass from plain data; values of a wrong type are refused, not converted.

    Args:
        kind: The dataclass. Its fields may be ``str``, ``int``, ``float``, ``bool``, dataclasses, tuples and mappings
            of these, each or None, and ``Any`` for one of the first four or None.
        data: An object with its fields.
        name: Of the field that holds it, for messages.
        left_out: Fields that the data must not have.

    Raises:
        ValueError: If a field is missing, unknown or of another type; the message begins with its name.
    """
    found = _mapping(data, name or "it")
    known = {item.name: item for item in fields(kind) if item.name not in left_out}  # type: ignore[arg-type]
    if unknown := [key for key in found if key not in known]:
        raise ValueError(f"unknown fields {', '.join(unknown[:5])}" + f" of {name}" * bool(name))
    hints, inside = _hints(kind), f"{name}." * bool(name)  # type: ignore[arg-type]
    values = {}
    for key, item in known.items():
        if key in found:
            values[key] = _read(hints[key], found[key], inside + key)
        elif item.default is MISSING and item.default_factory is MISSING:
            raise ValueError(f"{inside}{key} is missing")
    return kind(**values)


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _read(kind: Any, value: Any, name: str) -> Any:
    """A value, checked against an annotation."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is types.UnionType:
        return None if value is None else _read(next(part for part in inner if part is not types.NoneType), value, name)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise _wrong(name, "a list", value)
        return tuple(_read(inner[0], part, f"{name}[{index}]") for index, part in enumerate(value))
    if origin is Mapping:
        return {key: _read(inner[1], part, f"{name}[{key!r}]") for key, part in _mapping(value, name).items()}
    if is_dataclass(kind):
        return read_dataclass(kind, value, name)  # type: ignore[arg-type]
    if kind is Any:
        if value is None or isinstance(value, bool):
            return value
        kind = type(value) if isinstance(value, int | float) else str
    return _CHECKS[kind](value, name)


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(name, "an object", value)
    for key in value:
        _text(key, f"a key of {name}")
    return value


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise _wrong(name, "a text", value)
    if len(value) > LONGEST_TEXT:
        raise ValueError(f"{name} has {len(value):,} characters, and {LONGEST_TEXT:,} are allowed")
    if not value.isprintable():  # terminals act on control characters
        raise ValueError(f"{name} has characters that cannot be printed: {reprlib.repr(value)}")
    return value


def _whole_number(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(name, "a whole number", value)
    return value


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(name, "a number", value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name} is not a finite number")
    return number


def _truth(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(name, "true or false", value)
    return value


_CHECKS = {str: _text, int: _whole_number, float: _number, bool: _truth}


def _wrong(name: str, wanted: str, value: Any) -> ValueError:
    return ValueError(f"{name} must be {wanted}, not {reprlib.repr(value)}")
