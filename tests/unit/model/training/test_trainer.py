"""A run can be interrupted, continued and finished, and says what it cannot go on with."""

import io
import json
from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor

from model.checkpoint import load_checkpoint
from model.errors import RecipeError
from model.training.recipe import load_recipe
from model.training.trainer import Trainer, train

WORDS = ["red", "green", "blue", "black", "white", "small", "large", "old", "new", "round"]
RECIPE = {
    "name": "tiny",
    "license": "none",
    "source_language": "en",
    "target_language": "de",
    "data": {"train": [{"path": "train.tsv"}], "valid": ["valid.tsv"], "max_tokens": 32},
    "tokenizer": {"vocab_size": 280},
    "model": {
        "d_model": 8, "d_ff": 8, "num_heads": 2, "num_encoder_layers": 1, "num_decoder_layers": 1,
        "max_positions": 32, "dropout": 0.0,
    },
    "optimizer": {"warmup_steps": 40},
    "training": {
        "batch_tokens": 128, "max_steps": 50, "validate_every": 20, "checkpoint_every_seconds": 0,
        "accumulate": 2, "average_checkpoints": 2, "num_threads": 1, "precision": "float32",
    },
}  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name, count in (("train", 150), ("valid", 3)):
        lines = [
            f"{WORDS[i % 10]} {WORDS[i % 7]}\t{WORDS[i % 7]} {WORDS[i % 9]} {WORDS[i % 3]}\n"
            for i in range(count)
        ]
        (tmp_path / f"{name}.tsv").write_text("".join(lines))
    return tmp_path


def write_recipe(data: Path, /, **changes: dict) -> Path:
    """The recipe, with fields of its sections changed."""
    values = {**RECIPE, "data": {**RECIPE["data"], "root": str(data)}}
    for section, fields in changes.items():
        values[section] = {**values[section], **fields}
    path = data / "recipe.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def run(data: Path, name: str, /, **changes: dict) -> Path:
    """A whole run in the folder `name`."""
    train(write_recipe(data, **changes), run_dir=data / name, progress=io.StringIO())
    return data / name


def trainer(data: Path, name: str, /, **changes: dict) -> Trainer:
    return Trainer(load_recipe(write_recipe(data, **changes)), data / name, io.StringIO())


def state_of(run_dir: Path) -> dict:
    return torch.load(run_dir / "state.pt", weights_only=True)


def records(run_dir: Path) -> list[dict]:
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


def break_off(interrupted: Trainer, monkeypatch: pytest.MonkeyPatch, batches: int) -> None:
    """Runs until so many batches have been computed, and ends as abruptly as Ctrl-C."""
    compute = interrupted._batch_loss
    left = iter(range(batches))

    def compute_or_stop(batch: object) -> tuple[Tensor, Tensor]:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return compute(batch)  # type: ignore[arg-type]

    monkeypatch.setattr(interrupted, "_batch_loss", compute_or_stop)
    with pytest.raises(KeyboardInterrupt):
        interrupted.run()


def test_an_interrupted_run_ends_as_one_that_was_not(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken off within an update, some epochs on: no batch is lost or seen twice."""
    short = {"training": {"max_steps": 24, "validate_every": 8}}
    whole = run(data, "whole", **short)
    break_off(trainer(data, "broken", **short), monkeypatch, batches=2 * 19 + 1)
    assert state_of(data / "broken")["progress"]["step"] == 19
    assert state_of(data / "broken")["progress"]["epoch"] > 0
    broken = run(data, "broken", **short)
    expected, found = state_of(whole), state_of(broken)
    for name, tensor in expected["model"].items():
        torch.testing.assert_close(found["model"][name], tensor, rtol=0, atol=0)
    for state in (expected, found):
        state["progress"].pop("seconds")
    assert found["progress"] == expected["progress"]
    first, second = (load_checkpoint(folder / "model").model for folder in (whole, broken))
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_metrics_of_updates_that_were_lost_come_once(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = trainer(data, "run", training={"checkpoint_every_seconds": 1000})
    broken._save_state()
    break_off(broken, monkeypatch, batches=2 * 41)
    lost = records(data / "run")
    assert [(r["kind"], r["step"]) for r in lost] == [("valid", 20), ("update", 25), ("valid", 40)]
    with (data / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "upd')  # the machine went down while this was written
    run(data, "run")
    assert [(r["kind"], r["step"]) for r in records(data / "run")] == [
        ("valid", 20), ("update", 25), ("valid", 40), ("update", 50), ("end", 50),
    ]  # fmt: skip


def test_a_finished_run_stays_finished(data: Path) -> None:
    """One that stopped early does not train on when it is started again."""
    changes = {"training": {"patience": 1, "validate_every": 5}, "optimizer": {"scale": 0.0}}
    first = state_of(run(data, "run", **changes))["progress"]
    again = state_of(run(data, "run", **changes))["progress"]
    assert first == again
    assert first["step"] == 10
    assert [r["kind"] for r in records(data / "run")] == ["valid", "valid", "end"]


def test_a_gradient_that_is_no_number_spoils_nothing(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoilt = trainer(data, "run")
    compute = spoilt._batch_loss

    def overflow(batch: object) -> tuple[Tensor, Tensor]:
        loss, nll = compute(batch)  # type: ignore[arg-type]
        return (loss * float("inf") if spoilt.progress.step == 4 else loss), nll

    monkeypatch.setattr(spoilt, "_batch_loss", overflow)
    with pytest.raises(RecipeError, match="the gradient of update 5 must be finite, but is nan"):
        spoilt.run()
    state = state_of(data / "run")
    assert state["progress"]["step"] == 4
    assert all(tensor.isfinite().all() for tensor in state["model"].values())


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04\x00\x00"])
def test_a_damaged_state_is_named(data: Path, content: bytes) -> None:
    trainer(data, "run")
    (data / "run" / "state.pt").write_bytes(content)
    with pytest.raises(RecipeError, match=r"state\.pt must be .* but cannot be resumed"):
        trainer(data, "run")


def test_another_vocabulary_needs_another_folder(data: Path) -> None:
    trainer(data, "run")
    with pytest.raises(RecipeError, match=r"must have the recipe's 285 pieces, but has 280"):
        trainer(data, "run", tokenizer={"vocab_size": 285})


@pytest.mark.parametrize(
    ("valid", "message"),
    [
        (["empty.tsv"], r"\['empty'\] are empty"),
        (["valid.tsv", "more/valid.tsv"], "files of different names"),
    ],
)
def test_validation_files_are_checked_before_the_first_update(
    data: Path, valid: list[str], message: str
) -> None:
    (data / "empty.tsv").write_text("")
    (data / "more").mkdir()
    (data / "more" / "valid.tsv").write_text("one\teins\n")
    with pytest.raises(RecipeError, match=message):
        trainer(data, "run", data={"valid": valid})
