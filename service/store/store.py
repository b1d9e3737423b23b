"""The store: what is asked for is imported, and the database opened, when it is used first."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from service.settings import Settings

if TYPE_CHECKING:
    from service.store.api_keys import ApiKeys
    from service.store.blobs import Blobs
    from service.store.database import Database
    from service.store.documents import StoredDocuments
    from service.store.glossaries import Glossaries
    from service.store.suggestions import Suggestions
    from service.store.usage import Usage

__all__ = ["Store", "data_folder"]


class Store:
    """All that is stored, by kind.

    Args:
        settings: where the database and the blobs are.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def database(self) -> Database:
        """The tables; StoreError if its setting is wrong."""
        from service.store.database import Database

        url = self._settings.store_url.get_secret_value()
        return Database(url or f"sqlite:///{data_folder() / 'store.db'}")

    @cached_property
    def blobs(self) -> Blobs:
        """Contents of files."""
        from service.store.blobs import Blobs

        return Blobs(self._settings.blobs_url or str(data_folder() / "blobs"))

    @cached_property
    def keys(self) -> ApiKeys:
        """The API keys."""
        from service.store.api_keys import ApiKeys

        return ApiKeys(self.database)

    @cached_property
    def usage(self) -> Usage:
        """What was used."""
        from service.store.usage import Usage

        return Usage(self.database)

    @cached_property
    def glossaries(self) -> Glossaries:
        """The glossaries."""
        from service.store.glossaries import Glossaries

        return Glossaries(self.database)

    @cached_property
    def suggestions(self) -> Suggestions:
        """The suggested translations."""
        from service.store.suggestions import Suggestions

        return Suggestions(self.database)

    @cached_property
    def documents(self) -> StoredDocuments:
        """The documents."""
        from service.store.documents import StoredDocuments

        return StoredDocuments(self.database)

    @property
    def is_there(self) -> bool:
        """Whether anything may be stored already: False where the database would be a new file."""
        url = self._settings.store_url.get_secret_value()
        return "database" in self.__dict__ or bool(url) or (data_folder() / "store.db").exists()

    async def close(self) -> None:
        """Ends the connections to the database, if there are any."""
        if "database" in self.__dict__:
            await self.database.close()


def data_folder() -> Path:
    """The user's own: polyhead in XDG_DATA_HOME, which is ~/.local/share where not set."""
    given = os.environ.get("XDG_DATA_HOME", "")
    data = given if os.path.isabs(given) else os.path.expanduser("~/.local/share")
    return Path(data, "polyhead")
