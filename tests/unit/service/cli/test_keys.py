"""`polyhead keys`, `store` and `suggestions`, on a store of the environment's."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

import pytest

from service import cli
from service.store.api_keys import find_key
from service.store.records import Count, Scope
from service.store.usage import month_of
from tests.stores import new_database, store_of


class _Polyhead:
    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path
    ) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self.url = new_database(None, folder)
        self.store = store_of(self.url, folder)
        monkeypatch.setenv("POLYHEAD_STORE_URL", self.url)

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Status, output and errors."""
        self._monkeypatch.setattr(sys, "argv", ["polyhead", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        told = self._capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err


@pytest.fixture
def polyhead(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> _Polyhead:
    return _Polyhead(monkeypatch, capsys, tmp_path)


def test_a_key_is_made_listed_and_revoked(polyhead: _Polyhead) -> None:
    status, shown, told = polyhead("keys", "add", "alice", "--characters-per-month", "500")
    assert status == 0
    assert "not shown again" in told

    async def use() -> None:
        keys = await polyhead.store.keys.valid()
        key = find_key(keys, shown.strip())
        assert key is not None
        assert key.scopes == {Scope.TRANSLATE, Scope.DOCUMENTS}
        month = month_of(time.time())
        await polyhead.store.usage.add("1", {(key.id, month): Count(1, 7)})
        await polyhead.store.close()

    asyncio.run(use())
    status, table, _ = polyhead("keys", "list")
    heading, line = table.splitlines()
    assert heading.split() == [
        "ID", "NAME", "SCOPES", "STATE", "CREATED", "EXPIRES", "CHARACTERS",
    ]  # fmt: skip
    assert line.split()[1:4] == ["alice", "documents,translate", "valid"]
    assert line.split()[-4:] == ["never", "7", "of", "500"]
    assert shown.strip().rpartition("_")[2] not in table
    assert polyhead("keys", "revoke", "alice")[0] == 0
    assert "revoked" in polyhead("keys", "list")[1]
    status, _, error = polyhead("keys", "revoke", "alice")
    assert (status, "that is not revoked, but is 'alice'" in error) == (1, True)


def test_scopes_and_expiry(polyhead: _Polyhead) -> None:
    assert polyhead("keys", "add", "a", "--scope", "admin", "--expires", "2d")[0] == 0
    assert polyhead("keys", "add", "b", "--expires", "2999-12-31")[0] == 0
    table = polyhead("keys", "list")[1]
    assert "2999-12-31" in table
    assert " admin " in table
    for wrong in ("0d", "yesterday", "2001-01-01", "9" * 20 + "d"):
        status, _, error = polyhead("keys", "add", "c", "--expires", wrong)
        assert (status, "`--expires` must be" in error) == (1, True), wrong


def test_what_is_wrong_is_one_line(polyhead: _Polyhead, monkeypatch: pytest.MonkeyPatch) -> None:
    assert polyhead("keys", "add", "a")[0] == 0
    status, _, error = polyhead("keys", "add", "a")
    assert (status, error.count("\n")) == (1, 1)
    monkeypatch.setenv("POLYHEAD_STORE_URL", "postgresql://user:secret@127.0.0.1:1/name")
    status, _, error = polyhead("keys", "list")
    assert (status, error.count("the store cannot be used")) == (1, 1)
    monkeypatch.setenv("POLYHEAD_STORE_URL", "mysql://user:secret@host/name")
    for arguments in (("keys", "list"), ("store", "upgrade")):
        status, _, more = polyhead(*arguments)
        assert (status, "`store_url` must be" in more, "secret" in error + more) == (1, True, False)


def test_the_store_is_upgraded(polyhead: _Polyhead) -> None:
    assert polyhead("store", "upgrade")[1] == "the tables of the store are of version 0004\n"


def test_suggestions_are_printed_and_deleted(polyhead: _Polyhead) -> None:
    async def add() -> None:
        await polyhead.store.suggestions.add("en", "de", "a", "ä", most=5)
        await polyhead.store.close()

    asyncio.run(add())
    status, lines, told = polyhead("suggestions", "--delete")
    assert (status, "1 suggestions, which are deleted" in told) == (0, True)
    found = json.loads(lines)
    assert (found["source"], found["text"], found["suggestion"]) == ("en", "a", "ä")
    assert polyhead("suggestions")[1] == ""
