"""A fault that pydantic found, as one line that names the key, where it is, and what to write."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from detector.core.errors import ConfigError

from .schema import Config
from .secret_keys import is_secret_key
from .yaml_text import Location, Mark

_TEXT_WANTED = ("string_type", "path_type", "string_sub_type")
_MAPPING_WANTED = ("dict_type", "model_type", "model_attributes_type")
_LIST_WANTED = ("tuple_type", "list_type")
_SPELLED = {bool: "true or false", int: "a number", float: "a number", type(None): "nothing"}


def explain(error: ValidationError, document: Any, marks: Mapping[Location, Mark]) -> ConfigError:
    """The first fault; an unknown key before all others, as the likeliest root of the rest.

    The input is left out of what pydantic says: it may be a password.
    """
    faults = error.errors(include_url=False, include_input=False, include_context=False)
    first = next((fault for fault in faults if fault["type"] == "extra_forbidden"), faults[0])
    location = tuple(part for part in first["loc"] if part != "[key]")
    key = ".".join(map(str, location))
    mark = marks.get(location)
    if first["type"] in _TEXT_WANTED and (hint := _quotes_hint(location, document, mark)):
        return ConfigError(hint, key=key)
    where = f" (line {mark.line})" if mark is not None else ""
    return ConfigError(f"{_text(location, first['type'], first['msg'])}{where}", key=key)


def _quotes_hint(location: Location, document: Any, mark: Mark | None) -> str | None:
    """What to write where YAML (or JSON) reads as a number what is meant as text."""
    value = _at(document, location)
    kind = _SPELLED.get(type(value))
    if kind is None:
        return None
    if mark is None or mark.written is None:
        return f"text is wanted, and this is {kind}: put it in quotes"
    if not mark.written:
        return f"line {mark.line}: text is wanted, and there is no value"
    if is_secret_key(str(location[-1])):
        return f"line {mark.line}: YAML reads this as {kind}: put it in quotes"
    read = f"the value {str(value).lower()}" if isinstance(value, bool) else kind
    return f'line {mark.line}: YAML reads {mark.written} as {read}: put it in quotes, write "{mark.written}"'


def _at(document: Any, location: Location) -> Any:
    for part in location:
        try:
            document = document[part]
        except (KeyError, IndexError, TypeError):
            return document
    return document


def _text(location: Location, kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        known = _known_keys(location)
        near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
        return f"unknown key; did you mean {near[0]}?" if near else f"unknown key; known here: {', '.join(known)}"
    if kind == "missing":
        return "required, but not given"
    if kind == "string_pattern_mismatch":
        return "use 1 to 32 of a-z, 0-9, _ and -"
    if kind in _MAPPING_WANTED:
        return "should be a section: keys with values, one a line, indented below it"
    if kind in _LIST_WANTED:
        return "should be a list, as [a, b]"
    if kind in _TEXT_WANTED:
        return "should be a text"
    text = message.removeprefix("Value error, ").removeprefix("Input ")
    return text[:1].lower() + text[1:]


def _known_keys(location: Location) -> list[str]:
    """The keys that the section holding `location`'s last part takes."""
    section: type[BaseModel] = Config
    for part in location[:-1]:
        field = section.model_fields.get(str(part))
        # A part that is no field is a name in a mapping (a camera): the section stays.
        section = next(iter(_models_in(field.annotation)), section) if field else section
    return list(section.model_fields)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """The sections that a field's annotation speaks of, inside dict[...] or Annotated[...] too."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for argument in getattr(annotation, "__args__", ()) for found in _models_in(argument)]
