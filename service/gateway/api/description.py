"""The OpenAPI description of the application, as it is."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

__all__ = ["DescribedApplication"]


class DescribedApplication(FastAPI):
    """An application of which nothing is described that FastAPI alone would answer.

    Errors have the form of their contract, and a parameter of a path is any string.
    """

    def openapi(self) -> dict[str, Any]:
        """The description; made once."""
        if self.openapi_schema is None:
            for methods in super().openapi()["paths"].values():
                for operation in methods.values():
                    if "HTTPValidationError" in str(operation["responses"].get("422")):
                        del operation["responses"]["422"]
            schemas = super().openapi()["components"]["schemas"]
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
        return super().openapi()
