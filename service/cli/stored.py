"""`polyhead store` and `polyhead suggestions`: what a service has stored."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.keys import with_store
from service.cli.messages import remark

if TYPE_CHECKING:
    from service.store.store import Store

__all__ = ["app", "suggestions"]

app = typer.Typer(no_args_is_help=True, help="The database of keys, usage, glossaries and more.")

_Delete = Annotated[bool, typer.Option("--delete", help="Delete them when they are printed.")]


@app.callback()
def store() -> None:
    """For the help alone: with one command, typer would make it this one."""


@app.command()
def upgrade() -> None:
    """Bring the tables of the store to this version; a service does so by itself."""
    from service.store.tables import SCHEMA

    async def open_it(store: Store) -> None:
        await store.database.open()

    with_store(open_it)
    print(f"the tables of the store are of version {SCHEMA}")


def suggestions(delete: _Delete = False) -> None:
    """Print the translations that users have suggested, a line of JSON each."""

    async def read(store: Store) -> int:
        count = 0
        async for each in store.suggestions.all():
            print(json.dumps(asdict(each), ensure_ascii=False))
            count += 1
        if delete:
            await store.suggestions.remove_all()
        return count

    count = with_store(read)
    remark(f"{count} suggestions{', which are deleted' if delete else ''}")
