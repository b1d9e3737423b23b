"""A load test as one page of HTML that needs nothing beside it, and no network."""

from __future__ import annotations

import json
from html import escape

from loadtests.open_loop.figures import Result
from loadtests.open_loop.plots import as_svg
from loadtests.open_loop.report import heading, in_words, tables
from loadtests.report import as_table

__all__ = ["as_page"]

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
       color: #222; background: #fff; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem; border-bottom: 1px solid #ddd; }
th { text-align: left; }
svg { width: 100%; height: auto; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #f5f5f5; padding: 1rem; }
.miss { color: #b00; font-weight: bold; }
"""


def as_page(result: Result) -> str:
    """The whole document."""
    facts = result.figures
    hardware = facts["hardware"]
    title = f"Load test: {facts['profile']}, {facts['started']}"
    misses = [f'<p class="miss">Missed: {escape(miss)}.</p>' for miss in facts["misses"]]
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(heading(facts))}.</p>",
        *misses,
        *(f"<p>{_lines(words)}.</p>" for words in in_words(facts)),
        *(f"<p>Note: {escape(note)}.</p>" for note in facts["notes"]),
        as_svg(result),
        *(as_table(table, "html") for table in tables(facts)),
        "<p>Requests start at planned times, drawn at random (Poisson), whatever the service does. "
        "Latency counts from the planned time to the last byte of a right answer.</p>",
        f"<p>Load from {escape(hardware['cpu'])}, {hardware['cores']} CPUs; commit "
        f"{escape(str(facts['commit']))}; seed {facts['seed']}.</p>",
        f"<details><summary>All figures</summary><pre>{escape(json.dumps(facts, indent=1))}</pre>"
        "</details>",
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}'
        f"</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _lines(text: str) -> str:
    return escape(text).replace("\n", ".<br>\n")
