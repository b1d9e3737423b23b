"""Messages of the commands on stderr."""

from __future__ import annotations

import sys
from typing import NoReturn

__all__ = ["fail", "remark"]


def remark(line: str) -> None:
    """Prints a line to stderr."""
    print(f"polyhead: {line}", file=sys.stderr)


def fail(message: str) -> NoReturn:
    """Prints an error and exits with status 1."""
    remark(message)
    sys.exit(1)
