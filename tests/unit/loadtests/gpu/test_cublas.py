"""CTranslate2 is offered the cuBLAS that there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtests.gpu import rates as cublas
from loadtests.gpu.rates import offer_cublas_12


def _libraries(monkeypatch: pytest.MonkeyPatch, *paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.setattr(cublas.glob, "glob", lambda pattern, recursive: [str(p) for p in paths])


def test_a_later_cublas_is_offered_as_the_one_that_is_wanted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/before")
    library = tmp_path / "nvidia" / "libcublas.so.13"
    _libraries(monkeypatch, library)
    links = tmp_path / "links"
    links.mkdir()
    assert offer_cublas_12(links)
    assert (links / "libcublas.so.12").resolve() == library
    assert cublas.os.environ["LD_LIBRARY_PATH"] == f"{links}:{library.parent}:/before"


def test_the_right_cublas_needs_no_link(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    _libraries(monkeypatch, tmp_path / "a/libcublas.so.13", tmp_path / "b/libcublas.so.12")
    assert offer_cublas_12(tmp_path)
    assert not (tmp_path / "libcublas.so.12").exists()
    assert cublas.os.environ["LD_LIBRARY_PATH"] == f"{tmp_path}:{tmp_path / 'b'}"


def test_without_a_cublas_nothing_is_offered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/before")
    _libraries(monkeypatch)
    assert not offer_cublas_12(tmp_path)
    assert cublas.os.environ["LD_LIBRARY_PATH"] == "/before"
