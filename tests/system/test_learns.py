"""The whole recipe on a task small enough to learn in a minute: reverse a handful of words."""

import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from model.checkpoints.checkpoint import load_checkpoint
from model.errors import RecipeError
from model.training.evaluation import quick_bleu
from model.training.trainer import train

WORDS = ["red", "green", "blue", "black", "white", "small", "large", "old", "new", "round"]
RECIPE = """
name: reverse
license: none
source_language: en
target_language: de
data: {root: %s, train: [{path: train.tsv}], valid: [valid.tsv], valid_lines: 40,
  max_tokens: 64}
tokenizer: {vocab_size: 285}
model:
  {d_model: 64, d_ff: 128, num_heads: 4, num_encoder_layers: 2, num_decoder_layers: 1,
   norm_order: pre, final_norm: true, max_positions: 64, dropout: 0.0}
optimizer: {schedule: linear, peak_lr: 0.004, warmup_steps: %d}
training:
  {batch_tokens: 1024, max_steps: %d, validate_every: 200, checkpoint_every_seconds: 0.5,
   average_checkpoints: 2, num_threads: 1, accumulate: %d}
"""


def made_up_pairs(count: int, seed: int) -> list[tuple[str, str]]:
    generator = random.Random(seed)
    sources = [generator.choices(WORDS, k=generator.randrange(1, 6)) for _ in range(count)]
    return [(" ".join(source), " ".join(reversed(source))) for source in sources]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name, count, seed in (("train", 3000, 1), ("valid", 40, 2)):
        lines = [f"{source}\t{target}\n" for source, target in made_up_pairs(count, seed)]
        (tmp_path / f"{name}.tsv").write_text("".join(lines))
    return tmp_path


def recipe(data: Path, *, max_steps: int, accumulate: int = 1) -> Path:
    path = data / "recipe.yaml"
    path.write_text(RECIPE % (data, min(40, max_steps - 1), max_steps, accumulate))
    return path


def records(run_dir: Path) -> list[dict]:
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


def test_learns_to_reverse(data: Path) -> None:
    run_dir = data / "run"
    path = recipe(data, max_steps=1400)
    directory = train(path, run_dir=run_dir, data_root=data, progress=io.StringIO())
    loaded = load_checkpoint(directory)
    held_out = made_up_pairs(100, seed=3)
    assert quick_bleu(loaded.model, loaded.tokenizer, held_out, 64) > 90
    kinds = [record["kind"] for record in records(run_dir)]
    assert kinds.count("valid") == 7
    assert kinds[-1] == "end"
    losses = [r["loss"] for r in records(run_dir) if r["kind"] == "update"]
    assert losses[-1] < losses[0] / 2
    with pytest.raises(RecipeError, match="must not hold a run already"):
        train(path, run_dir=run_dir, data_root=data, resume=False, progress=io.StringIO())


def test_a_killed_run_goes_on_where_it_stopped(data: Path) -> None:
    run_dir = data / "run"
    path = recipe(data, max_steps=100_000)
    code = (
        "import sys; from pathlib import Path; from model.training.trainer import train;"
        f"train(Path({str(path)!r}), run_dir=Path({str(run_dir)!r}), data_root=Path({str(data)!r}))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not (run_dir / "state.pt").exists():
            assert time.monotonic() < deadline
            assert process.poll() is None
            os.sched_yield()
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)

    import torch

    reached = torch.load(run_dir / "state.pt", weights_only=True)["progress"]["step"]
    assert reached > 0
    recipe(data, max_steps=reached + 50)
    train(path, run_dir=run_dir, data_root=data, progress=io.StringIO())
    updates = [r["step"] for r in records(run_dir) if r["kind"] == "update"]
    end = records(run_dir)[-1]
    assert end["kind"] == "end"
    assert end["step"] == reached + 50
    assert updates[-1] > reached


def test_two_small_batches_are_one_large_one(data: Path) -> None:
    """Accumulated gradients are weighted by tokens: an update sees their mean over all of them."""
    from model.training.processes import Processes
    from model.training.recipe import load_recipe
    from model.training.run_folder import RunFolder
    from model.training.trainer import Trainer

    loaded = load_recipe(recipe(data, max_steps=2))
    loaded = replace(loaded, training=replace(loaded.training, precision="float32"))
    trainer = Trainer(loaded, RunFolder(data / "run"), Processes(), io.StringIO())
    batches = trainer._batches()
    first, second = next(batches), next(batches)
    total = first.num_target_tokens + second.num_target_tokens
    expected = sum(float(trainer.batch_loss(b.make())[0].detach()) for b in (first, second))
    loss, _ = trainer._update([first, second]).tolist()
    assert loss == pytest.approx(expected / total, abs=1e-3)
    assert trainer.progress.target_tokens == total


def test_a_state_of_another_recipe_is_refused(data: Path) -> None:
    run_dir = data / "run"
    path = recipe(data, max_steps=2)
    train(path, run_dir=run_dir, data_root=data, progress=io.StringIO())
    path.write_text(path.read_text().replace("d_model: 64", "d_model: 32"))
    with pytest.raises(RecipeError, match="cannot be resumed"):
        train(path, run_dir=run_dir, data_root=data, progress=io.StringIO())
