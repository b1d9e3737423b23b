"""Training: from a recipe to a model directory, through interruptions, on one machine or many."""

from __future__ import annotations

import contextlib
import json
import math
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from model.checkpoints.checkpoint import save_checkpoint, write_checkpoint
from model.errors import RecipeError
from model.heap import give_back_free_memory
from model.network.dropout import forget_drawn_factors
from model.training.batches import Epoch, PlannedBatch
from model.training.evaluation import quick_bleu
from model.training.int8 import multiplies_int8, require_int8
from model.training.interruption import sigterm_asks
from model.training.optimizer import ModelOptimizer
from model.training.precision import compute_dtype
from model.training.preparation import differing_shape, prepare
from model.training.processes import Processes
from model.training.recipe import Recipe, load_recipe
from model.training.run_folder import RunFolder
from model.training.schedule import learning_rate
from model.training.step import BatchLoss
from model.training.throughput import matmul_rate, training_flops

__all__ = ["Trainer", "train"]

_UPDATES_PER_METRIC = 25
_UPDATES_PER_ROUND = 10
"""Between them random numbers begin anew, clocks are looked at, and what was done may be saved."""


def train(
    recipe_path: Path,
    *,
    run_dir: Path,
    data_root: Path | None = None,
    resume: bool = True,
    stop_after: float | None = None,
    usable_every: float | None = None,
    progress: TextIO = sys.stderr,
) -> Path | None:
    """Runs a recipe to its end, or goes on where an earlier run stopped.

    Under torchrun every process calls this; together they take the batches that one would.

    Args:
        recipe_path: the YAML file.
        run_dir: where everything is kept; created when absent.
        data_root: takes the place of the recipe's `data.root`.
        resume: False refuses a folder that holds a run already.
        stop_after: seconds from now after which the run is interrupted, to be resumed; SIGTERM does
            the same. Both take up to ten updates, and a validation if one is under way.
        usable_every: seconds after which the best weights so far are kept as a model directory of
            their own (`RunFolder.usable`), and at the end of the call in any case: who may not come
            back has something then.

    Returns:
        The finished model directory, or None if the run was interrupted.

    Raises:
        RecipeError: the recipe, its data or the run's folder cannot be used.
        BackendUnavailableError: the recipe wants int8, for which the compiled engine is missing.
    """
    deadline = math.inf if stop_after is None else time.monotonic() + stop_after
    recipe = load_recipe(recipe_path)
    if data_root is not None:
        recipe = replace(recipe, data=replace(recipe.data, root=str(data_root)))
    if not resume and (run_dir / "state.pt").exists():
        raise RecipeError(f"{run_dir} must not hold a run already, but does")
    folder = RunFolder(run_dir)
    with Processes.joined() as processes, folder.locked() if processes.first else nullcontext():
        trainer = Trainer(recipe, folder, processes, progress)
        return trainer.finish() if trainer.run(deadline, usable_every) else None


@dataclass(kw_only=True)
class Progress:
    """Where a run stands: what an interruption must not lose."""

    step: int = 0
    """Updates done."""
    epoch: int = 0
    batch_in_epoch: int = 0
    source_tokens: int = 0
    target_tokens: int = 0
    seconds: float = 0.0
    """Seconds of training, over all interruptions."""
    best_bleu: float = -1.0
    validations_without_gain: int = 0


class Trainer:
    """One run of one recipe.

    A run that was interrupted goes on as if it had not been: from the state that it saved last,
    with the batches and the random numbers that came then. These follow from the recipe's seed and
    the number of the update alone.
    """

    def __init__(
        self, recipe: Recipe, folder: RunFolder, processes: Processes, progress_stream: TextIO
    ) -> None:
        self.recipe = recipe
        self.folder = folder
        self.processes = processes
        self.device = processes.device
        self._stream = progress_stream
        self._check_shares()
        if recipe.training.num_threads is not None:
            torch.set_num_threads(recipe.training.num_threads)
        torch.set_float32_matmul_precision("high")
        # Whatever cannot be had is found out before minutes of work.
        self.compute_dtype = compute_dtype(recipe.training.precision, self.device)
        int8 = recipe.training.precision == "int8"
        self._product_dtype = torch.int8 if int8 else self.compute_dtype
        if int8:
            require_int8()
            if not multiplies_int8():
                self._say("this CPU has no VNNI: precision float32 trains faster than int8")
        self._say("reading and tokenising the text")
        prepared = prepare(recipe, self.folder, self.processes)
        self.tokenizer, self.text = prepared.tokenizer, prepared.text
        self.valid, self.model = prepared.valid, prepared.model
        self.optimizer = ModelOptimizer(self.model, recipe.optimizer)
        self.batch_loss = self.processes.distribute(
            BatchLoss(
                self.model,
                pad_id=self.tokenizer.pad_id,
                label_smoothing=recipe.training.label_smoothing,
                compute_dtype=self.compute_dtype,
                compiled=recipe.training.compile,
                int8=int8,
            )
        )
        self.progress = Progress()
        self._norms: list[Tensor] = []
        self._matmul_rate = math.nan
        self._recorded = np.zeros(2), 0.0
        self._load_state()

    def run(self, deadline: float = math.inf, usable_every: float | None = None) -> bool:
        """Trains until `max_steps`, or until validation stops getting better.

        Args:
            deadline: on time.monotonic(), when to put the run aside.
            usable_every: see `train`.

        Returns:
            Whether the run has come to its end.
        """
        training = self.recipe.training
        self._begin()
        bar = tqdm(
            total=training.max_steps,
            initial=self.progress.step,
            file=self._stream,
            unit="update",
            disable=not self.processes.first,
            # A log file wants a line now and then, not a bar that redraws itself.
            mininterval=1.0 if self._stream.isatty() else 60.0,
            maxinterval=120.0,
        )
        last_saved = last_usable = time.monotonic()
        batches = self._batches()
        with bar, sigterm_asks() as asked:
            while not (self._done or self._agreed(asked() or time.monotonic() >= deadline)):
                started = time.monotonic()
                losses = self._update([next(batches) for _ in range(training.accumulate)])
                self.progress.seconds += time.monotonic() - started
                bar.update()
                if self.progress.step % _UPDATES_PER_METRIC == 0:
                    record = self._record(losses)
                    bar.set_postfix(loss=f"{record['loss']:.3f}", refresh=False)
                    self._write("update", record)
                    give_back_free_memory()
                if self.progress.step % training.validate_every == 0:
                    self._validate()
                if self.progress.step % _UPDATES_PER_ROUND == 0:
                    self._reseed()
                if self._agreed(time.monotonic() - last_saved >= training.checkpoint_every_seconds):
                    self._save_state()
                    last_saved = time.monotonic()
                often = math.inf if usable_every is None else usable_every
                if self._agreed(time.monotonic() - last_usable >= often):
                    self._keep_usable()
                    last_usable = time.monotonic()
            self._save_state()
            if usable_every is not None:
                self._keep_usable()
        if not self._done:
            self._say(f"interrupted at update {self.progress.step}, to be resumed")
        elif self.progress.step < training.max_steps:
            self._say("validation has stopped getting better")
        return self._done

    def finish(self) -> Path:
        """Writes the model directory, with the best of: the last weights, the best, the mean."""
        if self.processes.first:
            self._finish()
        self.processes.wait()
        return self.folder.model

    def _finish(self) -> None:
        bleu, kind = self._valid_bleu(), "the last update"
        weights = {name: p.detach().clone() for name, p in self.model.named_parameters()}
        for other, candidate in self.folder.candidates().items():
            self.model.load_state_dict(candidate, strict=False)
            other_bleu = self._valid_bleu()
            if self._mean(other_bleu) > self._mean(bleu):
                bleu, kind, weights = other_bleu, other, candidate
        self.model.load_state_dict(weights, strict=False)
        recipe = self.recipe
        save_checkpoint(
            self.folder.model, self.model, self.tokenizer, recipe.metadata(),
            recipe.generation_config(),
        )  # fmt: skip
        end = {
            "step": self.progress.step,
            "seconds": round(self.progress.seconds, 1),
            "source_tokens": self.progress.source_tokens,
            "target_tokens": self.progress.target_tokens,
            "weights": kind,
            "bleu": bleu,
        }
        self._write("end", end)
        self._say(f"{kind}: BLEU {_pretty(bleu)}")

    def _keep_usable(self) -> None:
        """Writes the best weights so far, the present ones as long as none were validated."""
        self._check_norms()
        if not self.processes.first:
            return
        weights = self.folder.best_weights() or dict(self.model.named_parameters())
        write_checkpoint(
            self.folder.usable,
            {name: weight.detach().cpu().numpy() for name, weight in weights.items()},
            self.model.config,
            self.tokenizer.files,
            self.recipe.metadata(),
            self.recipe.generation_config(),
        )

    @property
    def _done(self) -> bool:
        training = self.recipe.training
        return (
            self.progress.step >= training.max_steps
            or self.progress.validations_without_gain >= training.patience
        )

    def _agreed(self, requested: bool) -> bool:
        """Whether any process requests it; only between two rounds, so that all do it together."""
        return self.progress.step % _UPDATES_PER_ROUND == 0 and self.processes.anyone(requested)

    def _begin(self) -> None:
        training, processes = self.recipe.training, self.processes
        # Peaks of several processes on one CPU are not independent; on GPUs they are.
        rate = self._matmul_rate = matmul_rate(self.device, self._product_dtype)
        progress = self.progress
        self._recorded = (
            np.array([progress.source_tokens, progress.target_tokens]),
            progress.seconds,
        )
        self._say(
            f"{self.model.num_parameters:,} parameters, {len(self.text):,} pairs, "
            f"{processes.count} x {self.device.type} in {self._product_dtype} "
            f"(products at {rate / 1e12:.2f} TFLOP/s each), "
            f"update {self.progress.step} of {training.max_steps}"
        )
        if processes.first:
            self.folder.discard_after(self.progress.step, validated=progress.best_bleu >= 0)
        start = {
            "step": self.progress.step,
            "parameters": self.model.num_parameters,
            "processes": processes.count,
            "device": self.device.type,
            "dtype": str(self._product_dtype).removeprefix("torch."),
            "matmul_tflops": round(rate / 1e12, 3),
        }
        self._write("start", start)

    def _update(self, planned: list[PlannedBatch]) -> Tensor:
        """One step of the optimiser over one or more batches, shared by the processes.

        Returns:
            (2,) this process's part of the mean losses of the target tokens: smoothed and plain.
        """
        recipe, progress, processes = self.recipe, self.progress, self.processes
        self.model.train()
        rate = self._learning_rate(progress.step + 1)
        num_tokens = sum(batch.num_target_tokens for batch in planned)
        losses = torch.zeros(2, device=self.device)
        own = planned[processes.rank :: processes.count]
        for index, batch in enumerate(own):
            with self._gradients_exchanged(index == len(own) - 1):
                loss, nll = self.batch_loss(batch.make())
                # Gradients are averaged over the processes, but a mean over all tokens is wanted.
                (loss * (processes.count / num_tokens)).backward()
            losses += torch.stack((loss.detach(), nll)) / num_tokens
        limit = recipe.optimizer.clip_norm or math.inf
        self._norms.append(torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit))
        self.optimizer.step(rate)
        progress.step += 1
        progress.source_tokens += sum(batch.num_source_tokens for batch in planned)
        progress.target_tokens += num_tokens
        return losses

    def _learning_rate(self, step: int) -> float:
        return learning_rate(
            step,
            self.recipe.optimizer,
            d_model=self.model.config.d_model,
            max_steps=self.recipe.training.max_steps,
        )

    def _gradients_exchanged(self, last: bool) -> AbstractContextManager[None]:
        if isinstance(self.batch_loss, DistributedDataParallel) and not last:
            return self.batch_loss.no_sync()
        return nullcontext()

    def _record(self, losses: Tensor) -> dict[str, Any]:
        """The numbers of the update that was just made."""
        loss, nll = self.processes.summed(losses).tolist()
        progress = self.progress
        return {
            "step": progress.step,
            "epoch": progress.epoch,
            "loss": round(loss, 4),
            "nll": round(nll, 4),
            "gradient_norm": round(float(self._norms[-1]), 4),
            "learning_rate": self._learning_rate(progress.step),
            "target_tokens": progress.target_tokens,
            "seconds": round(progress.seconds, 1),
            **self._rates(),
        }

    def _rates(self) -> dict[str, float]:
        """Throughput over the updates since the last record."""
        tokens = np.array([self.progress.source_tokens, self.progress.target_tokens])
        seconds = self.progress.seconds
        (source, target), passed = tokens - self._recorded[0], seconds - self._recorded[1]
        self._recorded = tokens, seconds
        flops = training_flops(self.model, int(source), int(target)) / max(passed, 1e-9)
        available = self._matmul_rate * self.processes.count
        return {
            "target_tokens_per_second": round(target / max(passed, 1e-9)),
            "utilisation": round(flops / available, 3),
        }

    def _check_norms(self) -> None:
        """Refuses to go on, or to save, after an update that has made every weight NaN.

        Looked at only now and then, because a look waits for the GPU.
        """
        norms = torch.stack(self._norms).tolist() if self._norms else []
        first = self.progress.step - len(norms) + 1
        self._norms.clear()
        for step, norm in enumerate(norms, start=first):
            if not math.isfinite(norm):
                raise RecipeError(
                    f"the gradient of update {step} must be finite, but is {norm}: "
                    "try a lower learning rate or precision float32"
                )

    def _batches(self) -> Iterator[PlannedBatch]:
        """Endless; counts epochs and batches in `progress`."""
        training, progress = self.recipe.training, self.progress
        while True:
            epoch = Epoch(
                self.text,
                epoch=progress.epoch,
                seed=training.seed,
                batch_tokens=training.batch_tokens,
                pad_id=self.tokenizer.pad_id,
                bos_id=self.tokenizer.bos_id,
            )
            for batch in epoch.batches(skip=progress.batch_in_epoch):
                progress.batch_in_epoch += 1
                yield batch
            progress.epoch += 1
            progress.batch_in_epoch = 0

    def _validate(self) -> None:
        self._check_norms()
        progress = self.progress
        bleu = self.processes.from_first(self._valid_bleu() if self.processes.first else None)
        mean = self._mean(bleu)
        progress.validations_without_gain += 1
        better = mean > progress.best_bleu
        if better:
            progress.best_bleu = mean
            progress.validations_without_gain = 0
        if self.processes.first:
            keep = self.recipe.training.average_checkpoints
            self.folder.keep_weights(self.model, progress.step, keep=keep, best=better)
        self._say(f"update {progress.step}: BLEU {_pretty(bleu)}")
        record = {"step": progress.step, "bleu": bleu, "mean_bleu": round(mean, 2)}
        self._write("valid", record)

    def _valid_bleu(self) -> dict[str, float]:
        self.model.eval()
        limit = min(self.recipe.data.max_tokens, self.model.config.max_positions)
        return {
            name: round(quick_bleu(self.model, self.tokenizer, pairs, limit), 2)
            for name, pairs in self.valid.items()
        }

    def _save_state(self) -> None:
        self._check_norms()
        if self.processes.first:
            state = {
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "progress": vars(self.progress),
                "config": json.loads(json.dumps(self.model.config.to_dict())),
            }
            self.folder.save_state(state)

    def _load_state(self) -> None:
        state = self.folder.load_state(self.device)
        if state is not None:
            try:
                # States of earlier versions have no configuration.
                config = self.model.config.to_dict()
                if differing := differing_shape(state.get("config", config), config):
                    raise ValueError(f"its model has {differing}")
                self.model.load_state_dict(state["model"])
                self.optimizer.load_state_dict(state["optimizer"])
                self.progress = Progress(**state["progress"])
            except (AttributeError, RuntimeError, KeyError, TypeError, ValueError) as error:
                raise RecipeError(
                    f"{self.folder.state} must be a state of this recipe, but cannot be resumed: "
                    f"{error}"
                ) from error
        self._reseed()

    def _reseed(self) -> None:
        """Whoever saves and whoever resumes draw the same numbers from here on."""
        seeds = self.recipe.training.seed, self.progress.step, self.processes.rank
        torch.manual_seed(int(np.random.SeedSequence(seeds).generate_state(1)[0]))
        forget_drawn_factors()

    def _check_shares(self) -> None:
        accumulate, count = self.recipe.training.accumulate, self.processes.count
        if accumulate % count:
            raise RecipeError(
                f"`accumulate` must be a multiple of the {count} processes, which share the "
                f"batches of an update, but is {accumulate}"
            )

    def _write(self, kind: str, record: dict[str, Any]) -> None:
        if self.processes.first:
            self.folder.write_metrics(kind, record)

    def _say(self, message: str) -> None:
        if self.processes.first:
            tqdm.write(message, file=self._stream)
            with contextlib.suppress(OSError):
                self._stream.flush()

    @staticmethod
    def _mean(bleu: dict[str, float]) -> float:
        return sum(bleu.values()) / len(bleu)


def _pretty(bleu: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.1f}" for name, value in bleu.items())
