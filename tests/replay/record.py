"""A recording of what Python asks of the compiled engine, in the form that replay.cc reads."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from unittest import mock

from model.engine.native import binding
from model.engine.native.c_interface import load

__all__ = ["recorded"]

_MODEL, _LINEAR, _NORM, _POSITIONS, _RUNNER, _EXECUTE, _HEADS = range(1, 8)
# What changes nothing, or what a replay does by itself.
_UNRECORDED = {
    "ph_model_bytes", "ph_model_free", "ph_model_missing", "ph_runner_free", "ph_runner_interrupt",
    "ph_runner_num_running",
}  # fmt: skip


@contextmanager
def recorded(file: Path) -> Iterator[None]:
    """Writes the calls for the one model, with one runner, that is loaded within the block."""
    with (
        file.open("wb") as stream,
        mock.patch.object(binding, "load", lambda library: _Recorder(load(library), stream)),
    ):
        yield


class _Recorder:
    """The library, with a copy of all that goes in."""

    def __init__(self, library: ctypes.CDLL, stream: BinaryIO) -> None:
        self._library = library
        self._stream = stream
        self._config: Any = None

    def __getattr__(self, name: str) -> Any:
        if name not in _UNRECORDED:
            raise AttributeError(f"{name} must be recorded for a replay, but is not")
        return getattr(self._library, name)

    def ph_model_new(self, config: Any) -> Any:
        self._config = config._obj
        self._write(_MODEL, bytes(self._config))
        return self._library.ph_model_new(config)

    def ph_model_set_linear(
        self, model: Any, name: bytes, weight: int, bias: int | None, outputs: int, inputs: int
    ) -> Any:
        self._write(
            _LINEAR, name + b"\0", outputs, inputs, _floats(weight, outputs * inputs),
            bias is not None, _floats(bias, outputs) if bias else b"",
        )  # fmt: skip
        return self._library.ph_model_set_linear(model, name, weight, bias, outputs, inputs)

    def ph_model_set_norm(self, model: Any, name: bytes, gain: int, bias: int) -> Any:
        width = self._config.d_model
        self._write(_NORM, name + b"\0", _floats(gain, width), _floats(bias, width))
        return self._library.ph_model_set_norm(model, name, gain, bias)

    def ph_model_set_positions(self, model: Any, source: int, target: int) -> None:
        size = self._config.max_positions * self._config.d_model
        self._write(_POSITIONS, _floats(source, size), _floats(target, size))
        self._library.ph_model_set_positions(model, source, target)

    def ph_model_set_alignment_heads(self, model: Any, pairs: int, count: int) -> Any:
        self._write(_HEADS, count, ctypes.string_at(pairs, 8 * count))
        return self._library.ph_model_set_alignment_heads(model, pairs, count)

    def ph_runner_new(self, model: Any, max_slots: int) -> Any:
        self._write(_RUNNER, max_slots)
        return self._library.ph_runner_new(model, max_slots)

    def ph_runner_execute(
        self, runner: Any, removed: int, num_removed: int, newcomers: Any, num_newcomers: int,
        active: int | None, num_active: int, max_steps: int, outcome: Any,
    ) -> None:  # fmt: skip
        self._library.ph_runner_execute(
            runner, removed, num_removed, newcomers, num_newcomers, active, num_active, max_steps,
            outcome,
        )  # fmt: skip
        self._write(_EXECUTE, num_removed, ctypes.string_at(removed, 8 * num_removed))
        self._write(num_newcomers)
        for index in range(num_newcomers):
            each = newcomers[index]
            self._write(
                struct.pack("=q", each.id), each.source_len, each.beam_size, each.max_new_tokens,
                ctypes.string_at(each.source, 4 * each.source_len),
                ctypes.string_at(each.slots, 4 * each.beam_size),
                each.prefix_len, ctypes.string_at(each.prefix, 4 * each.prefix_len),
                each.shortlist_len,
                ctypes.string_at(each.shortlist, 4 * each.shortlist_len)
                if each.shortlist
                else b"",
                each.align_first, each.align_last, bytes(each.options),
            )  # fmt: skip
        self._write(-1 if active is None else num_active)
        if active is not None:
            self._write(ctypes.string_at(active, 8 * num_active))
        # Interrupts come at any time: what matters is how far it went.
        self._write(outcome._obj.steps or max_steps)

    def _write(self, *values: int | bytes) -> None:
        for value in values:
            blob = value if isinstance(value, bytes) else struct.pack("=i", value)
            self._stream.write(blob)


def _floats(address: int, count: int) -> bytes:
    return ctypes.string_at(address, 4 * count)
