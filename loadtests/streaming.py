"""`python -m loadtests.streaming PID`: what streams cost beside plain requests, and their latency.

Plain requests and streams of the same texts take turns at one service on this machine, whose
processes' CPU time is added up: HAProxy, gateways, replicas, all of Ray. Clients' is not. A stream
is read as it comes; its first word is its first delta.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import time
from dataclasses import dataclass, field
from typing import Annotated, Any

import httpx
import psutil
import typer

from loadtests.corpus import Corpus, LoadTestError
from loadtests.processes import cpu_times, spent

__all__ = ["app", "main", "measure"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@dataclass(kw_only=True)
class _Turn:
    """What came of the requests of a turn."""

    cpu_seconds: dict[str, float] = field(default_factory=dict)
    """By kind of process."""
    first: list[float] = field(default_factory=list)
    """Seconds until the first part of an answer."""
    whole: list[float] = field(default_factory=list)
    """Seconds until its end."""
    num_deltas: int = 0


@app.command()
def measure(
    pid: Annotated[int, typer.Argument(help="Of `polyhead serve`.")],
    url: Annotated[str, typer.Option()] = "http://127.0.0.1:8000",
    clients: Annotated[list[int] | None, typer.Option(min=1, max=512)] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    requests: Annotated[int, typer.Option(min=1, help="Of each turn.")] = 256,
    document: Annotated[bool, typer.Option(help="Paragraphs instead of sentences.")] = False,
) -> None:
    """CPU time for each request, and time to first word. The last line is one object of JSON."""
    found = {
        count: asyncio.run(_measure(pid, url, count, rounds, requests, document))
        for count in dict.fromkeys(clients or (1, 64))
    }
    for count, figures in found.items():
        print(f"{count} clients: {json.dumps(figures)}")
    print(json.dumps({"schema": 1, "document": document, "clients": found}))


async def _measure(
    pid: int, url: str, clients: int, rounds: int, requests: int, document: bool
) -> dict[str, Any]:
    corpus, rng = Corpus.read(), random.Random(1)
    texts = corpus.paragraphs if document else corpus.sentences
    root = psutil.Process(pid)
    turns: dict[bool, list[_Turn]] = {False: [], True: []}
    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(
        base_url=url, timeout=120, limits=limits, trust_env=False
    ) as client:
        await _turn(client, root, [texts[0]] * clients, clients, stream=False)
        for number in range(rounds):
            sent = rng.choices(texts, k=requests)
            for stream in (False, True) if number % 2 == 0 else (True, False):
                turns[stream].append(await _turn(client, root, sent, clients, stream=stream))
    cpu = {
        stream: [sum(turn.cpu_seconds.values()) / requests for turn in of_kind]
        for stream, of_kind in turns.items()
    }
    ratios = [streams / plain for plain, streams in zip(cpu[False], cpu[True], strict=True)]
    return {
        "plain_cpu_ms": round(1e3 * statistics.median(cpu[False]), 3),
        "stream_cpu_ms": round(1e3 * statistics.median(cpu[True]), 3),
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(each, 3) for each in ratios],
        "first_word_ms": _spread([each for turn in turns[True] for each in turn.first]),
        "stream_ms": _spread([each for turn in turns[True] for each in turn.whole]),
        "plain_ms": _spread([each for turn in turns[False] for each in turn.whole]),
        "deltas": round(sum(turn.num_deltas for turn in turns[True]) / requests / rounds, 2),
        "cpu_ms_by_process": {
            "stream" if stream else "plain": _by_process(of_kind, requests)
            for stream, of_kind in turns.items()
        },
    }


def _by_process(turns: list[_Turn], requests: int) -> dict[str, float]:
    kinds = {kind for turn in turns for kind in turn.cpu_seconds}
    return {
        kind: round(
            1e3 * statistics.median(turn.cpu_seconds.get(kind, 0.0) for turn in turns) / requests, 3
        )
        for kind in sorted(kinds)
    }


def _spread(seconds: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=20)
    return {"p50": round(1e3 * cuts[9], 1), "p95": round(1e3 * cuts[18], 1)}


async def _turn(
    client: httpx.AsyncClient,
    root: psutil.Process,
    texts: list[str],
    clients: int,
    *,
    stream: bool,
) -> _Turn:
    turn = _Turn()
    waiting = iter(texts)

    async def ask() -> None:
        for text in waiting:
            await _ask(client, text, turn, stream=stream)

    before = cpu_times(root, "launcher")
    await asyncio.gather(*(ask() for _ in range(clients)))
    turn.cpu_seconds = spent(before, cpu_times(root, "launcher"))
    return turn


async def _ask(client: httpx.AsyncClient, text: str, turn: _Turn, *, stream: bool) -> None:
    body = {"text": text, "source": "en", "target": "de", "stream": stream, "cache": False}
    started = time.monotonic()
    async with client.stream("POST", "/v1/translate", json=body) as answer:
        if answer.status_code != 200:
            await answer.aread()
            raise LoadTestError(f"the answer must be 200, but is {answer.status_code}")
        parts: list[str] = []
        async for line in answer.aiter_lines():
            if not parts:
                turn.first.append(time.monotonic() - started)
            parts.append(line)
    turn.whole.append(time.monotonic() - started)
    turn.num_deltas += parts.count("event: delta")
    if stream and "event: result" not in parts:
        raise LoadTestError("a stream must end with its result, but does not")


def main() -> None:
    """Runs the command line."""
    app()


if __name__ == "__main__":
    main()
