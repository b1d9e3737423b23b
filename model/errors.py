"""Every exception that `model` raises on purpose.

PolyheadError
├── InvalidRequestError      this request cannot be served: the caller must change it
│   ├── UnsupportedLanguageError
│   ├── InvalidOptionError   an option of its texts breaks a rule
│   ├── TooLongForDeadlineError  its own work would take longer than its deadline allows
│   └── BackendUnavailableError  this machine cannot run the engine that was asked for
├── RequestFailedError       this request failed, the next one may succeed
│   ├── QueueFullError       the waiting queue has no room: try again later
│   ├── DeadlineExceededError
│   ├── ModelNotLoadedError  its model cannot be loaded now, or takes too much memory
│   └── RequestCancelledError
├── EngineDeadError          this engine serves nothing any more: replace the replica
├── CheckpointError          a model directory is missing something, damaged, or of another kind
│   └── ImportRefusedError   another project's checkpoint cannot become a model directory
├── DownloadError            the files of a model cannot be had from where they are
└── RecipeError              a training recipe or its data cannot be used
"""

from collections.abc import Iterable


class PolyheadError(Exception):
    """The root of the tree."""


class InvalidRequestError(PolyheadError, ValueError):
    """The request breaks a rule; the message says what must be and what was."""


class UnsupportedLanguageError(InvalidRequestError):
    """No loaded model translates between the two languages."""


class InvalidOptionError(InvalidRequestError):
    """An option of the texts breaks a rule; `field` is its name."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class TooLongForDeadlineError(InvalidRequestError):
    """The request's own work would take longer than its deadline allows, with nobody before it."""


class BackendUnavailableError(InvalidRequestError):
    """A way to run the engine needs what is missing here: a compiler, a CPU feature, a type."""


class RequestFailedError(PolyheadError):
    """This request failed, others are not concerned."""


class QueueFullError(RequestFailedError):
    """The bounded waiting queue of an engine is full."""


class DeadlineExceededError(RequestFailedError):
    """The deadline passed before the work was done."""


class ModelNotLoadedError(RequestFailedError):
    """The model cannot be loaded now, or takes more memory than there is for models."""


class RequestCancelledError(RequestFailedError):
    """The caller gave the request up."""


class EngineDeadError(PolyheadError):
    """The engine's loop has stopped, through close() or through an error it cannot survive."""


class CheckpointError(PolyheadError):
    """A model directory cannot be used; the message is one printable line.

    It may repeat what the directory holds, and so comes from whoever made the directory.
    """

    def __init__(self, message: str) -> None:
        super().__init__(_one_line(message))


class ImportRefusedError(CheckpointError):
    """Another project's checkpoint cannot become a model directory."""

    def __init__(self, what: object, reasons: Iterable[str]) -> None:
        self.reasons = tuple(map(_one_line, reasons))
        """All that stands against it, each a printable line."""
        super().__init__(f"cannot import {what}: {'; '.join(self.reasons)}")


class DownloadError(PolyheadError):
    """The files of a model cannot be had from where they are; the message is one printable line."""

    def __init__(self, message: str) -> None:
        super().__init__(_one_line(message))


class RecipeError(PolyheadError):
    """A training recipe, or the data it names, cannot be used."""


_MOST_CHARACTERS = 2000
"""Longest line; the longest path alone has 4,096 bytes, but nobody reads on."""


def _one_line(message: str) -> str:
    line = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in message[: _MOST_CHARACTERS + 1]
    )
    return line if len(line) <= _MOST_CHARACTERS else f"{line[: _MOST_CHARACTERS - 1]}…"
