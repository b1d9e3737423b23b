"""pip's settings of this machine for a container that has nothing else of it."""

from __future__ import annotations

import os
import re
from configparser import RawConfigParser
from pathlib import Path

__all__ = ["pip_volumes"]

_VARIABLE = "PIP_"
_NO_SETTING = "config_file"
_PATH = re.compile(r"(?:^|\s|file://)(/\S+)")


def pip_volumes(folder: Path) -> dict[Path, str]:
    """Files and folders by which pip finds packages as it does here, and where it looks for them.

    Args:
        folder: for one file with all settings, which may hold passwords of package indexes.
    """
    settings = _settings()
    merged = folder / "pip.conf"
    with open(merged, "w", encoding="utf-8", opener=_private) as file:
        settings.write(file)
    volumes = {merged: "/etc/pip.conf"}
    for section in settings.sections():
        for value in settings[section].values():
            for path in map(Path, _PATH.findall(value)):
                # An index links to files beside it.
                place = path.parent if path.name == "simple" else path
                if place.exists():
                    volumes[place] = str(place)
    return volumes


def _settings() -> RawConfigParser:
    """Files of all users, of this one and of the environment; the last one counts, as for pip."""
    home = Path.home()
    user = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    files = [Path("/etc/pip.conf"), home / ".pip/pip.conf", user / "pip/pip.conf"]
    if named := os.environ.get("PIP_CONFIG_FILE"):
        files.append(Path(named))
    settings = RawConfigParser()
    settings.read(files, encoding="utf-8")
    for name, value in os.environ.items():
        option = name.removeprefix(_VARIABLE).lower()
        if name.startswith(_VARIABLE) and value and option != _NO_SETTING:
            if not settings.has_section("global"):
                settings.add_section("global")
            settings.set("global", option.replace("_", "-"), value)
    return settings


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
