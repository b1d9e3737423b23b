"""Calls of the compiled engine, as a worker makes them: sequences come and go."""

from __future__ import annotations

import random
from collections.abc import Sequence

from model.config import GenerationConfig
from model.decoding.search import Hypothesis
from model.decoding.sequence_options import NO_OPTIONS, SequenceOptions
from model.decoding.token_ids import packed_ids
from model.engine.native.binding import NativeModel, NativeRequest, NativeState

__all__ = ["run", "translate"]


def run(
    weights: NativeModel,
    jobs: Sequence[tuple[list[int], GenerationConfig]],
    options: Sequence[SequenceOptions] | None = None,
    *,
    newcomers_a_call: int = 7,
    cancel: random.Random | None = None,
    pause: random.Random | None = None,
) -> dict[int, tuple[Hypothesis, ...]]:
    """Lets jobs join a running batch a few at a time; slots are full of other numbers.

    Args:
        weights: of the engine.
        jobs: sources, and how to search for their targets.
        options: of each job.
        newcomers_a_call: at most.
        cancel: after most calls, takes somebody's slots away, for newcomers of the next call.
        pause: leaves some out of most calls' steps, and interrupts others within their first step.

    Returns:
        What was not cancelled, by its place in `jobs`.
    """
    max_slots = 48
    state = NativeState(weights, max_slots)
    state.cache_bytes()[:] = 0x46
    free = list(range(max_slots))
    held: dict[int, list[int]] = {}
    finished: dict[int, tuple[Hypothesis, ...]] = {}
    removed: list[int] = []
    waiting = list(enumerate(jobs))
    while waiting or held:
        newcomers: list[NativeRequest] = []
        while waiting and len(newcomers) < newcomers_a_call:
            index, (source, generation) = waiting[0]
            if len(free) < generation.beam_size:
                break
            del waiting[0]
            held[index] = [free.pop() for _ in range(generation.beam_size)]
            newcomers.append(
                NativeRequest(
                    id=index, source=packed_ids(source), slots=held[index], generation=generation,
                    options=options[index] if options else NO_OPTIONS,
                    max_new_tokens=generation.target_limit(
                        len(source), weights.config.max_positions
                    ),
                )
            )  # fmt: skip
        active = None
        if pause and held and pause.random() < 0.7:
            active = pause.sample(list(held), pause.randrange(1, len(held) + 1))
        if pause and pause.random() < 0.3:
            state.interrupt()
        outcome = state.execute(removed, newcomers, max_steps=3, active=active)
        assert outcome.steps > 0, "a call with running sequences must take a step"
        for index, hypotheses in outcome.finished.items():
            finished[index] = hypotheses
            free += held.pop(index)
        removed = []
        if cancel and held and cancel.random() < 0.7:
            removed = [cancel.choice(list(held))]
            free += held.pop(removed[0])
            cancel.shuffle(free)
        assert state.num_running == len(held) + len(removed)
    state.close()
    return finished


def translate(
    weights: NativeModel,
    sources: Sequence[list[int]],
    generation: GenerationConfig,
    options: Sequence[SequenceOptions] | None = None,
    *,
    newcomers_a_call: int = 7,
) -> list[tuple[Hypothesis, ...]]:
    """All sources in one way."""
    jobs = [(source, generation) for source in sources]
    finished = run(weights, jobs, options, newcomers_a_call=newcomers_a_call)
    return [finished[index] for index in range(len(sources))]
