"""What every test may rely on: a known environment, few threads, a mark that names its folder."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

_TESTS = Path(__file__).parent
_FOLDERS = ("unit", "equivalence", "robustness", "integration", "system")
_FOREIGN_PREFIXES = ("POLYHEAD_", "RAY_", "LOCUST_")
_FOREIGN_NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


def _clean_environment() -> None:
    """Forgets what the caller's shell says of us, so that a test means the same everywhere.

    Done once and before anything is imported that reads it: fixtures of the whole session start
    processes too, and those inherit it.
    """
    for name in list(os.environ):
        if name.startswith(_FOREIGN_PREFIXES) or name.upper() in _FOREIGN_NAMES:
            del os.environ[name]
    # Without it, the first local start of Ray writes a token that later ones must then show.
    os.environ["RAY_AUTH_MODE"] = "disabled"
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Nor what models the user has.
    os.environ["POLYHEAD_MODELS_FOLDER"] = str(_TESTS / "no-models")
    # Nor what is stored: a test says where its own store is.
    os.environ["POLYHEAD_STORE_URL"] = "sqlite:////dev/null/store.db"
    # Tiny models are slower on several threads, and test processes share the cores.
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["MKL_NUM_THREADS"] = "1"
    # Kernels run on the CPU, unless somebody who has a GPU says otherwise. Triton reads it once.
    os.environ.setdefault("TRITON_INTERPRET", "1")


_clean_environment()

# No timing in tests, and the same examples in every run: what fails once fails again.
settings.register_profile("polyhead", deadline=None, derandomize=True, database=None)
# `--hypothesis-profile=many`, for those that try many anyway: others than the usual ones.
settings.register_profile("many", deadline=None, max_examples=10_000, database=None)
settings.load_profile("polyhead")


def pytest_addoption(parser: pytest.Parser) -> None:
    """What some tests do more of when asked to."""
    parser.addoption(
        "--kills", type=int, default=20, help="how often a writer of the store is killed"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`-m unit` and its like select by folder; no test marks itself."""
    for item in items:
        folder = item.path.relative_to(_TESTS).parts[0]
        if folder in _FOLDERS:
            item.add_marker(folder)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keeps the garbage collector away from modules and tests, which stay.

    While they are imported it would find nothing, again and again; and afterwards each full
    collection would take a second to pass over them.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()
