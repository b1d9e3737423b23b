"""What may happen to a file: it ends early, it grows, bits flip, numbers in it become large."""

from __future__ import annotations

from hypothesis import strategies as st

__all__ = ["damaged"]


@st.composite
def damaged(draw: st.DrawFn, whole: bytes, head: int = 512) -> bytes:
    """`whole`, with one to three kinds of damage, half of them in its first `head` bytes."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 3))):
        last = max(len(content) - 1, 0)
        place = draw(st.integers(0, min(head, last)) | st.integers(0, last))
        kind = draw(st.sampled_from(["truncated", "inflated", "flipped", "replaced"]))
        if kind == "truncated":
            del content[place:]
        elif kind == "inflated":
            content[place:place] = draw(st.binary(min_size=1, max_size=64))
        elif kind == "flipped" and content:
            content[place] ^= 1 << draw(st.integers(0, 7))
        else:
            content[place : place + 8] = draw(st.binary(min_size=8, max_size=8))
    return bytes(content)
