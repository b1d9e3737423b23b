"""Several processes train as one: the same batches, the same losses, the same weights."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

WORDS = ["red", "green", "blue", "black", "white", "small", "large", "old", "new", "round"]
RECIPE = {
    "name": "tiny",
    "license": "none",
    "source_language": "en",
    "target_language": "de",
    "data": {"train": [{"path": "train.tsv"}], "valid": ["valid.tsv"], "max_tokens": 32},
    "tokenizer": {"vocab_size": 285},
    "model": {
        "d_model": 32, "d_ff": 64, "num_heads": 4, "num_encoder_layers": 2,
        "num_decoder_layers": 1, "max_positions": 32, "dropout": 0.0,
    },
    "optimizer": {"scale": 0.08, "warmup_steps": 20},
    "training": {
        "batch_tokens": 256, "accumulate": 4, "max_steps": 50, "validate_every": 50,
        "average_checkpoints": 2, "num_threads": 1, "precision": "float32",
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    generator = random.Random(1)
    for name, count in (("train", 400), ("valid", 10)):
        sources = [generator.choices(WORDS, k=generator.randrange(1, 6)) for _ in range(count)]
        lines = [f"{' '.join(words)}\t{' '.join(reversed(words))}\n" for words in sources]
        (folder / f"{name}.tsv").write_text("".join(lines))
    return folder


@pytest.fixture(scope="module")
def recipe(data: Path) -> Path:
    return write_recipe(data, max_steps=50)


def write_recipe(data: Path, *, max_steps: int) -> Path:
    path = data / f"{max_steps}-steps.yaml"
    values = {
        **RECIPE,
        "data": {**RECIPE["data"], "root": str(data)},
        "training": {**RECIPE["training"], "max_steps": max_steps},
    }
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture(scope="module")
def alone(recipe: Path, data: Path) -> Path:
    """The run of one process."""
    done = train(recipe, data / "alone", processes=1)
    assert done.returncode == 0, done.stderr
    return data / "alone"


def train(recipe: Path, run_dir: Path, *, processes: int) -> subprocess.CompletedProcess[str]:
    """Runs the recipe to its end as a user of torchrun would."""
    launcher = [
        "-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--rdzv-backend", "c10d",
        "--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1", "-m",
    ]  # fmt: skip
    command = [
        sys.executable, *(launcher if processes > 1 else ["-m"]), "model.training",
        str(recipe), "--run-dir", str(run_dir),
    ]  # fmt: skip
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=240, check=False
    )


def records(run_dir: Path, kind: str) -> list[dict]:
    lines = (run_dir / "metrics.jsonl").read_text().splitlines()
    return [record for line in lines if (record := json.loads(line))["kind"] == kind]


def assert_same_curve(alone: Path, other: Path) -> None:
    curves = [records(run, "update") for run in (alone, other)]
    assert [update["step"] for update in curves[1]] == [25, 50]
    for expected, found in zip(*curves, strict=True):
        for same in ("step", "epoch", "learning_rate", "target_tokens"):
            assert found[same] == expected[same]
        # Sums of float32 in another order, and 50 updates for it to grow.
        assert found["loss"] == pytest.approx(expected["loss"], abs=2e-3)
        assert found["gradient_norm"] == pytest.approx(expected["gradient_norm"], rel=2e-2)
    assert curves[0][-1]["loss"] < 0.9 * curves[0][0]["loss"]


def test_two_processes_have_the_loss_curve_of_one(
    recipe: Path, alone: Path, tmp_path: Path
) -> None:
    done = train(recipe, tmp_path / "run", processes=2)
    assert done.returncode == 0, done.stderr
    assert [r["processes"] for r in records(tmp_path / "run", "start")] == [2]
    assert_same_curve(alone, tmp_path / "run")


def test_one_process_goes_on_with_what_two_began(
    data: Path, recipe: Path, alone: Path, tmp_path: Path
) -> None:
    begun = write_recipe(data, max_steps=33)
    for part, processes in ((begun, 2), (recipe, 1)):
        done = train(part, tmp_path / "run", processes=processes)
        assert done.returncode == 0, done.stderr
    assert [(r["step"], r["processes"]) for r in records(tmp_path / "run", "start")] == [
        (0, 2), (33, 1),
    ]  # fmt: skip
    assert_same_curve(alone, tmp_path / "run")


def test_a_share_must_be_whole(recipe: Path, tmp_path: Path) -> None:
    done = train(recipe, tmp_path / "run", processes=3)
    assert done.returncode != 0
    assert "`accumulate` must be a multiple of the 3 processes" in done.stderr
