"""Named tuples made of columns: each takes half as long as one that is made by itself."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, TypeVar

__all__ = ["named_rows"]

_Row = TypeVar("_Row", bound=tuple[Any, ...])


def named_rows(kind: type[_Row], *columns: Iterable[object]) -> list[_Row]:
    """A tuple of a `NamedTuple` class for each row of equally long columns.

    Args:
        kind: the class.
        columns: one for each of its fields, in their order, those with defaults included.

    Raises:
        ValueError: the columns are not as many as the fields, or not equally long.
    """
    if len(columns) != len(kind._fields):  # type: ignore[attr-defined]
        raise ValueError(f"{kind.__name__} has other fields than {len(columns)}")
    return list(map(partial(tuple.__new__, kind), zip(*columns, strict=True)))
