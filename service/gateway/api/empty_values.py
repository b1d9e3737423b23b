"""Requests in which null and "" are no values, as programs send them that leave a field empty."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic_core import CoreSchema

__all__ = ["EmptyValues"]


class EmptyValues(BaseModel):
    """A request whose optional fields may be null or "", and are then as if they were not there."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Says so in the description."""
        described = handler.resolve_ref_schema(handler(core_schema))
        for name, field in described["properties"].items():
            if name not in described.get("required", ()) and not field.keys().isdisjoint(_RULES):
                rule = {key: field.pop(key) for key in _RULES if key in field}
                field["anyOf"] = [*rule.pop("anyOf", ()), *([rule] if rule else ()), _EMPTY]
        return described


_RULES = ("type", "enum", "anyOf", "pattern", "minimum", "minLength", "maxLength")
_EMPTY = {"enum": [None, ""]}
