"""A run can be interrupted, continued and finished, and says what it cannot go on with."""

import io
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from model.checkpoints.checkpoint import load_checkpoint
from model.errors import RecipeError
from model.network.transformer import Transformer
from model.training.processes import Processes
from model.training.recipe import load_recipe
from model.training.run_folder import RunFolder
from model.training.trainer import Trainer, train
from tests.tiny_model import build_tiny_model

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


@pytest.fixture
def sigterm_is_counted() -> Iterator[list[int]]:
    """What arrives at the handler that was there before."""
    arrived: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: arrived.append(number))
    yield arrived
    signal.signal(signal.SIGTERM, before)


def write_recipe(data: Path, /, **changes: dict | bool) -> Path:
    """The recipe, with other fields, also in its sections."""
    values = {**RECIPE, "data": {**RECIPE["data"], "root": str(data)}}
    for section, fields in changes.items():
        values[section] = {**values[section], **fields} if isinstance(fields, dict) else fields
    path = data / "recipe.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def run(data: Path, name: str, /, **changes: dict) -> Path:
    """A whole run in the folder `name`."""
    train(write_recipe(data, **changes), run_dir=data / name, progress=io.StringIO())
    return data / name


def trainer(data: Path, name: str, /, **changes: dict | bool) -> Trainer:
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


@pytest.mark.parametrize(
    ("kind", "precision"), [("adam", "float32"), ("muon", "float32"), ("muon", "int8")]
)
def test_an_interrupted_run_ends_as_one_that_was_not(
    data: Path, monkeypatch: pytest.MonkeyPatch, kind: str, precision: str
) -> None:
    """Broken off within an update, some epochs on: no batch is lost or seen twice.

    And when it was saved makes no difference.
    """
    how = {"optimizer": {"kind": kind}, "model": {"d_model": 16, "d_ff": 16}}
    short = {"training": {"max_steps": 34, "validate_every": 8, "precision": precision}, **how}
    never_saved = {"training": {**short["training"], "checkpoint_every_seconds": 1000}, **how}
    whole = run(data, "whole", **never_saved)
    assert records(whole)[0]["dtype"] == precision
    break_off(trainer(data, "broken", **short), monkeypatch, batches=2 * 29 + 1)
    assert state_of(data / "broken")["progress"]["step"] == 20
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
        # The disk was full once, and the machine went down later.
        file.write('{"kind": "update", "st{"kind": "valid"}\n{"kind": "upd')
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
        return (loss * float("inf") if spoilt.progress.step == 14 else loss), nll

    monkeypatch.setattr(spoilt, "batch_loss", overflow)
    with pytest.raises(RecipeError, match="the gradient of update 15 must be finite, but is nan"):
        spoilt.run()
    state = state_of(data / "run")
    assert state["progress"]["step"] == 10
    assert all(tensor.isfinite().all() for tensor in state["model"].values())


def saved(thing: object) -> bytes:
    file = io.BytesIO()
    torch.save(thing, file)
    return file.getvalue()


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"PK\x03\x04\x00\x00", saved([1]), saved({"model": {}})]
)
def test_a_damaged_state_is_named(data: Path, content: bytes) -> None:
    trainer(data, "run")
    (data / "run" / "state.pt").write_bytes(content)
    with pytest.raises(RecipeError, match=r"state\.pt must be .* but cannot be resumed"):
        trainer(data, "run")


def test_what_cannot_be_kept_is_named_and_leaves_the_last_state(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filling = trainer(data, "run", training={"max_steps": 20})
    save = filling.folder.save_state

    def save_on_a_full_disk(state: dict[str, Any]) -> None:
        if state["progress"]["step"] == 20:
            (data / "run" / "state.partial").symlink_to("/dev/full")
        save(state)

    monkeypatch.setattr(filling.folder, "save_state", save_on_a_full_disk)
    with pytest.raises(
        RecipeError, match=r"cannot write .*state\.pt: (is the disk full|.*No space left)"
    ):
        filling.run()
    assert state_of(data / "run")["progress"]["step"] == 10
    assert not (data / "run" / "state.partial").is_symlink()


def test_a_folder_without_its_state_begins_anew(data: Path) -> None:
    """What the weights of an earlier run would otherwise do: push out the new ones, and win."""
    first = run(data, "run", training={"max_steps": 40, "validate_every": 10})
    (first / "state.pt").unlink()
    shape = {"model": {"d_ff": 16}, "training": {"max_steps": 20, "validate_every": 5}}
    again = run(data, "run", **shape)
    names = sorted(path.name for path in (again / "weights").iterdir())
    assert names == [
        "best.safetensors", "step-00000015.safetensors", "step-00000020.safetensors",
    ]  # fmt: skip
    assert load_checkpoint(again / "model").config.d_ff == 16


def test_a_state_of_another_shape_is_refused(data: Path) -> None:
    """Weights of four heads fit into a model of two, and mean nothing there."""
    trainer(data, "run")._save_state()
    with pytest.raises(
        RecipeError, match="cannot be resumed: its model has num_heads 2 instead of 4"
    ):
        trainer(data, "run", model={"num_heads": 4})
    trainer(data, "run", model={"dropout": 0.1, "max_positions": 64})
    state = state_of(data / "run")
    del state["config"]  # an earlier version's
    torch.save(state, data / "run" / "state.pt")
    trainer(data, "run")


def test_the_optimiser_of_a_changed_recipe_takes_over(data: Path) -> None:
    trainer(data, "run")._save_state()
    again = trainer(data, "run", optimizer={"beta2": 0.9, "weight_decay": 0.1, "epsilon": 1e-6})
    (group,) = again.optimizer.param_groups
    assert (group["betas"], group["weight_decay"], group["eps"]) == ((0.9, 0.9), 0.1, 1e-6)
    with pytest.raises(
        RecipeError, match="its optimisers are adam, but the recipe wants adam, muon"
    ):
        trainer(data, "run", optimizer={"kind": "muon"})


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


def test_who_asks_for_it_has_a_usable_model_after_every_call(data: Path) -> None:
    """The present weights before the first validation, and then the best."""
    recipe, folder = write_recipe(data), RunFolder(data / "run")
    assert train(recipe, run_dir=folder.path, stop_after=0.0, progress=io.StringIO()) is None
    assert not folder.usable.exists()
    asked = {"run_dir": folder.path, "usable_every": 0.0, "progress": io.StringIO()}
    assert train(recipe, **asked, stop_after=0.0) is None  # type: ignore[arg-type]
    usable = load_checkpoint(folder.usable)
    present = state_of(folder.path)["model"]
    for name, weight in usable.model.named_parameters():
        assert torch.allclose(weight, present[name], atol=1e-3)
    assert train(recipe, **asked) == folder.model  # type: ignore[arg-type]
    best = folder.best_weights()
    assert best is not None
    for name, weight in load_checkpoint(folder.usable).model.named_parameters():
        assert torch.allclose(weight, best[name], atol=1e-3)


def test_a_run_that_is_to_end_is_put_aside(data: Path, sigterm_is_counted: list[int]) -> None:
    """As the first SIGTERM asks for; the second is not held up."""
    asked = trainer(data, "run", training={"checkpoint_every_seconds": 1000})
    compute = asked.batch_loss

    def end_at_update_14(batch: object) -> tuple[Tensor, Tensor]:
        if asked.progress.step == 13:  # each of its two batches
            signal.raise_signal(signal.SIGTERM)
        return compute(batch)  # type: ignore[no-any-return]

    asked.batch_loss = end_at_update_14  # type: ignore[assignment]
    assert not asked.run()
    assert state_of(data / "run")["progress"]["step"] == 20
    assert sigterm_is_counted == [signal.SIGTERM]
    signal.raise_signal(signal.SIGTERM)
    assert len(sigterm_is_counted) == 2


def test_text_is_tokenised_once_until_it_changes(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = trainer(data, "run").text
    monkeypatch.setattr("model.training.preparation.tokenize", None)  # not callable
    os.utime(data / "train.tsv")  # the same text, sent again
    again = trainer(data, "run").text
    assert again.parts == first.parts
    for side, kept in ((first.src, again.src), (first.tgt, again.tgt)):
        assert (side.flat == kept.flat).all()
        assert (side.lengths == kept.lengths).all()
    monkeypatch.undo()
    with (data / "train.tsv").open("a") as file:
        file.write("red {x}\tgreen {x}\n")
    longer = trainer(data, "run").text
    assert len(longer) == len(first) + 1
    masked = trainer(data, "run", placeholders=True).text
    assert masked.src.lengths[-1] < longer.src.lengths[-1]


def test_a_corpus_that_is_not_there_is_named(data: Path) -> None:
    trainer(data, "run")
    with pytest.raises(RecipeError, match=r"cannot read .*gone\.tsv: it must be a file"):
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
    assert begun.tokenizer.files == expected.tokenizer.files
    with pytest.raises(RecipeError, match="must name a model of the recipe's shape"):
        trainer(
            data, "third", model={"d_model": 16}, training={"initialize_from": str(first / "model")}
        )
    with pytest.raises(RecipeError, match="`initialize_from` must name a model directory"):
        trainer(data, "fourth", training={"initialize_from": "none"})
    for changed, differs in (
        ({"num_heads": 4}, "num_heads 2 instead of 4"),
        ({"activation": "gelu"}, "activation relu instead of gelu"),
        ({"norm_order": "pre"}, "norm_order post instead of pre"),
    ):
        with pytest.raises(RecipeError, match=rf"of the recipe's shape, but .*{differs}"):
            trainer(
                data, "fifth", model=changed, training={"initialize_from": str(first / "model")}
            )


def test_the_first_weights_follow_from_the_seed_alone(data: Path) -> None:
    """Whether a model helped with the text now, or did so in an earlier start."""
    build_tiny_model(data / "scorer")
    changes = {
        "train": [{"path": "train.tsv", "drop_least_likely": 0.1}], "scorer": str(data / "scorer"),
    }  # fmt: skip
    first, again = (trainer(data, "run", data=changes).model for _ in range(2))
    for one, other in zip(first.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_weights_are_not_read_with_another_vocabulary(data: Path) -> None:
    """One that was learned here before the recipe said where to begin."""
    first = run(data, "first", training={"max_steps": 10})
    with (data / "train.tsv").open("a") as file:
        file.write("red red red\twhite white\n" * 50)
    second = trainer(data, "second")
    assert second.tokenizer.files["tokenizer.model"] != (first / "tokenizer.model").read_bytes()
    with pytest.raises(RecipeError, match=r"must be the vocabulary of .*first/model, but is"):
        trainer(data, "second", training={"initialize_from": str(first / "model")})


def test_what_a_recipe_names_is_looked_at_before_any_work(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = str(run(data, "first", training={"max_steps": 10}) / "model")
    for name in ("prepare_text", "training_text"):
        monkeypatch.setattr(f"model.training.preparation.{name}", None)  # not callable
    one, gone = {"path": "train.tsv"}, {"path": "gone.tsv"}
    for changed, message in (
        ({"train": [one, gone]}, r"cannot read .*gone\.tsv: it must be a file"),
        ({"train": [{**one, "back_translate": model}]}, "must translate from de to en, but does"),
        ({"train": [{**one, "distil": "none"}]}, "must name model directories"),
        ({"scorer": str(data)}, "must name model directories"),
    ):
        with pytest.raises(RecipeError, match=message):
            trainer(data, "run", data=changed)


def test_the_best_weights_are_what_is_left(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Best of the last update, the mean and the best validation: whichever translates best."""
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


@pytest.mark.parametrize("native", [False, True])
def test_a_cpu_for_which_int8_is_no_gain_is_told_of(
    data: Path, monkeypatch: pytest.MonkeyPatch, native: bool
) -> None:
    monkeypatch.setattr("model.training.trainer.multiplies_int8", lambda: native)
    recipe = load_recipe(write_recipe(data, training={"precision": "int8"}))
    said = io.StringIO()
    Trainer(recipe, RunFolder(data / "run"), Processes(), said)
    assert ("float32 trains faster" in said.getvalue()) is not native
