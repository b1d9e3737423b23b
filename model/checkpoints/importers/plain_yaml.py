"""YAML without aliases and deep nesting, which make much of little."""

from __future__ import annotations

from typing import Any

import yaml

__all__ = ["load_yaml"]

_MOST_DEPTH = 20


def load_yaml(content: str, loader: Any = yaml.SafeLoader) -> Any:
    """What `content` says, with the types of `loader`.

    Raises:
        yaml.YAMLError: it is no YAML.
        ValueError: it has aliases, or is nested deeper than options and vocabularies are.
    """
    depth = 0
    # Events come one by one; a loader calls itself for each level.
    for event in yaml.parse(content, Loader=getattr(yaml, "CBaseLoader", yaml.BaseLoader)):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("it has aliases")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _MOST_DEPTH:
            raise ValueError("it is nested beyond measure")
    return yaml.load(content, Loader=loader)
