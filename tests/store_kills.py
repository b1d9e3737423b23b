"""Writers of a store that are killed in the middle of anything: `python -m tests.store_kills`.

This process has no threads and imports all first: each writer is a fork of it. The last line is
JSON: what was confirmed and is not there, and what was counted twice.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import aiosqlite  # noqa: F401 (before the forks)
import asyncpg  # noqa: F401
from sqlalchemy import func, select, text

from model.text_options import GlossaryEntry
from service.settings import Settings
from service.store import api_keys, glossaries, suggestions, usage  # noqa: F401
from service.store.records import Count, Dictionary
from service.store.store import Store
from service.store.tables import DOCUMENTS, USAGE, USAGE_BATCHES

_MONTH = "2026-11"
_CHARACTERS = 7
_OPERATIONS = 10_000
"""Batches of a writer; it is killed long before."""


async def _write(settings: Settings, writer: int, again: str, pipe: int) -> None:
    """Writes of all kinds, one after the other; tells each one that is done."""
    store = Store(settings)

    def confirm(kind: str, name: str) -> None:
        os.write(pipe, f"{kind} {name}\n".encode())

    async def add_usage(batch: str) -> None:
        os.write(pipe, f"begins {batch}\n".encode())
        await store.usage.add(batch, {("key", _MONTH): Count(1, _CHARACTERS)})
        confirm("usage", batch)

    if again:  # of which the last writer never heard whether it was counted
        await add_usage(again)
    for number in range(_OPERATIONS):
        name = f"{writer}-{number}"
        await add_usage(name)
        await store.blobs.write(name, name.encode() * 1000)
        confirm("blob", name)
        async with store.database.writing() as connection:
            await connection.execute(DOCUMENTS.insert(), _document(name))
        confirm("document", name)
        entries = (GlossaryEntry(name, (name,)),)
        dictionary = Dictionary(source="en", target="de", entries=entries)
        glossary = await store.glossaries.add("key", name, [dictionary], most=10**6)
        confirm("glossary", glossary.id)
        await store.suggestions.add("en", "de", name, name, most=10**6)
        confirm("suggestion", name)
        key, _ = await store.keys.add(name)
        confirm("key", key.id)


def _document(name: str) -> dict[str, Any]:
    return {
        "id": name, "owner": "key", "created_at": 0, "expires_at": 1, "state": "queued",
        "name": name, "format": "txt", "target": "de", "options": {}, "num_bytes": 1,
        "num_characters": 1, "done_units": 0, "source_blob": name, "attempts": 0,
    }  # fmt: skip


def _kill_one(settings: Settings, writer: int, again: str, chance: random.Random) -> list[str]:
    """The lines of a writer that was killed at some time."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        os.close(reading)
        try:
            asyncio.run(_write(settings, writer, again, writing))
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as lines:
        told = [next(lines, "") for _ in range(chance.randint(1, 14))]
        if not told[-1]:
            raise RuntimeError("a writer ended by itself")
        time.sleep(chance.random() * 0.01)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        told += lines.readlines()
    return [line.strip() for line in told]


async def _problems(settings: Settings, told: list[str]) -> dict[str, Any]:
    confirmed: dict[str, set[str]] = {}
    for line in told:
        kind, _, name = line.partition(" ")
        confirmed.setdefault(kind, set()).add(name)
    store = Store(settings)
    async with store.database.reading() as connection:
        batches = set(await connection.scalars(select(USAGE_BATCHES.c.id)))
        documents = set(await connection.scalars(select(DOCUMENTS.c.id)))
        total = await connection.scalar(select(func.sum(USAGE.c.characters)))
        is_sound = True
        if not store.database.is_postgresql:
            is_sound = await connection.scalar(text("PRAGMA integrity_check")) == "ok"
    found = {
        "usage": batches,
        "document": documents,
        "glossary": {each.id for each in await store.glossaries.all("key")},
        "suggestion": {each.text async for each in store.suggestions.all()},
        "key": {key.id for key in await store.keys.all()},
        "blob": {
            name
            for name in await store.blobs.names()
            if await store.blobs.read(name) == name.encode() * 1000
        },
    }
    await store.close()
    return {
        "confirmed": {kind: len(confirmed.get(kind, ())) for kind in found},
        "lost": {kind: sorted(confirmed.get(kind, set()) - names) for kind, names in found.items()},
        "counted": int(total or 0),
        "expected": _CHARACTERS * len(batches),
        "sound": is_sound,
    }


def main(url: str, blobs: str, kills: int, seed: int) -> None:
    """Kills writers, and prints what came of it."""
    settings = Settings(store_url=url, blobs_url=blobs)
    chance = random.Random(seed)
    told: list[str] = []
    again, retried = "", 0
    for writer in range(kills):
        lines = _kill_one(settings, writer, again, chance)
        told += lines
        begun = [line.split()[1] for line in lines if line.startswith("begins ")]
        done = {line.split()[1] for line in lines if line.startswith("usage ")}
        again = next((batch for batch in reversed(begun) if batch not in done), "")
        retried += bool(again)
    print(json.dumps({"kills": kills, "retried": retried} | asyncio.run(_problems(settings, told))))


if __name__ == "__main__":
    main(sys.argv[1], str(Path(sys.argv[2])), int(sys.argv[3]), int(sys.argv[4]))
