"""An engine without a model: what comes out is what went in, when the test says so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from model.config import EngineConfig, GenerationConfig, Priority
from model.decoding.search import FinishReason, Hypothesis
from model.decoding.sequence_options import NO_OPTIONS, SequenceOptions
from model.decoding.token_ids import packed_ids
from model.engine.result_future import ResultFuture
from model.engine.sequence import SequenceResult
from model.errors import QueueFullError, RequestCancelledError


def echo(source: Sequence[int], *, num_hypotheses: int = 1, **changes: object) -> SequenceResult:
    """The source as its own best hypothesis; each further one lacks one more token at its end."""
    tokens = tuple(source[:-1])
    hypotheses = tuple(
        Hypothesis(
            target=packed_ids(tokens[: max(1, len(tokens) - rank)]),
            score=-0.1 * (rank + 1),
            log_prob=-0.2 * (rank + 1),
            finish_reason=FinishReason.STOP,
            attended=tuple(range(max(1, len(tokens) - rank) + 1)),
        )
        for rank in range(num_hypotheses)
    )
    values: dict[str, object] = {
        "hypotheses": hypotheses, "source_tokens": len(source), "target_tokens": len(source),
        "queue_seconds": 0.0, "encode_seconds": 0.0, "decode_seconds": 0.0,
        "time_to_first_token_seconds": 0.0,
    }  # fmt: skip
    return SequenceResult(**(values | changes))  # type: ignore[arg-type]


class FakeEngine:
    """The engine's interface as a translator uses it.

    With `held`, a sequence stays in flight until the test finishes, fails or cancels it.
    """

    def __init__(
        self, *, max_source_tokens: int = 64, max_waiting: int = 2048, held: bool = False
    ) -> None:
        self.config = EngineConfig(max_waiting=max_waiting)
        self.max_source_tokens = max_source_tokens
        self.held = held
        self.sources: list[list[int]] = []
        """Sources of all submissions."""
        self.options: list[SequenceOptions] = []
        """What each source is bound to."""
        self.generations: list[GenerationConfig] = []
        self.deadlines: list[float | None] = []
        self.priorities: list[Priority] = []
        self.num_submissions = 0
        self.futures: list[ResultFuture[SequenceResult]] = []
        """One for each source."""
        self.on_decided: list[Callable[[tuple[int, ...]], None] | None] = []
        """What is called with decided tokens of each source."""
        self.num_cancelled = 0
        self.most_in_flight = 0
        self.alive = True
        self.wants_batch = True

    def room(self, priority: Priority) -> int:
        return max(0, self.max_sources(priority) - len(self.in_flight))

    def max_sources(self, priority: Priority) -> int:
        return self.config.max_waiting

    def submit(
        self,
        sources: Sequence[Sequence[int]],
        generation: GenerationConfig,
        *,
        options: Sequence[SequenceOptions] | None = None,
        deadline: float | None = None,
        priority: Priority = Priority.INTERACTIVE,
        on_decided: Sequence[Callable[[tuple[int, ...]], None] | None] | None = None,
        admitted: bool = False,
    ) -> list[ResultFuture[SequenceResult]]:
        options = options or [NO_OPTIONS] * len(sources)
        assert len(options) == len(sources)
        assert all(0 < len(source) <= self.max_source_tokens for source in sources)
        if not admitted and len(self.in_flight) + len(sources) > self.config.max_waiting:
            raise QueueFullError("full")
        futures: list[ResultFuture[SequenceResult]] = [ResultFuture() for _ in sources]
        self.sources += [list(source) for source in sources]
        self.options += options
        self.futures += futures
        self.on_decided += on_decided or [None] * len(sources)
        self.generations.append(generation)
        self.deadlines.append(deadline)
        self.priorities.append(priority)
        self.num_submissions += 1
        self.most_in_flight = max(self.most_in_flight, len(self.in_flight))
        if not self.held:
            self.finish_all()
        return futures

    def cancel(self, futures: Iterable[ResultFuture[SequenceResult]]) -> None:
        for future in futures:
            if not future.done():
                self.num_cancelled += 1
                future.set_exception(RequestCancelledError("cancelled"))

    def close(self) -> None:
        self.cancel(self.futures)
        self.alive = False

    @property
    def in_flight(self) -> list[int]:
        """Numbers of the sources that are not done."""
        return [number for number, future in enumerate(self.futures) if not future.done()]

    def finish(self, number: int, **changes: object) -> None:
        """Ends one source well; `changes` are fields of its result."""
        source = self.sources[number]
        self.futures[number].set_result(echo(source, **changes))  # type: ignore[arg-type]

    def finish_all(self) -> None:
        for number in self.in_flight:
            self.finish(number)

    def fail(self, number: int, error: Exception) -> None:
        """Ends one source badly."""
        self.futures[number].set_exception(error)
