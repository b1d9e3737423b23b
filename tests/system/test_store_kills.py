"""A store whose writers are killed in the middle of anything loses nothing that it confirmed.

`--kills=200` kills more of them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgresql import postgresql_server
from tests.stores import new_database


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    with postgresql_server() as server:
        if server is None:
            pytest.skip("there is no initdb: install postgresql, or the extra dev")
        yield server


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_killed_writers_lose_nothing(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    kills = request.config.getoption("kills")
    server = None if database == "sqlite" else request.getfixturevalue("postgresql")
    url = new_database(server, tmp_path)
    ran = subprocess.run(
        [sys.executable, "-m", "tests.store_kills", url, tmp_path / "blobs", str(kills), "1"],
        capture_output=True, text=True, timeout=240 + 5 * kills, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    print(found)
    assert found["kills"] == kills
    assert all(not names for names in found["lost"].values()), found["lost"]
    assert found["counted"] == found["expected"] >= 7 * kills
    assert found["sound"]
    # Or nothing was put to the test.
    assert all(count >= kills / 4 for count in found["confirmed"].values()), found["confirmed"]
