"""API keys: a public id, and a secret of which the hash alone is stored."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Row, or_, select, update

from model.errors import InvalidRequestError
from service.settings import Quota
from service.store.database import Database
from service.store.records import ApiKey, Scope
from service.store.tables import API_KEYS

__all__ = ["ApiKeys", "find_key", "hash_of"]

_PREFIX = "ph"
_KEY = re.compile(rf"{_PREFIX}_([0-9a-z]{{12}})_([A-Za-z0-9]{{43}})")
_ID_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"
_SECRET_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ" + _ID_LETTERS[10:] + _ID_LETTERS[:10]
_MAX_NAME_LEN = 100
_NOBODY = bytes(32)


class ApiKeys:
    """The table of the keys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self,
        name: str,
        *,
        scopes: Collection[Scope] = (Scope.TRANSLATE, Scope.DOCUMENTS),
        expires_at: int | None = None,
        quota: Quota | None = None,
    ) -> tuple[ApiKey, str]:
        """Makes a key; with the string that its bearer sends, which cannot be had again.

        Raises:
            InvalidRequestError: a key that is not revoked has the name, or it is no name.
        """
        if not (0 < len(name) <= _MAX_NAME_LEN and name.isprintable()):
            raise InvalidRequestError(
                f"the name of a key must be of 1 to {_MAX_NAME_LEN} printable characters, but is "
                f"{name[:_MAX_NAME_LEN]!r}"
            )
        secret = _random(_SECRET_LETTERS, 43)
        key = ApiKey(
            id=_random(_ID_LETTERS, 12),
            name=name,
            secret_hash=hash_of(secret),
            scopes=frozenset(scopes),
            quota=quota or Quota(),
            created_at=int(time.time()),
            expires_at=expires_at,
        )
        async with self._database.writing() as connection:
            valid = API_KEYS.c.revoked_at.is_(None)
            same = select(API_KEYS.c.id).where(API_KEYS.c.name == name, valid)
            if await connection.scalar(same) is not None:
                raise InvalidRequestError(
                    f"the name of a key must be one that no other has, but {name!r} is the name of "
                    "one that is not revoked"
                )
            await connection.execute(API_KEYS.insert(), _columns(key))
        return key, f"{_PREFIX}_{key.id}_{secret}"

    async def all(self) -> list[ApiKey]:
        """All keys that there ever were, the oldest first."""
        async with self._database.reading() as connection:
            rows = await connection.execute(
                select(API_KEYS).order_by(API_KEYS.c.created_at, API_KEYS.c.id)
            )
            return [_key(row) for row in rows]

    async def valid(self) -> dict[str, ApiKey]:
        """Those that are not revoked and have not expired, by id."""
        now = int(time.time())
        current = or_(API_KEYS.c.expires_at.is_(None), API_KEYS.c.expires_at > now)
        async with self._database.reading() as connection:
            rows = await connection.execute(
                select(API_KEYS).where(API_KEYS.c.revoked_at.is_(None), current)
            )
            return {row.id: _key(row) for row in rows}

    async def revoke(self, name_or_id: str) -> ApiKey | None:
        """Revokes the key that has the name, or the id; None if there is none to revoke."""
        valid = API_KEYS.c.revoked_at.is_(None)
        named = or_(API_KEYS.c.name == name_or_id, API_KEYS.c.id == name_or_id)
        async with self._database.writing() as connection:
            # An id before a name that looks like one.
            order = (API_KEYS.c.id == name_or_id).desc()
            rows = await connection.execute(select(API_KEYS).where(named, valid).order_by(order))
            row = rows.first()
            if row is None:
                return None
            await connection.execute(
                update(API_KEYS).where(API_KEYS.c.id == row.id).values(revoked_at=int(time.time()))
            )
            return _key(row)


def hash_of(secret: str) -> bytes:
    """What is stored of a secret. It is random and long: no slow hash is needed."""
    return hashlib.sha256(secret.encode()).digest()


def find_key(keys: Mapping[str, ApiKey], given: str) -> ApiKey | None:
    """The key of those, by their ids, that a client has sent; None if it is none of them.

    What is secret is compared in constant time.
    """
    parts = _KEY.fullmatch(given)
    if parts is None:
        return None
    key = keys.get(parts[1])
    known = hmac.compare_digest(hash_of(parts[2]), _NOBODY if key is None else key.secret_hash)
    return key if known else None


def _random(letters: str, length: int) -> str:
    return "".join(secrets.choice(letters) for _ in range(length))


def _columns(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "secret_hash": key.secret_hash,
        "scopes": sorted(key.scopes),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        **key.quota.model_dump(),
    }


def _key(row: Row[Any]) -> ApiKey:
    return ApiKey(
        id=row.id,
        name=row.name,
        secret_hash=row.secret_hash,
        scopes=frozenset(map(Scope, row.scopes)),
        quota=Quota(**{name: getattr(row, name) for name in Quota.model_fields}),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )
