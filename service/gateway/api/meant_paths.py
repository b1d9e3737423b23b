"""The path that a client must have meant by one that has a slash or a base address too many."""

from __future__ import annotations

from collections.abc import Collection

__all__ = ["is_same_but_slashes", "meant_path", "relative_to"]

_MOST_PARTS = 16


def meant_path(path: str, known: Collection[str]) -> str:
    """ "/translate" for "//translate", "/translate/", "/translate/translate" and "/api/translate".

    Args:
        path: of a request, with no route.
        known: paths without parameters.

    Returns:
        One of `known`, or "".
    """
    parts = [part for part in path.split("/", 2 * _MOST_PARTS) if part][:_MOST_PARTS]
    ends = ("/" + "/".join(parts[begin:]) for begin in range(len(parts)))
    return next((end for end in ends if end in known), "")


def is_same_but_slashes(path: str, meant: str) -> bool:
    """Whether a path has nothing but slashes too many."""
    return [part for part in path.split("/") if part] == meant.strip("/").split("/")


def relative_to(path: str, meant: str) -> str:
    """A reference from one path to another that holds also where a proxy has taken a prefix off."""
    return "../" * (path.count("/") - 1) + meant.lstrip("/")
