"""The table of names: what our network says with Marian's weights is what Marian says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from model.checkpoints.importers.marian_npz import MarianNpz
from model.checkpoints.importers.marian_options import MarianOptions
from model.checkpoints.importers.marian_weights import weight_table
from model.checkpoints.importers.problems import Problems
from model.checkpoints.importers.tensors import ImportedWeights
from model.errors import CheckpointError
from model.network.transformer import Transformer
from tests.fixtures.marian import VARIANTS, outputs
from tests.marian_models import MarianModel, log_probs, transformer_of
from tests.marian_oracle import MarianOracle
from tests.unit.model.checkpoints.importers.marian_writing import marian_npz

_AS_PRINTED = 3e-5
"""Marian prints five digits of numbers that it computes in float32."""


def _logits(network: Transformer, source: Sequence[int], target: Sequence[int]) -> np.ndarray:
    """(len(target) + 1, V), without the token that nothing predicts."""
    read = [network.config.bos_id, *target]
    with torch.inference_mode():
        logits = network(
            torch.tensor([list(source)]), torch.tensor([len(source)]), torch.tensor([read])
        )
    array: np.ndarray = logits[0, :, :-1].double().numpy()
    return array


def _largest_difference(model: MarianModel, pairs: Sequence[tuple[str, str]]) -> float:
    network = transformer_of(model.tensors, model.options)
    oracle = MarianOracle(model.tensors, model.options)
    differences = []
    for text, translation in pairs:
        source, target = model.source_ids(text), model.target_ids(translation)
        ours, theirs = _logits(network, source, target), oracle.logits(source, target)
        differences.append(np.abs(ours - theirs).max())
    return float(max(differences))


_PAIRS = [(each["source"], each["target"]) for each in outputs(VARIANTS[0])["scores"]]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_oracle_is_marian(variant: str) -> None:
    model = MarianModel(variant)
    oracle = MarianOracle(model.tensors, model.options)

    for each in outputs(variant)["scores"]:
        target = model.target_ids(each["target"])
        found = log_probs(oracle.logits(model.source_ids(each["source"]), target), [*target, 0])
        np.testing.assert_allclose(found, each["log_probs"], atol=_AS_PRINTED)


@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_are_those_of_the_oracle(variant: str) -> None:
    assert _largest_difference(MarianModel(variant), _PAIRS) < 1e-4


def test_trained_positions() -> None:
    model = MarianModel("ssru")
    table = np.random.default_rng(0).normal(size=(60, model.options["dim-emb"]))
    model.tensors["Wpos"] = table.astype(np.float32)

    assert _largest_difference(model, _PAIRS) < 1e-4


def test_the_projection_of_older_versions() -> None:
    model = MarianModel("untied-gelu")
    rows = model.tensors.pop("decoder_ff_logit_out_Wt")
    model.tensors["decoder_ff_logit_out_W"] = np.ascontiguousarray(rows.T)

    assert _largest_difference(model, _PAIRS) < 1e-4


def test_the_token_that_begins_is_never_predicted() -> None:
    model = MarianModel("tied-source-embedding-norm")  # it has no bias of its own
    network = transformer_of(model.tensors, model.options)
    begin = network.config.bos_id

    assert begin == len(model.tensors["Wemb"])
    assert not network.tgt_embedding.tokens.weight[begin].any()
    assert network.projection.bias[begin] == -1e9


def _problems(tensors: dict[str, np.ndarray], options: dict[str, Any]) -> str:
    problems = Problems("the model")
    read = MarianNpz(marian_npz(tensors, options))
    marian = MarianOptions(options, problems)
    config = marian.config(read.shapes, eos_id=0, unk_id=1)
    assert config is not None
    ImportedWeights(config, read, weight_table(config, marian, read.shapes), problems=problems)
    with pytest.raises(CheckpointError) as error:
        problems.raise_any()
    return str(error.value)


def test_missing_unknown_and_misshapen_tensors_are_told_together() -> None:
    model = MarianModel("ssru")
    model.tensors["encoder_l1_self_Wq"] = np.zeros((3, 2), np.float32)
    del model.tensors["decoder_l2_rnn_Wf"]
    model.tensors["decoder_l9_rnn_Wf"] = np.zeros((1, 2), np.float32)

    told = _problems(model.tensors, model.options)

    assert "encoder_l1_self_Wq must be (32, 32), but is (3, 2)" in told
    assert "must have the tensor decoder_l2_rnn_Wf" in told
    assert "'decoder_l9_rnn_Wf', which is not understood" in told


def test_numbers_that_are_not_finite_are_refused() -> None:
    model = MarianModel("ssru")
    model.tensors["decoder_l1_rnn_Wf"][3, 4] = np.nan

    with pytest.raises(CheckpointError, match="decoder_l1_rnn_Wf must be finite"):
        transformer_of(model.tensors, model.options)
