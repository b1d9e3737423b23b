"""What is to be known of an option of a search, beside its name, its type and its default.

It stands in the metadata of the option's field in GenerationConfig. Checks, the fields of the HTTP
interface, the structure that the compiled engine reads and the tables of CUDA follow from it.
"""

from __future__ import annotations

from dataclasses import Field, dataclass, field, fields
from enum import StrEnum
from typing import Any, get_args, get_type_hints

from model.errors import InvalidRequestError

__all__ = [
    "Option",
    "option",
    "options_of",
    "require_integer",
    "require_number",
    "require_truth",
]

_MAX_INT32 = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option."""

    name: str
    kind: type[int] | type[float] | type[bool] | type[StrEnum]
    optional: bool
    """Whether it may be None."""
    default: Any
    least: int
    most: int | None
    """None has no end."""
    most_in_requests: int | None
    """What clients may ask for; as `most`, unless told otherwise."""
    request: str | None
    """What clients are told about it; None when they cannot choose it."""
    reply: str | None
    """What clients are told about it among a model's defaults, where its name does not say all."""
    per_sequence: bool
    """Runners read it with each sequence. Of the others, a sequence carries what follows from them:
    its slots, its longest target."""
    guard: bool
    """Whether it changes predictions, unless it has its default."""

    def check(self, value: Any) -> None:
        """Holds a value against the rules.

        Raises:
            InvalidRequestError: it breaks one.
        """
        if value is None and self.optional:
            return
        if self.kind is bool:
            require_truth(self.name, value)
            return
        if issubclass(self.kind, StrEnum):
            if value not in list(self.kind):
                raise InvalidRequestError(
                    f"`{self.name}` must be one of {', '.join(self.kind)}, but is {value!r}"
                )
            return
        if self.kind is int:
            require_integer(self.name, value, self.least)
            if self.most is None:
                return
        else:
            require_number(self.name, value)
        most = float("inf") if self.most is None else self.most
        if not self.least <= value <= most:
            raise InvalidRequestError(
                f"`{self.name}` must be in [{self.least}, {most}], but is {value}"
            )

    def in_32_bits(self, values: object) -> Any:
        """The option among `values`, an object that has it: a real number, or an integer.

        Integers end at the largest there is: where they have a limit they are beyond it either way,
        and no target has so long an n-gram. Of one of several names it is the place, from 0.
        """
        value = getattr(values, self.name)
        if self.kind is float:
            return value
        if issubclass(self.kind, StrEnum):
            return list(self.kind).index(value)
        return min(int(value), _MAX_INT32)


def option(
    default: Any,
    *,
    least: int = 0,
    most: int | None = None,
    most_in_requests: int | None = None,
    request: str | None = None,
    reply: str | None = None,
    per_sequence: bool = False,
    guard: bool = False,
) -> Any:
    """A field with what `Option` says."""
    return field(
        default=default,
        metadata={
            "least": least,
            "most": most,
            "most_in_requests": most if most_in_requests is None else most_in_requests,
            "request": request,
            "reply": reply,
            "per_sequence": per_sequence,
            "guard": guard,
        },
    )


def options_of(kind: type[Any]) -> tuple[Option, ...]:
    """The options of a dataclass all of whose fields were made by `option`."""
    hints = get_type_hints(kind)

    def read(each: Field[Any]) -> Option:
        types = get_args(hints[each.name]) or (hints[each.name],)
        return Option(
            name=each.name,
            kind=next(kind for kind in types if kind is not type(None)),
            optional=type(None) in types,
            default=each.default,
            **each.metadata,
        )

    return tuple(map(read, fields(kind)))


def require_integer(name: str, value: Any, least: int, most: int | None = None) -> None:
    """An integer that is not below `least`, nor above `most`; None has no end."""
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    if not is_integer or value < least or (most is not None and value > most):
        end = "" if most is None else f" and <= {most}"
        raise InvalidRequestError(f"`{name}` must be an integer >= {least}{end}, but is {value!r}")


def require_truth(name: str, value: Any) -> None:
    """True or false."""
    if not isinstance(value, bool):
        raise InvalidRequestError(f"`{name}` must be true or false, but is {value!r}")


def require_number(name: str, value: Any) -> None:
    """An integer or a real number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRequestError(f"`{name}` must be a number, but is {value!r}")
