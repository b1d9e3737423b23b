"""One healthy service for a test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.loadtests.faults.service import FakeService, served


@pytest.fixture
def service() -> Iterator[FakeService]:
    with served() as running:
        yield running
