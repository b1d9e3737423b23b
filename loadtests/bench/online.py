"""Poisson arrivals: what waits for whom when nobody waits for an answer before asking again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

from loadtests.bench.closed_loop import Advance
from loadtests.bench.contender import Regime, Search, Setup, TokenIds
from loadtests.bench.field import Field, Measurement
from loadtests.bench.figures import Spread, percentile
from loadtests.bench.options import BenchOptions
from loadtests.bench.workload import Workload, poisson_arrivals

__all__ = ["SHARES", "Load", "loads_of", "measure_online", "num_online_turns"]

SHARES = (0.25, 0.50, 0.80)
"""Of somebody's capacity: sentences a second when everything is queued."""
_UNSETTLED = 0.2
"""First part of a round that does not count: the queue has to find its level."""
_TRIAL = 0.25
"""Length of a trial run, as a share of a round."""

_Key = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Load:
    """Requests a second, and who has to bear them."""

    share: float
    owner: str
    """The contender whose capacity it is a share of."""
    rate: float
    """Requests a second."""
    contenders: tuple[str, ...]

    @property
    def name(self) -> str:
        """As in "80% of ctranslate2-int8"."""
        return f"{self.share:.0%} of {self.owner}"


def loads_of(capacity: Mapping[str, float], opponents: Mapping[str, Sequence[str]]) -> list[Load]:
    """Shares of each contender's capacity.

    Args:
        capacity: sentences a second of each contender.
        opponents: for each contender, who is measured at its loads beside itself: ours at a
            peer's, nobody at ours.
    """
    return [
        Load(
            share=share,
            owner=owner,
            rate=share * capacity[owner],
            contenders=(*others, owner),
        )
        for owner, others in opponents.items()
        for share in SHARES
    ]


def num_online_turns(options: BenchOptions, opponents: Mapping[str, Sequence[str]]) -> int:
    """How often `measure_online` advances."""
    served = len(SHARES) * sum(len(others) + 1 for others in opponents.values())
    return len(options.searches) * served * (options.rounds + 1)


def measure_online(
    field: Field,
    workload: Workload,
    options: BenchOptions,
    advance: Advance,
    *,
    capacity: Mapping[Search, Mapping[str, float]],
    opponents: Mapping[str, Sequence[str]],
) -> list[Measurement]:
    """Prepares everybody for every load, then takes turns, round by round.

    Everybody gets the same arrivals at the same load; each round has its own.
    """
    measurements = []
    for search in options.searches:
        loads = loads_of(capacity[search], opponents)
        setups = _prepare(field, workload, options, advance, search, loads)
        latencies: defaultdict[_Key, list[list[float]]] = defaultdict(list)
        for number in range(options.rounds):
            for load in loads:
                arrivals = _arrivals(load, options, number)
                sources = _sources(workload, len(arrivals))
                for label in load.contenders:
                    with field.turn(field[label]):
                        waited = field[label].serve(search, load.name, sources, arrivals)
                    latencies[load.name, label].append(_settled(waited, arrivals, options.seconds))
                    advance(f"{label}, {search}, {load.name}: round {number + 1}")
        measurements += [
            _measurement(search, load, label, setups, latencies[load.name, label])
            for load in loads
            for label in load.contenders
        ]
    return measurements


def _prepare(
    field: Field,
    workload: Workload,
    options: BenchOptions,
    advance: Advance,
    search: Search,
    loads: Sequence[Load],
) -> dict[_Key, Setup]:
    setups: dict[_Key, Setup] = {}
    for load in loads:
        seconds = _TRIAL * options.seconds
        arrivals = poisson_arrivals(load.rate, seconds, seed=f"{options.seed}/{load.share}/trial")
        sample = _sources(workload, len(arrivals))
        for label in load.contenders:
            worker = field[label]
            with field.turn(worker):
                setup = worker.prepare_online(search, load.name, sample, arrivals)
            setups[load.name, label] = setup
            advance(f"{label}, {search}, {load.name}: prepared")
    return setups


def _arrivals(load: Load, options: BenchOptions, number: int) -> list[float]:
    seed = f"{options.seed}/{load.share}/{number}"
    return poisson_arrivals(load.rate, options.seconds, seed=seed)


def _sources(workload: Workload, count: int) -> list[TokenIds]:
    return list(islice(cycle(workload.sources), count))


def _settled(latencies: Sequence[float], arrivals: Sequence[float], seconds: float) -> list[float]:
    """Those that arrived after the first part of the round; all, if that leaves none."""
    settled = [
        latency
        for latency, arrival in zip(latencies, arrivals, strict=True)
        if arrival >= _UNSETTLED * seconds
    ]
    return settled or list(latencies)


def _measurement(
    search: Search,
    load: Load,
    label: str,
    setups: Mapping[_Key, Setup],
    rounds: Sequence[Sequence[float]],
) -> Measurement:
    figures = {
        f"p{share:.0%}_ms".replace("%", ""): Spread.of(
            [1e3 * percentile(latencies, share) for latencies in rounds]
        )
        for share in (0.50, 0.95, 0.99)
    }
    return Measurement(
        contender=label,
        regime=Regime.ONLINE,
        search=search,
        load=load.name,
        setup={"requests_per_second": load.rate, **setups[load.name, label]},
        figures=figures,
        sentences=len(rounds[0]),
    )
