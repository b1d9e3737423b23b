"""Codes of languages, as models write them and as people do."""

from __future__ import annotations

import pytest

from model.checkpoints.importers.language_codes import chosen_tokens, is_language
from model.errors import CheckpointError

_KNOWN = {
    code: f"<{code}>" for code in ("eng_Latn", "deu_Latn", "zho_Hant", "aka_Latn", "twi_Latn")
}


def test_groups_are_no_languages() -> None:
    assert all(map(is_language, ("de", "deu", "zh_Hans")))
    assert not any(map(is_language, ("mul", "ROMANCE", "")))


def test_languages_are_called_as_they_are_asked_for() -> None:
    assert chosen_tokens([], _KNOWN) == _KNOWN
    chosen = chosen_tokens(["en", "deu_Latn", "zh-hant"], _KNOWN)
    assert chosen == {"en": "<eng_Latn>", "deu_Latn": "<deu_Latn>", "zh-hant": "<zho_Hant>"}
    with pytest.raises(CheckpointError, match="'fr' must be one of aka_Latn, deu_Latn"):
        chosen_tokens(["fr"], _KNOWN)
    with pytest.raises(CheckpointError, match="aka_Latn, twi_Latn, which it may all be"):
        chosen_tokens(["ak"], _KNOWN)
