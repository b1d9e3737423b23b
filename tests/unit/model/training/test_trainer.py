"""A run can be interrupted, continued and finished, and says what it cannot go on with."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from model.checkpoint import load_checkpoint
from model.errors import RecipeError
from model.training.processes import Processes
from model.training.recipe import load_recipe
from model.training.run_folder import RunFolder
from model.training.trainer import Trainer, train
from model.transformer import Transformer

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
        "max_positions": 32, "dropout": 0.2,
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
    recipe = load_recipe(write_recipe(data, **changes))
    return Trainer(recipe, RunFolder(data / name), Processes(), io.StringIO())


def state_of(run_dir: Path) -> dict:
    return torch.load(run_dir / "state.pt", weights_only=True)


def records(run_dir: Path) -> list[dict]:
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


def break_off(interrupted: Trainer, monkeypatch: pytest.MonkeyPatch, batches: int) -> None:
    """Runs until so many batches have been computed, and ends as abruptly as Ctrl-C."""
    compute = interrupted.batch_loss
    left = iter(range(batches))

    def compute_or_stop(batch: object) -> tuple[Tensor, Tensor]:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return compute(batch)  # type: ignore[arg-type]

    monkeypatch.setattr(interrupted, "batch_loss", compute_or_stop)
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
    assert [(r["kind"], r["step"]) for r in lost] == [
        ("start", 0), ("valid", 20), ("update", 25), ("valid", 40),
    ]  # fmt: skip
    with (data / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "upd')  # the machine went down while this was written
    run(data, "run")
    assert [(r["kind"], r["step"]) for r in records(data / "run")] == [
        ("start", 0), ("start", 0), ("valid", 20), ("update", 25), ("valid", 40), ("update", 50),
        ("end", 50),
    ]  # fmt: skip


def test_a_finished_run_stays_finished(data: Path) -> None:
    """One that stopped early does not train on when it is started again."""
    changes = {"training": {"patience": 1, "validate_every": 5}, "optimizer": {"scale": 0.0}}
    first = state_of(run(data, "run", **changes))["progress"]
    again = state_of(run(data, "run", **changes))["progress"]
    assert first == again
    assert first["step"] == 10
    kinds = [r["kind"] for r in records(data / "run")]
    assert kinds == ["start", "valid", "valid", "start", "end"]


def test_a_gradient_that_is_no_number_spoils_nothing(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoilt = trainer(data, "run")
    compute = spoilt.batch_loss

    def overflow(batch: object) -> tuple[Tensor, Tensor]:
        loss, nll = compute(batch)  # type: ignore[arg-type]
        return (loss * float("inf") if spoilt.progress.step == 4 else loss), nll

    monkeypatch.setattr(spoilt, "batch_loss", overflow)
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


def test_a_run_can_be_put_aside(data: Path) -> None:
    recipe = write_recipe(data)
    none = train(recipe, run_dir=data / "run", stop_after=0.0, progress=io.StringIO())
    assert none is None
    assert not (data / "run" / "model").exists()
    assert state_of(data / "run")["progress"]["step"] < 50
    model = train(recipe, run_dir=data / "run", progress=io.StringIO())
    assert model == data / "run" / "model"
    assert load_checkpoint(data / "run" / "model").metadata.name == "tiny"


def test_text_is_tokenised_once_until_it_changes(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = trainer(data, "run").text
    monkeypatch.setattr("model.training.preparation.tokenize", None)  # not callable
    again = trainer(data, "run").text
    assert again.parts == first.parts
    for side, kept in ((first.src, again.src), (first.tgt, again.tgt)):
        assert (side.flat == kept.flat).all()
        assert (side.lengths == kept.lengths).all()
    monkeypatch.undo()
    with (data / "train.tsv").open("a") as file:
        file.write("red\tgreen\n")
    assert len(trainer(data, "run").text) == len(first) + 1


def test_a_corpus_that_is_not_there_is_named(data: Path) -> None:
    trainer(data, "run")
    with pytest.raises(RecipeError, match=r"cannot read .*gone\.tsv: No such file"):
        trainer(data, "run", data={"train": [{"path": "gone.tsv"}]})


def test_two_runs_do_not_share_a_folder(data: Path) -> None:
    refused = pytest.raises(RecipeError, match="nobody trains, but another process does")
    with RunFolder(data / "run").locked(), refused:
        run(data, "run")
    run(data, "run")


def test_a_run_begins_with_the_weights_of_another(data: Path) -> None:
    first = run(data, "first", training={"max_steps": 20})
    begun = trainer(data, "second", training={"initialize_from": str(first / "model")})
    expected = load_checkpoint(first / "model")
    for name, tensor in expected.model.state_dict().items():
        torch.testing.assert_close(begun.model.state_dict()[name], tensor, rtol=0, atol=0)
    assert begun.tokenizer.serialized == expected.tokenizer.serialized
    with pytest.raises(RecipeError, match="must name a model of the recipe's shape"):
        trainer(
            data, "third", model={"d_model": 16}, training={"initialize_from": str(first / "model")}
        )
    with pytest.raises(RecipeError, match="`initialize_from` must name a model directory"):
        trainer(data, "fourth", training={"initialize_from": "none"})


def test_the_best_weights_are_what_is_left(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the last update, the mean and the best validation: whichever translates best."""
    made = trainer(data, "run", training={"max_steps": 40, "validate_every": 10})
    scores = iter([3.0, 9.0, 2.0, 1.0, 1.0, 1.0, 9.0])  # four validations; last, mean, best
    monkeypatch.setattr(made, "_valid_bleu", lambda: {"valid": next(scores)})
    seen = {}
    keep = made.folder.keep_weights

    def remember(model: Transformer, step: int, **options: Any) -> None:
        seen[step] = {name: p.detach().clone() for name, p in model.named_parameters()}
        keep(model, step, **options)

    monkeypatch.setattr(made.folder, "keep_weights", remember)
    assert made.run()
    found = load_checkpoint(made.finish()).model
    for name, parameter in found.named_parameters():
        torch.testing.assert_close(parameter, seen[20][name], rtol=1e-3, atol=1e-3)
    end = records(data / "run")[-1]
    assert (end["weights"], end["bleu"]) == ("the best validation", {"valid": 9.0})


def test_throughput_is_counted(data: Path) -> None:
    update = next(r for r in records(run(data, "run")) if r["kind"] == "update")
    assert update["target_tokens_per_second"] > 0
    assert update["utilisation"] >= 0
