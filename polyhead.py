"""Translation in a program's own process: what `import polyhead` offers.

import polyhead

with polyhead.Translator.load("en-de") as translator:
    [translation] = translator.translate(["Good evening."])
    print(translation.text)
"""

from __future__ import annotations

from model.config import EngineConfig, GenerationConfig, Priority
from model.errors import (
    BackendUnavailableError,
    CheckpointError,
    DeadlineExceededError,
    DownloadError,
    EngineDeadError,
    ImportRefusedError,
    InvalidOptionError,
    InvalidRequestError,
    PolyheadError,
    QueueFullError,
    RequestCancelledError,
    RequestFailedError,
    TooLongForDeadlineError,
    UnsupportedLanguageError,
)
from model.text.word_links import WordLink
from model.text_options import GlossaryEntry, KeptSpan, TextFormat, TextOptions
from model.translation import (
    FinishReason,
    Progress,
    TextDelta,
    Translation,
    TranslationHypothesis,
)
from model.translator import Translator

__all__ = [
    "BackendUnavailableError",
    "CheckpointError",
    "DeadlineExceededError",
    "DownloadError",
    "EngineConfig",
    "EngineDeadError",
    "FinishReason",
    "GenerationConfig",
    "GlossaryEntry",
    "ImportRefusedError",
    "InvalidOptionError",
    "InvalidRequestError",
    "KeptSpan",
    "PolyheadError",
    "Priority",
    "Progress",
    "QueueFullError",
    "RequestCancelledError",
    "RequestFailedError",
    "TextDelta",
    "TextFormat",
    "TextOptions",
    "TooLongForDeadlineError",
    "Translation",
    "TranslationHypothesis",
    "Translator",
    "UnsupportedLanguageError",
    "WordLink",
]
