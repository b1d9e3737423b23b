"""Parts of a binary file, none that it does not have."""

from __future__ import annotations

import struct

from model.errors import CheckpointError

__all__ = ["ByteReader"]


class ByteReader:
    """Takes one part after the other off a file's content, none that it does not have."""

    def __init__(self, content: memoryview) -> None:
        self._content = content

    @property
    def left(self) -> int:
        """Bytes that nobody has taken."""
        return len(self._content)

    def take(self, length: int, what: str) -> memoryview:
        """The next bytes; CheckpointError, which names `what`, if there are fewer."""
        if length > self.left:
            raise CheckpointError(
                f"{what} must have {length} bytes, but the file ends after {self.left}"
            )
        part, self._content = self._content[:length], self._content[length:]
        return part

    def unpack(self, form: struct.Struct, what: str) -> tuple[int, ...]:
        """The next numbers of a form; CheckpointError as `take`."""
        return form.unpack(self.take(form.size, what))

    def number(self, form: str, what: str) -> int:
        """The next number of a form; CheckpointError as `take`."""
        (value,) = struct.unpack(form, self.take(struct.calcsize(form), what))
        return int(value)
