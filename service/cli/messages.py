"""What a command says to its user beside what it is asked for: lines on stderr."""

from __future__ import annotations

import sys
from typing import NoReturn

__all__ = ["fail", "remark"]


def remark(line: str) -> None:
    """Says one line."""
    print(f"polyhead: {line}", file=sys.stderr)


def fail(message: str) -> NoReturn:
    """Says what is wrong and ends with status 1."""
    remark(message)
    sys.exit(1)
