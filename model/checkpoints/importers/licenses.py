"""Licences of models: what their cards say, what is usual, and what must be known of one."""

from __future__ import annotations

from model.checkpoints.importers.marian_options import read_yaml
from model.checkpoints.importers.source_files import SourceFiles
from model.checkpoints.manifest import ModelMetadata
from model.errors import CheckpointError

__all__ = ["NLLB_LICENSE", "UNKNOWN_LICENSE", "card_license", "license_notes"]

UNKNOWN_LICENSE = "not stated"
NLLB_LICENSE = "CC-BY-NC-4.0"
"""The licence of NLLB-200's models, whoever converted them."""

_CARD = "README.md"
_MOST_CARD_BYTES = 4 * 2**20
_NOT_COMMERCIAL = "-nc"


def card_license(files: SourceFiles) -> str | None:
    """The licence in the head of a model's card, README.md; None if there is none.

    Raises:
        CheckpointError: the card cannot be read.
    """
    if _CARD not in files.names():
        return None
    text = files.read(_CARD, _MOST_CARD_BYTES).decode("utf-8-sig", errors="replace")
    begin, _, rest = "\n".join(text.splitlines()).partition("---\n")
    if begin.strip():
        return None
    try:
        card = read_yaml(rest.partition("\n---")[0].encode(), f"the head of {_CARD}")
    except CheckpointError:  # a card is for people
        return None
    value = card.get("license")
    if value == "other":
        value = card.get("license_name", value)
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    return value.strip()[:200] if isinstance(value, str) and value.strip() else None


def license_notes(metadata: ModelMetadata) -> tuple[str, ...]:
    """What must be known of a licence, in sentences."""
    if _NOT_COMMERCIAL in metadata.license.casefold():
        return (f"Its licence is {metadata.license}: it must not be used commercially.",)
    if metadata.license == UNKNOWN_LICENSE:
        return ("Its files state no licence: ask those who made it, or say which it is.",)
    return (f"Its licence is {metadata.license}.",)
