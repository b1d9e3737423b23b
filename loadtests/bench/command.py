"""`polyhead bench`: from the words of the command line to what stands on stdout."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from loadtests.bench.benchmark import run
from loadtests.bench.contender import Peer, Regime, Search
from loadtests.bench.errors import BenchError
from loadtests.bench.options import BenchOptions
from loadtests.bench.report import as_tables
from loadtests.bench.workload import TextFile
from loadtests.report import append

__all__ = ["bench", "chosen"]

_Choice = TypeVar("_Choice", bound=StrEnum)


def bench(
    regime: str,
    search: str,
    peers: Sequence[str],
    *,
    text: Path | None,
    references: bool,
    as_json: bool,
    results: Path | None,
    **options: Any,
) -> None:
    """Measures and prints.

    Args:
        regime: one of them, or "all".
        search: one of them, or "both".
        as_json: leaves the tables out.
        results: the line of JSON is added to this file as well.
        options: further ones of `BenchOptions`, by their names there.

    Raises:
        BenchError: an option is no good.
    """
    wanted = BenchOptions(
        regimes=chosen("regime", regime, Regime, everything="all"),
        searches=chosen("search", search, Search, everything="both"),
        peers=tuple(chosen("peer", peer, Peer)[0] for peer in dict.fromkeys(peers)),
        text=TextFile(path=text, references=references),
        **options,
    )
    if results is not None:
        append(
            results, "", error=BenchError
        )  # a name that is no good is known before anything is measured
    result = run(wanted)
    line = json.dumps(result, ensure_ascii=False)
    if not as_json:
        print(as_tables(result), end="\n\n")
    print(line)
    if results is not None:
        append(results, line + "\n", error=BenchError)


def chosen(
    name: str, word: str, kind: type[_Choice], *, everything: str | None = None
) -> tuple[_Choice, ...]:
    """The member called `word`; all of them for the word `everything`.

    Raises:
        BenchError: there is none of that name.
    """
    if word == everything:
        return tuple(kind)
    try:
        return (kind(word),)
    except ValueError:
        allowed = ", ".join([*kind, everything] if everything else kind)
        raise BenchError(f"`{name}` must be one of {allowed}, but is {word!r}") from None
