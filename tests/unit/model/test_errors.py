"""Messages that repeat what strangers wrote stay one line."""

import copy
import pickle

from model.errors import CheckpointError


def test_a_checkpoint_error_is_one_printable_line() -> None:
    error = CheckpointError("Größe\r\n\x1b[31m\u202e\udc80 犬")
    assert str(error) == r"Größe\r\n\x1b[31m\u202e\udc80 犬"
    assert str(copy.copy(error)) == str(pickle.loads(pickle.dumps(error))) == str(error)


def test_it_is_a_short_one() -> None:
    assert len(str(CheckpointError("x" * 10**6))) == 2000
    assert len(str(CheckpointError("\x1b" * 1999))) == 2000
