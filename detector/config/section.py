"""What every section of the configuration has in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class ConfigSection(BaseModel):
    """A part of the configuration: immutable, strict about its keys.

    A key without a value (all its children commented out) has its default; keys that begin with x- are YAML's anchors'.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _without_empty_keys(cls, data: Any) -> Any:
        if data is None:
            return {}
        if not isinstance(data, Mapping):
            return data
        return {key: value for key, value in data.items() if not cls._is_left_out(str(key), value)}

    @classmethod
    def _is_left_out(cls, key: str, value: Any) -> bool:
        field = cls.model_fields.get(key)
        if field is None:
            return key.startswith("x-")
        return value is None and type(None) not in getattr(field.annotation, "__args__", ())
