"""The fast engines tell of the same tokens as the search in Python, after the same steps."""

from __future__ import annotations

import random

import pytest
import torch

from model.config import GenerationConfig, SearchRules
from model.decoding.token_ids import packed_ids
from model.engine.cuda.kernels.plain import PlainOperations
from model.engine.cuda.runner import CudaRunner
from model.engine.eager.runner import EagerRunner
from model.engine.native.binding import NativeModel
from model.engine.native.runner import NativeRunner
from model.engine.runner import Runner
from model.engine.scheduler import StepPlan
from model.engine.sequence import Sequence
from tests.tiny_model import ending_transformer
from tests.unit.model.engine.deferred_stream import DeferredStream


def _sequences(rules: SearchRules) -> list[Sequence]:
    generator = random.Random(3)
    sequences = []
    first = 0
    for beam_size in (1, 2, 4, 3, 1):
        source = (*(generator.randrange(4, 400) for _ in range(generator.randint(2, 9))), 2)
        generation = GenerationConfig(beam_size=beam_size, num_hypotheses=1, search=rules)
        sequence = Sequence(
            source=packed_ids(source), generation=generation, max_new_tokens=20, arrived_at=0.0,
            on_decided=lambda token_ids: None,
        )  # fmt: skip
        sequence.slots = list(range(first, first + beam_size))
        first += beam_size
        sequences.append(sequence)
    return sequences


def _told(runner: Runner, sequences: list[Sequence]) -> list[list[tuple[int, tuple[int, ...]]]]:
    """For each step, which sequence is told of which tokens."""
    steps = []
    newcomers = tuple(sequences)
    left = len(sequences)
    while left:
        plan = StepPlan(removed=(), newcomers=newcomers, max_steps=1)
        outcome = runner.execute(plan)
        newcomers = ()
        steps.append(
            sorted((sequences.index(each.sequence), each.token_ids) for each in outcome.decided)
        )
        left -= len(outcome.finished)
        left -= sum(len(results.sequences) for results in outcome.pending)
        assert len(steps) < 100
    return steps


@pytest.mark.parametrize("rules", list(SearchRules))
def test_it_tells_the_same(rules: SearchRules) -> None:
    model = ending_transformer()
    native = NativeRunner(NativeModel(model, "float32"), 16)
    sequences = _sequences(rules)
    told = _told(native, sequences)
    native.close()
    eager = EagerRunner(model, device=torch.device("cpu"), dtype=torch.float32, max_slots=16)
    assert told == _told(eager, _sequences(rules))
    assert sum(len(step) for step in told) > 5


@pytest.mark.parametrize("rules", list(SearchRules))
def test_cuda_tells_the_same_later(rules: SearchRules) -> None:
    model = ending_transformer()
    cuda = CudaRunner(
        model, device=torch.device("cpu"), dtype=torch.float32, max_slots=16, beams=(),
        stream=DeferredStream(), operations=PlainOperations(torch.float32),
    )  # fmt: skip
    sequences = _sequences(rules)
    told = _by_sequence(_told(cuda, sequences))
    cuda.close()
    eager = EagerRunner(model, device=torch.device("cpu"), dtype=torch.float32, max_slots=16)
    expected = _by_sequence(_told(eager, _sequences(rules)))
    # A finish, too, is seen some calls later: what was decided in those before it may be missed.
    assert told.keys() <= expected.keys()
    assert all(expected[number][: len(tokens)] == tokens for number, tokens in told.items())
    assert sum(map(len, told.values())) > sum(map(len, expected.values())) / 2


def _by_sequence(told: list[list[tuple[int, tuple[int, ...]]]]) -> dict[int, tuple[int, ...]]:
    found: dict[int, tuple[int, ...]] = {}
    for number, token_ids in (each for step in told for each in step):
        found[number] = found.get(number, ()) + token_ids
    return found
