"""Hugging Face's `generate`, on padded batches of like length.

Its beam search divides by length ** 0.6 where ours divides by ((5 + length) / 6) ** 0.6, and ends a
sentence when four hypotheses have ended, where ours may end sooner, once none can become better.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

import torch
from transformers.utils import logging

from loadtests.bench.arrivals import serve_in_batches
from loadtests.bench.contender import (
    BATCH_SIZE,
    LENGTH_PENALTY,
    Contender,
    ContenderSpec,
    Search,
    Setup,
    Task,
    TokenIds,
)
from loadtests.bench.transformers_model import to_transformers
from model.decoding.reference import pad_sources
from model.network.attention import padding_mask
from model.network.transformer import Transformer

__all__ = ["TransformersContender"]

_WARM_UP = 8


class TransformersContender(Contender):
    """One model; PyTorch's own threads."""

    def __init__(self, spec: ContenderSpec, model: Transformer) -> None:
        logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        torch.set_num_threads(len(spec.cores))
        self._spec = spec
        self._config = model.config
        dtype: torch.dtype = getattr(torch, spec.dtype)
        self._model: Any = to_transformers(model)
        self._model.to(spec.device, dtype)  # type: ignore[arg-type]

    def prepare(
        self, task: Task, sample: Sequence[TokenIds], arrivals: Sequence[float] = ()
    ) -> Setup:
        """There is nothing to choose."""
        self.translate(task, sample[:_WARM_UP])
        return {"num_threads": len(self._spec.cores), "batch_size": BATCH_SIZE}

    def translate(self, task: Task, sources: Sequence[TokenIds]) -> list[list[int]]:
        """Longest first, so that what is in a batch has about the same length."""
        order = sorted(range(len(sources)), key=lambda i: -len(sources[i]))
        targets: list[list[int]] = [[] for _ in sources]
        for first in range(0, len(order), BATCH_SIZE):
            rows = order[first : first + BATCH_SIZE]
            found = self._generate(task.search, [sources[i] for i in rows])
            for row, target in zip(rows, found, strict=True):
                targets[row] = target
        return targets

    def serve(
        self, task: Task, sources: Sequence[TokenIds], arrivals: Sequence[float]
    ) -> list[float]:
        """One batch at a time, of everything that waits."""
        return serve_in_batches(
            lambda batch: self._generate(task.search, [sources[index] for index in batch]),
            arrivals,
            num_workers=1,
            most=BATCH_SIZE,
        )

    def _generate(self, search: Search, sources: Sequence[TokenIds]) -> list[list[int]]:
        device = self._spec.device
        src_tokens, lengths = pad_sources(sources, self._config.pad_id, device)
        mask = padding_mask(lengths, src_tokens.size(1))[:, 0, 0]
        options: dict[str, Any] = {"num_beams": search.beam_size}
        if search.beam_size > 1:
            options |= {"length_penalty": LENGTH_PENALTY, "early_stopping": True}
        with torch.inference_mode():
            found = self._model.generate(
                input_ids=src_tokens,
                attention_mask=mask.long(),
                do_sample=False,
                max_new_tokens=self._spec.max_new_tokens,
                **options,
            )
        # The first token is what the decoder was started with.
        end = self._config.eos_id
        return [list(takewhile(lambda token: token != end, row[1:])) for row in found.tolist()]
