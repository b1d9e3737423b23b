"""The wire types of documents in the native API, as pydantic models; `/openapi.json` shows them."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import ConfigDict

from service.gateway.api.contract import Reply
from service.jobs.names import result_name
from service.store.records import DocumentState, StoredDocument

__all__ = ["FILE", "DocumentList", "DocumentReply", "upload_body"]

FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The translated file",
        "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
    }
}
"""How the answer with a file is described."""

_STATES: dict[DocumentState, Literal["waiting", "translating", "done", "failed"]] = {
    DocumentState.QUEUED: "waiting",
    DocumentState.TRANSLATING: "translating",
    DocumentState.DONE: "done",
    DocumentState.ERROR: "failed",
}


class DocumentReply(Reply):
    """A document that is translated in the background, and how far that is."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "4fdfb4f6-0a55-4f6c-9d43-6f0f1a2c8d11",
                    "state": "translating",
                    "progress": 0.25,
                    "seconds_left": 42,
                    "problem": None,
                    "name": "report.docx",
                    "result_name": "report.de.docx",
                    "format": "docx",
                    "source": "en",
                    "target": "de",
                    "characters": 12_345,
                    "created_at": 1_796_000_000,
                    "expires_at": 1_796_086_400,
                }
            ]
        }
    )

    id: str
    """Id of the document; where there are no API keys, who knows it may fetch and delete it."""
    state: Literal["waiting", "translating", "done", "failed"]
    """After "done" or "failed" it changes no more."""
    progress: float
    """Share of its texts that have been translated, from 0 to 1."""
    seconds_left: int | None
    """Estimated, while it is translated."""
    problem: str | None
    """Why it failed."""
    name: str
    """Name of the file that was sent."""
    result_name: str
    """Name of the translated file."""
    format: str
    """Such as "docx"."""
    source: str
    """Code of the document's language."""
    target: str
    """Code of the language that it is translated into."""
    characters: int
    """Those of its texts."""
    created_at: int
    """In seconds since 1970."""
    expires_at: int
    """When it is deleted, in seconds since 1970."""

    @classmethod
    def of(cls, document: StoredDocument) -> Self:
        """What is told of a document."""
        is_done = document.state is DocumentState.DONE
        share = document.done_units / document.total_units if document.total_units else 0.0
        return cls(
            id=document.id,
            state=_STATES[document.state],
            progress=1.0 if is_done else round(min(share, 1.0), 4),
            seconds_left=document.seconds_left,
            problem=document.error,
            name=document.name,
            result_name=result_name(document.name, document.target),
            format=document.format,
            source=document.source,
            target=document.target,
            characters=document.num_characters,
            created_at=document.created_at,
            expires_at=document.expires_at,
        )


class DocumentList(Reply):
    """Documents of a client, the newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"documents": [], "next": None}]})

    documents: list[DocumentReply]
    next: str | None
    """For `after` of the request for those that follow; null where there are none."""


def upload_body(required: list[str], **fields: str) -> dict[str, Any]:
    """The description of a form with a file.

    Args:
        required: fields that must be there besides the file.
        fields: descriptions of all others.
    """
    properties: dict[str, Any] = {
        "file": {"type": "string", "format": "binary", "description": "The document."}
    }
    properties |= {
        name: {"type": "string", "description": description} for name, description in fields.items()
    }
    schema = {"type": "object", "required": ["file", *required], "properties": properties}
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
