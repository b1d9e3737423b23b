"""`polyhead keys`: who may use a service that asks for API keys."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from service.cli.messages import fail, remark
from service.store.records import ApiKey, Scope

if TYPE_CHECKING:
    from service.store.store import Store

__all__ = ["app", "with_store"]

_T = TypeVar("_T")

_DAYS = re.compile(r"([1-9][0-9]{0,4})d")
_DATE = "%Y-%m-%d"

app = typer.Typer(
    no_args_is_help=True,
    help="Add, list and revoke API keys. A running service knows of it within seconds.",
)

_Name = Annotated[str, typer.Argument(help="Whose it is; no two valid keys have one name.")]
_Scopes = Annotated[
    list[Scope],
    typer.Option("--scope", help="What it is good for; any number of times; admin is all of it."),
]
_Expires = Annotated[
    str | None,
    typer.Option(metavar="90d|2027-12-31", help="In so many days, or that day  [default: never]"),
]
_Limit = Annotated[int | None, typer.Option(min=1, help="In place of the setting `per_key`.")]
_NameOrId = Annotated[str, typer.Argument(metavar="NAME|ID", help="As `polyhead keys list` tells.")]


@app.command()
def add(
    name: _Name,
    scope: _Scopes = [Scope.TRANSLATE, Scope.DOCUMENTS],  # noqa: B006 (typer reads it)
    expires: _Expires = None,
    requests_per_minute: _Limit = None,
    characters_per_minute: _Limit = None,
    characters_per_month: _Limit = None,
) -> None:
    """Make a key, and print it: it is not kept, and cannot be shown again.

    \b
    Examples:
      polyhead keys add mastodon
      polyhead keys add alice --expires 90d --characters-per-month 500000
      polyhead keys add operator --scope admin
    """
    from service.settings import Quota

    quota = Quota(
        requests_per_minute=requests_per_minute,
        characters_per_minute=characters_per_minute,
        characters_per_month=characters_per_month,
    )
    expires_at = None if expires is None else _end(expires)

    async def add_to(store: Store) -> tuple[ApiKey, str]:
        return await store.keys.add(name, scopes=scope, expires_at=expires_at, quota=quota)

    key, shown = with_store(add_to)
    print(shown)
    remark(f"this is the key of {key.name}, with the id {key.id}; it is not shown again")


@app.command("list")
def list_() -> None:
    """List all keys, with the characters that they have used in this month."""
    from service.store.records import Count
    from service.store.usage import month_of

    now = time.time()

    async def read(store: Store) -> tuple[list[ApiKey], dict[str, Count]]:
        keys = await store.keys.all()
        return keys, await store.usage.of_month(month_of(now), [key.id for key in keys])

    keys, used = with_store(read)
    rows = [("ID", "NAME", "SCOPES", "STATE", "CREATED", "EXPIRES", "CHARACTERS")]
    for key in keys:
        limit = key.quota.characters_per_month
        characters = str(used.get(key.id, Count()).characters)
        rows.append(
            (
                key.id,
                key.name,
                ",".join(sorted(key.scopes)),
                _state(key, now),
                _day(key.created_at),
                "never" if key.expires_at is None else _day(key.expires_at),
                characters if limit is None else f"{characters} of {limit}",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )


@app.command()
def revoke(key: _NameOrId) -> None:
    """Revoke a key: no request with it is let in from some seconds on."""

    async def revoke_in(store: Store) -> ApiKey | None:
        return await store.keys.revoke(key)

    if (revoked := with_store(revoke_in)) is None:
        fail(f"`KEY` must be the name or id of a key that is not revoked, but is {key!r}")
    print(f"revoked {revoked.name} ({revoked.id})")


def with_store(use: Callable[[Store], Coroutine[Any, Any, _T]]) -> _T:
    """What a function makes of the store that the environment names.

    Ends with an error where that cannot be used.
    """
    from service.errors import StoreUnavailableError
    from service.settings import Settings
    from service.store.store import Store

    try:
        settings = Settings()
    except ValueError:  # it would tell what was given, a password perhaps
        fail("the variables POLYHEAD_... must be settings of the service, but one of them is not")

    async def run() -> _T:
        store = Store(settings)
        try:
            return await use(store)
        finally:
            await store.close()

    try:
        return asyncio.run(run())
    except StoreUnavailableError as error:
        fail(f"the store cannot be used: {error}")


def _end(expires: str) -> int:
    """The time of an `--expires`."""
    if days := _DAYS.fullmatch(expires):
        return int(time.time()) + 86_400 * int(days[1])
    try:
        end = datetime.strptime(expires, _DATE).replace(tzinfo=UTC).timestamp()
    except ValueError:
        end = 0.0
    if end <= time.time():
        fail(f"`--expires` must be a number of days, as 90d, or a day to come, but is {expires!r}")
    return int(end)


def _day(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):{_DATE}}"


def _state(key: ApiKey, now: float) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "valid" if key.is_valid(now) else "expired"
