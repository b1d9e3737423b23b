"""The operator's token of `polyhead serve`: for its own user alone, and as long as it runs."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from service.launcher import token_file as module
from service.launcher.local_ray import LaunchError
from service.launcher.token_file import read_token, token_file

NONE = SecretStr("")


@pytest.fixture(autouse=True)
def _places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the machine's own."""
    for name in ("XDG_RUNTIME_DIR", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(module, "_RUNTIME_FOLDERS", str(tmp_path / "run"))
    monkeypatch.setattr(module.tempfile, "tempdir", str(tmp_path / "temporary"))


@pytest.fixture(params=["XDG_RUNTIME_DIR", "XDG_STATE_HOME", "HOME"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(request.param, str(tmp_path))
    return tmp_path


def _file(folder: Path) -> Path:
    [path] = folder.rglob("admin-token-*")
    return path


def test_only_its_own_user_can_read_it_and_it_goes(folder: Path) -> None:
    with token_file(8000, NONE) as token, token_file(9000, NONE) as other:
        paths = list(folder.rglob("admin-token-*"))
        assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o600}
        assert {stat.S_IMODE(path.parent.stat().st_mode) for path in paths} == {0o700}
        assert read_token(8000) == token.get_secret_value() != other.get_secret_value()
        assert len(token.get_secret_value()) > 40
    assert list(folder.rglob("admin-token-*")) == []
    assert read_token(8000) is None


def test_a_token_of_the_operators_own_is_in_no_file(folder: Path) -> None:
    with token_file(8000, SecretStr("mine")) as token:
        assert token.get_secret_value() == "mine"
        assert read_token(8000) is None
    assert list(folder.rglob("*")) == []


def test_what_a_killed_service_left_is_replaced(folder: Path) -> None:
    with token_file(8000, NONE):
        path = _file(folder)
    path.write_text("old")
    path.chmod(0o666)
    with token_file(8000, NONE) as token:
        assert path.read_text() == token.get_secret_value()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_file_of_a_service_that_came_later_stays(folder: Path) -> None:
    first = token_file(8000, NONE)  # on 127.0.0.1
    first.__enter__()
    with token_file(8000, NONE) as token:  # on 127.0.0.2
        first.__exit__(None, None, None)
        assert read_token(8000) == token.get_secret_value()
    assert list(folder.rglob("admin-token-*")) == []


def test_links_are_neither_followed_nor_believed(folder: Path, tmp_path: Path) -> None:
    with token_file(8000, NONE):
        path = _file(folder)
    target = tmp_path / "target"
    target.write_text("theirs")
    path.symlink_to(target)
    assert read_token(8000) is None
    with token_file(8000, NONE):
        assert not path.is_symlink()
    assert target.read_text() == "theirs"
    os.mkfifo(path)
    assert read_token(9000) is None


def test_it_is_found_without_the_variables_of_a_login_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = tmp_path / "run" / str(os.getuid())
    runtime.mkdir(parents=True)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    with token_file(8000, NONE) as token:
        monkeypatch.delenv("XDG_RUNTIME_DIR")
        assert read_token(8000) == token.get_secret_value()
    with token_file(8000, NONE) as token:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "other"))
        assert read_token(8000) == token.get_secret_value()


def test_without_a_home_there_is_a_folder_for_the_user_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".local").write_text("a file")
    with token_file(8000, NONE) as token:
        path = _file(tmp_path)
        assert path.parent == tmp_path / "temporary" / f"polyhead-{os.getuid()}"
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert read_token(8000) == token.get_secret_value()


@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_others_can_read_is_not_believed(tmp_path: Path, what: str) -> None:
    with token_file(8000, NONE):
        path = _file(tmp_path)
        (path.parent if what == "folder" else path).chmod(0o750 if what == "folder" else 0o640)
        assert read_token(8000) is None
        path.unlink()


def test_what_is_another_users_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with token_file(8000, NONE) as token:
        assert read_token(8000) == token.get_secret_value()
        uid = os.getuid()
        with monkeypatch.context() as another:
            another.setattr(module.os, "getuid", lambda: uid + 1)
            assert read_token(8000) is None


def test_folders_that_cannot_be_written(tmp_path: Path) -> None:
    for name in (".local", "temporary"):
        (tmp_path / name).write_text("a file")
    with pytest.raises(LaunchError, match=r"cannot write .*; set POLYHEAD_ADMIN_TOKEN instead"):
        token_file(8000, NONE).__enter__()
