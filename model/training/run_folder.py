"""What a run leaves on disk, written so that a machine that goes down costs minutes.

tokenizer.model    learned once
state.pt           weights, optimiser and place in the data, every couple of minutes
weights/           the weights at the last validations, to be averaged, and at the best one
text/              the text as token ids, and what took long to prepare
metrics.jsonl      one JSON object a line: kind "start", "update", "valid" or "end"
model/             the result, a model directory
usable/            the best so far as one, of who asked for it
lock               held while a process trains here
"""

from __future__ import annotations

import fcntl
import json
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from model.errors import RecipeError

__all__ = ["RunFolder", "average_weights", "written_whole"]


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A name under which to write a file, which becomes `path` when all of it is on the disk.

    Raises:
        RecipeError: it cannot be written; what `path` was before, it still is.
    """
    partial = path.with_suffix(".partial")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except (OSError, RuntimeError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        # torch.save turns every cause into a RuntimeError that does not name it.
        why = error if isinstance(error, OSError) else f"is the disk full? {error}"
        raise RecipeError(f"cannot write {path}: {why}") from error


class RunFolder:
    """The files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from training here.

        Raises:
            RecipeError: another one does already.
        """
        with (self.path / "lock").open("wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RecipeError(
                    f"{self.path} must be a folder in which nobody trains, but another process does"
                ) from error
            yield

    @property
    def tokenizer(self) -> Path:
        """The learned vocabulary."""
        return self.path / "tokenizer.model"

    def text(self, name: str) -> Path:
        """Parallel text that took long to prepare."""
        return self._text / f"{name}.tsv.gz"

    def tokens(self, made_of: int) -> Path:
        """The text as token ids; `made_of` is a checksum of what they come from."""
        return self._text / f"tokens-{made_of:08x}.npz"

    @property
    def _text(self) -> Path:
        folder = self.path / "text"
        folder.mkdir(exist_ok=True)
        return folder

    @property
    def model(self) -> Path:
        """The finished model directory."""
        return self.path / "model"

    @property
    def usable(self) -> Path:
        """The model directory of the best weights so far, of who asked for it."""
        return self.path / "usable"

    @property
    def state(self) -> Path:
        """What a run goes on from."""
        return self.path / "state.pt"

    def save_state(self, state: dict[str, Any]) -> None:
        """Keeps the state, all of it or none."""
        with written_whole(self.state) as partial, partial.open("wb") as file:
            torch.save(state, file)

    def load_state(self, device: torch.device) -> dict[str, Any] | None:
        """The kept state, or None in a new folder.

        Raises:
            RecipeError: the file is damaged.
        """
        if not self.state.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(self.state, map_location=device, weights_only=True)
        except (RuntimeError, ValueError, OSError, EOFError, pickle.UnpicklingError) as error:
            raise RecipeError(
                f"{self.state} must be a state of this recipe, but cannot be resumed: {error}"
            ) from error
        return state

    def keep_weights(self, model: nn.Module, step: int, *, keep: int, best: bool) -> None:
        """Keeps the weights of a validation, of the last `keep` and of the best one."""
        folder = self.path / "weights"
        folder.mkdir(exist_ok=True)
        tensors = {name: p.detach().cpu().contiguous() for name, p in model.named_parameters()}
        names = [f"step-{step:08d}", *(["best"] if best else [])]
        for path in (folder / f"{name}.safetensors" for name in names):
            with written_whole(path) as partial:
                save_file(tensors, partial)
        for old in self._last_weights()[:-keep]:
            old.unlink()

    def candidates(self) -> dict[str, dict[str, Tensor]]:
        """Weights that may be better than the last ones, by what they are."""
        found = {}
        if len(last := self._last_weights()) > 1:
            found[f"the mean of the last {len(last)} validations"] = average_weights(last)
        if (best := self.best_weights()) is not None:
            found["the best validation"] = best
        return found

    def best_weights(self) -> dict[str, Tensor] | None:
        """Those of the best validation, if there was one."""
        return load_file(self._best_weights) if self._best_weights.exists() else None

    @property
    def _best_weights(self) -> Path:
        return self.path / "weights" / "best.safetensors"

    def _last_weights(self) -> list[Path]:
        return sorted((self.path / "weights").glob("step-*.safetensors"))

    def write_metrics(self, kind: str, record: dict[str, Any]) -> None:
        """One line, at once."""
        try:
            with self._metrics.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"kind": kind, **record}) + "\n")
        except OSError as error:
            raise RecipeError(f"cannot write {self._metrics}: {error}") from error

    def discard_after(self, step: int, *, validated: bool) -> None:
        """Drops what updates left that an interruption has undone: they come again.

        Args:
            validated: whether the best weights are of an update up to `step`.
        """
        for path in self._last_weights():
            if int(path.stem.removeprefix("step-")) > step:
                path.unlink()
        if not validated:
            self._best_weights.unlink(missing_ok=True)
        if self._metrics.exists():
            lines = self._metrics.read_text(encoding="utf-8", errors="replace").split("\n")
            with written_whole(self._metrics) as partial:
                kept = "".join(f"{line}\n" for line in lines if _stands(line, step))
                partial.write_text(kept, encoding="utf-8")

    @property
    def _metrics(self) -> Path:
        return self.path / "metrics.jsonl"


def average_weights(files: list[Path]) -> dict[str, Tensor]:
    """The mean of several files of weights, as section 6.1 averages checkpoints."""
    total = {name: tensor.double() for name, tensor in load_file(files[0]).items()}
    for path in files[1:]:
        for name, tensor in load_file(path).items():
            total[name] += tensor
    return {name: (tensor / len(files)).float() for name, tensor in total.items()}


def _stands(line: str, step: int) -> bool:
    try:
        record = json.loads(line)
        return record["kind"] != "end" and bool(record["step"] <= step)
    except (ValueError, KeyError, TypeError):
        return False  # the machine went down, or the disk was full, while it was written
