"""The search for the translation of one sentence, with what its tokens say."""

from __future__ import annotations

import time
from collections.abc import Callable

from model.config import GenerationConfig
from model.decoding.search_record import SearchRecord, record_search
from model.decoding.sequence_options import SequenceOptions
from model.engine.sequence import SequenceResult
from model.network.weights import Weights
from model.text.segmentation import Segment
from model.text.tokenizer import Tokenizer
from model.translation import SearchCandidate, SentenceSearch, Translation

__all__ = ["RecordedSentence", "record_sentence"]


class RecordedSentence:
    """A search that has been recorded, and the time it took.

    Args:
        record: of the search.
        segment: the sentence.
        seconds: since the search began.
    """

    def __init__(self, record: SearchRecord, segment: Segment, seconds: float) -> None:
        self._record = record
        self.result = SequenceResult(
            hypotheses=record.hypotheses,
            source_tokens=len(segment.token_ids),
            target_tokens=len(record.best),
            queue_seconds=0.0,
            encode_seconds=0.0,
            decode_seconds=seconds,
            time_to_first_token_seconds=seconds,
        )
        """What an engine would have said."""

    def told(
        self, tokenizer: Tokenizer, generation: GenerationConfig, translation: Translation
    ) -> SentenceSearch:
        """The search as plain data.

        Args:
            tokenizer: the model's.
            generation: how it was searched.
            translation: of the sentence, by `result`.
        """
        texts: dict[int, str] = {}
        for token in {node.token_id for node in self._record.nodes}:
            written = "".join(text for text, _ in tokenizer.surfaces([token]))
            texts[token] = written or tokenizer.special_name(token)
        return SentenceSearch(
            translation=translation,
            beam_size=generation.beam_size,
            candidates=tuple(
                SearchCandidate(
                    node.parent, texts[node.token_id], node.log_prob, node.state, node.score
                )
                for node in self._record.nodes
            ),
            best=self._record.best,
        )


def record_sentence(
    weights: Weights,
    segment: Segment,
    generation: GenerationConfig,
    options: SequenceOptions,
    *,
    most_candidates: int,
    check: Callable[[], None],
) -> RecordedSentence:
    """Searches for the translation of a sentence; see `record_search`."""
    began = time.monotonic()
    record = record_search(
        weights, segment.token_ids, generation, options,
        most_candidates=most_candidates, check=check,
    )  # fmt: skip
    return RecordedSentence(record, segment, time.monotonic() - began)
