"""Training: from a recipe to a model directory, through interruptions.

What a run leaves in its folder:

    tokenizer.model    learned once
    state.pt           weights, optimiser and place in the data, every couple of minutes
    weights/           the weights at the last validations, to be averaged
    metrics.jsonl      one JSON object a line: kind "update", "valid" or "end"
    model/             the result, a model directory
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import pickle
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from model.checkpoint import ModelMetadata, save_checkpoint
from model.config import GenerationConfig
from model.errors import RecipeError
from model.tokenizer import Tokenizer
from model.training.data import (
    Batch,
    TokenizedCorpus,
    batches_of_epoch,
    learn_tokenizer,
    read_pairs,
    tokenize,
)
from model.training.evaluation import quick_bleu
from model.training.loss import fused_projection_loss
from model.training.recipe import Recipe, load_recipe
from model.training.schedule import learning_rate
from model.transformer import Transformer

__all__ = ["Trainer", "average_weights", "train"]

_UPDATES_PER_METRIC = 25


def train(
    recipe_path: Path,
    *,
    run_dir: Path,
    data_root: Path | None = None,
    resume: bool = True,
    progress: TextIO = sys.stderr,
) -> Path:
    """Runs a recipe to its end, or goes on where an earlier run stopped.

    Args:
        recipe_path: the YAML file.
        run_dir: where everything is kept; created when absent.
        data_root: takes the place of the recipe's `data.root`.
        resume: False refuses a folder that holds a run already.

    Returns:
        The finished model directory.

    Raises:
        RecipeError: the recipe, its data or the run's folder cannot be used.
    """
    recipe = load_recipe(recipe_path)
    if data_root is not None:
        recipe = replace(recipe, data=replace(recipe.data, root=str(data_root)))
    if not resume and (run_dir / "state.pt").exists():
        raise RecipeError(f"{run_dir} must not hold a run already, but does")
    trainer = Trainer(recipe, run_dir, progress)
    trainer.run()
    return trainer.finish()


@dataclass(kw_only=True)
class Progress:
    """Where a run stands: what an interruption must not lose."""

    step: int = 0
    """Updates done."""
    epoch: int = 0
    batch_in_epoch: int = 0
    target_tokens: int = 0
    seconds: float = 0.0
    """Of training, over all interruptions."""
    best_bleu: float = -1.0
    validations_without_gain: int = 0


class Trainer:
    """One run of one recipe."""

    def __init__(self, recipe: Recipe, run_dir: Path, progress_stream: TextIO) -> None:
        self.recipe = recipe
        self.run_dir = run_dir
        self._stream = progress_stream
        run_dir.mkdir(parents=True, exist_ok=True)
        root = Path(recipe.data.root)
        if recipe.training.num_threads is not None:
            torch.set_num_threads(recipe.training.num_threads)
        torch.manual_seed(recipe.training.seed)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._say("reading and tokenising the text")
        self.tokenizer = self._tokenizer(root)
        config = recipe.transformer_config(self.tokenizer.vocab_size)
        self.valid = self._validation_pairs(root)
        self.corpora = self._corpora(root)
        self.model = Transformer(config).to(self.device)
        adam = recipe.optimizer
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=0.0,
            betas=(adam.beta1, adam.beta2),
            eps=adam.epsilon,
            weight_decay=adam.weight_decay,
            fused=True,
        )
        self.compute_dtype = self._compute_dtype()
        self.progress = Progress()
        self._load_state()

    def run(self) -> None:
        """Trains until `max_steps`, or until validation stops getting better."""
        training = self.recipe.training
        self._say(
            f"{self.model.num_parameters:,} parameters, {sum(map(len, self.corpora)):,} pairs, "
            f"{self.device} in {self.compute_dtype}, "
            f"update {self.progress.step} of {training.max_steps}"
        )
        bar = tqdm(
            total=training.max_steps,
            initial=self.progress.step,
            file=self._stream,
            unit="update",
            # A log file wants a line now and then, not a bar that redraws itself.
            mininterval=1.0 if self._stream.isatty() else 60.0,
            maxinterval=120.0,
        )
        self._forget_lost_metrics()
        last_saved = time.monotonic()
        batches = self._batches()
        with bar, self._metrics.open("a", encoding="utf-8") as metrics:
            while not self._done:
                started = time.monotonic()
                record = self._update([next(batches) for _ in range(training.accumulate)])
                self.progress.seconds += time.monotonic() - started
                bar.update()
                if self.progress.step % _UPDATES_PER_METRIC == 0:
                    bar.set_postfix(loss=f"{record['loss']:.3f}", refresh=False)
                    _write_line(metrics, {"kind": "update", **record})
                if self.progress.step % training.validate_every == 0:
                    _write_line(metrics, {"kind": "valid", **self._validate()})
                if time.monotonic() - last_saved >= training.checkpoint_every_seconds:
                    self._save_state()
                    last_saved = time.monotonic()
            self._save_state()
        if self.progress.step < training.max_steps:
            self._say("validation has stopped getting better")

    def finish(self) -> Path:
        """Averages the last validations' weights, if that is better; writes the model directory."""
        files = sorted((self.run_dir / "weights").glob("*.safetensors"))
        bleu = self._valid_bleu()
        if len(files) > 1:
            last = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
            self.model.load_state_dict(average_weights(files), strict=False)
            averaged = self._valid_bleu()
            if self._mean(averaged) < self._mean(bleu):
                self.model.load_state_dict(last)
            else:
                bleu = averaged
        recipe = self.recipe
        metadata = ModelMetadata(
            name=recipe.name,
            version=recipe.version,
            source_languages=(recipe.source_language,),
            target_languages=(recipe.target_language,),
            license=recipe.license,
            max_source_tokens=recipe.data.max_tokens,
        )
        directory = self.run_dir / "model"
        save_checkpoint(directory, self.model, self.tokenizer, metadata, GenerationConfig())
        with self._metrics.open("a", encoding="utf-8") as metrics:
            _write_line(
                metrics,
                {
                    "kind": "end",
                    "step": self.progress.step,
                    "seconds": round(self.progress.seconds, 1),
                    "target_tokens": self.progress.target_tokens,
                    "bleu": bleu,
                },
            )
        return directory

    @property
    def _done(self) -> bool:
        training = self.recipe.training
        return (
            self.progress.step >= training.max_steps
            or self.progress.validations_without_gain >= training.patience
        )

    def _update(self, batches: list[Batch]) -> dict[str, Any]:
        """One step of the optimiser over one or more batches; gives the numbers to record."""
        recipe, progress = self.recipe, self.progress
        self.model.train()
        rate = learning_rate(
            progress.step + 1,
            recipe.optimizer,
            d_model=self.model.config.d_model,
            max_steps=recipe.training.max_steps,
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        num_tokens = sum(batch.num_target_tokens for batch in batches)
        loss_sum = nll_sum = 0.0
        for batch in batches:
            loss, nll = self._batch_loss(batch)
            (loss / num_tokens).backward()  # type: ignore[no-untyped-call]
            loss_sum += loss.item()
            nll_sum += nll.item()
        limit = recipe.optimizer.clip_norm or float("inf")
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        if not math.isfinite(norm):
            # One such update would make every weight NaN, and the next save would keep them.
            raise RecipeError(
                f"the gradient of update {progress.step + 1} must be finite, but is {float(norm)}: "
                "try a lower learning rate or precision float32"
            )
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        progress.step += 1
        progress.target_tokens += num_tokens
        return {
            "step": progress.step,
            "epoch": progress.epoch,
            "loss": round(loss_sum / num_tokens, 4),
            "nll": round(nll_sum / num_tokens, 4),
            "gradient_norm": round(float(norm), 4),
            "learning_rate": rate,
            "target_tokens": progress.target_tokens,
            "seconds": round(progress.seconds, 1),
        }

    def _batch_loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        def to_device(array: Any) -> Tensor:
            return torch.from_numpy(array).to(self.device, non_blocking=True)

        src_lengths = to_device(batch.src_lengths)
        targets = to_device(batch.tgt_output)
        with torch.autocast(
            self.device.type, self.compute_dtype, enabled=self.compute_dtype != torch.float32
        ):
            encoder_output = self.model.encode(to_device(batch.src_tokens), src_lengths)
            hidden = self.model.decode_hidden(
                to_device(batch.tgt_input), encoder_output, src_lengths
            )
        # Rows of padding predict nothing: (B, T, D) -> (target tokens, D)
        wanted = targets != self.tokenizer.pad_id
        return fused_projection_loss(
            hidden[wanted].to(self.compute_dtype),
            self.model.projection.weight,
            targets[wanted],
            self.recipe.training.label_smoothing,
        )

    def _batches(self) -> Iterator[Batch]:
        """Endless; counts epochs and batches in `progress`."""
        training, progress = self.recipe.training, self.progress
        while True:
            for batch in batches_of_epoch(
                self.corpora,
                epoch=progress.epoch,
                seed=training.seed,
                batch_tokens=training.batch_tokens,
                pad_id=self.tokenizer.pad_id,
                bos_id=self.tokenizer.bos_id,
                skip=progress.batch_in_epoch,
            ):
                progress.batch_in_epoch += 1
                yield batch
            progress.epoch += 1
            progress.batch_in_epoch = 0

    def _validate(self) -> dict[str, Any]:
        progress, training = self.progress, self.recipe.training
        bleu = self._valid_bleu()
        mean = self._mean(bleu)
        progress.validations_without_gain += 1
        if mean > progress.best_bleu:
            progress.best_bleu = mean
            progress.validations_without_gain = 0
        self._keep_weights(training.average_checkpoints)
        self._say(f"update {progress.step}: BLEU " + _pretty(bleu))
        return {"step": progress.step, "bleu": bleu, "mean_bleu": round(mean, 2)}

    def _valid_bleu(self) -> dict[str, float]:
        self.model.eval()
        limit = min(self.recipe.data.max_tokens, self.model.config.max_positions)
        return {
            name: round(quick_bleu(self.model, self.tokenizer, pairs, limit), 2)
            for name, pairs in self.valid.items()
        }

    def _keep_weights(self, keep: int) -> None:
        folder = self.run_dir / "weights"
        folder.mkdir(exist_ok=True)
        path = folder / f"step-{self.progress.step:08d}.safetensors"
        tensors = {name: p.detach().cpu().contiguous() for name, p in self.model.named_parameters()}
        save_file(tensors, path.with_suffix(".partial"))
        path.with_suffix(".partial").replace(path)
        for old in sorted(folder.glob("*.safetensors"))[: -max(keep, 1)]:
            old.unlink()

    def _save_state(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": vars(self.progress),
            "torch_rng": torch.get_rng_state(),
        }
        path = self.run_dir / "state.pt"
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)

    def _load_state(self) -> None:
        path = self.run_dir / "state.pt"
        if not path.exists():
            return
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.progress = Progress(**state["progress"])
            torch.set_rng_state(state["torch_rng"].cpu())
        except (
            RuntimeError, KeyError, TypeError, ValueError,
            OSError, EOFError, pickle.UnpicklingError,
        ) as error:  # fmt: skip
            raise RecipeError(
                f"{path} must be a state of this recipe, but cannot be resumed: {error}"
            ) from error

    def _tokenizer(self, root: Path) -> Tokenizer:
        path = self.run_dir / "tokenizer.model"
        if not path.exists():
            recipe = self.recipe
            learned = learn_tokenizer(recipe.tokenizer, recipe.data, root, recipe.training.seed)
            path.with_suffix(".partial").write_bytes(learned.serialized)
            path.with_suffix(".partial").replace(path)
        tokenizer = Tokenizer.from_file(path)
        if tokenizer.vocab_size != self.recipe.tokenizer.vocab_size:
            raise RecipeError(
                f"{path} must have the recipe's {self.recipe.tokenizer.vocab_size} pieces, "
                f"but has {tokenizer.vocab_size}: give another recipe another folder"
            )
        return tokenizer

    def _validation_pairs(self, root: Path) -> dict[str, list[tuple[str, str]]]:
        data = self.recipe.data
        valid = {
            Path(name).stem: list(islice(read_pairs(root / name), data.valid_lines))
            for name in data.valid
        }
        if len(valid) < len(data.valid):
            raise RecipeError(f"`valid` must be files of different names, but is {data.valid}")
        if empty := [name for name, pairs in valid.items() if not pairs]:
            raise RecipeError(f"`valid` must be files with lines in them, but {empty} are empty")
        return valid

    def _corpora(self, root: Path) -> list[TokenizedCorpus]:
        data = self.recipe.data
        return [tokenize(corpus, data, root, self.tokenizer) for corpus in data.train]

    def _compute_dtype(self) -> torch.dtype:
        precision = self.recipe.training.precision
        if precision == "auto":
            native = (
                _cpu_has_bfloat16()
                if self.device.type == "cpu"
                else torch.cuda.is_bf16_supported(including_emulation=False)
            )
            precision = "bfloat16" if native else "float32"
        return torch.bfloat16 if precision == "bfloat16" else torch.float32

    @property
    def _metrics(self) -> Path:
        return self.run_dir / "metrics.jsonl"

    def _forget_lost_metrics(self) -> None:
        """Drops the lines of updates that an interruption has undone: they come again."""
        if not self._metrics.exists():
            return
        lines = self._metrics.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if line.endswith("\n") and self._stands(json.loads(line))]
        partial = self._metrics.with_suffix(".partial")
        partial.write_text("".join(kept), encoding="utf-8")
        partial.replace(self._metrics)

    def _stands(self, record: dict[str, Any]) -> bool:
        return record["kind"] != "end" and bool(record["step"] <= self.progress.step)

    def _say(self, message: str) -> None:
        tqdm.write(message, file=self._stream)
        with contextlib.suppress(OSError):
            self._stream.flush()

    @staticmethod
    def _mean(bleu: dict[str, float]) -> float:
        return sum(bleu.values()) / len(bleu)


def average_weights(files: list[Path]) -> dict[str, Tensor]:
    """The mean of several files of weights, as section 6.1 averages checkpoints."""
    total = {name: tensor.double() for name, tensor in load_file(files[0]).items()}
    for path in files[1:]:
        for name, tensor in load_file(path).items():
            total[name] += tensor
    return {name: (tensor / len(files)).float() for name, tensor in total.items()}


def _cpu_has_bfloat16() -> bool:
    # Without native products bfloat16 is emulated, which is slower than float32.
    return (
        bool(torch.backends.cpu.get_cpu_capability() == "AVX512") and "avx512_bf16" in _cpu_flags()
    )


def _cpu_flags() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return ""


def _pretty(bleu: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.1f}" for name, value in bleu.items())


def _write_line(file: TextIO, record: dict[str, Any]) -> None:
    file.write(json.dumps(record) + "\n")
    file.flush()
