"""YAML that would make much of little."""

from __future__ import annotations

import pytest
import yaml

from model.checkpoints.importers.marian_options import read_yaml
from model.checkpoints.importers.marian_vocabulary import read_vocabulary_yaml
from model.checkpoints.importers.plain_yaml import load_yaml
from model.errors import CheckpointError


def test_plain_values_are_read() -> None:
    assert load_yaml("a: 1\nb: [2, {c: x}]\n") == {"a": 1, "b": [2, {"c": "x"}]}
    assert load_yaml("a: 1", yaml.BaseLoader) == {"a": "1"}


def test_what_is_nested_beyond_measure_is_refused_without_recursion() -> None:
    # A loader in C would end the process.
    with pytest.raises(CheckpointError, match="nested"):
        read_vocabulary_yaml(b"[" * 200_000)
    with pytest.raises(ValueError, match="nested"):
        load_yaml("[" * 21 + "]" * 21)


def test_aliases_are_refused() -> None:
    doubled = "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
    with pytest.raises(CheckpointError, match="aliases"):
        read_yaml(f"a0: &a0 [x]\n{doubled}".encode(), "the head of README.md")
