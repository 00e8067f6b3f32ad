"""What the prompt row beside a drawn image says: its class and its prompt, and the image's flaw if it has one."""

from __future__ import annotations

import json
from typing import Any, cast, get_args

from seediff.datasets.flaws import Flaw
from seediff.datasets.shards import ShardIndex
from seediff.errors import SeediffError

FLAW = "flaw"
"""The column that only images with a flaw have (``flaws``)."""


def class_of(shard: ShardIndex, key: str) -> str:
    """The class that was drawn; ``SeediffError`` naming the row if it does not say."""
    return _said(shard, key, "class_name", "which class was drawn")


def prompt_of(shard: ShardIndex, key: str) -> str:
    """The prompt it was drawn from; ``SeediffError`` naming the row if it does not say."""
    return _said(shard, key, "prompt", "what it was drawn from")


def flaw_in(shard: ShardIndex, key: str) -> Flaw | None:
    """The flaw that the image had when it was drawn, if any; ``SeediffError`` naming the row if it is none."""
    try:
        flaw: Any = json.loads(shard.read(key, "json")).get(FLAW)
    except (ValueError, AttributeError, RecursionError):
        flaw = ""
    if flaw is not None and flaw not in get_args(Flaw):
        raise SeediffError(f"{key}.json in {shard.path} does not say what flaw the image has.")
    return cast(Flaw | None, flaw)


def _said(shard: ShardIndex, key: str, column: str, what: str) -> str:
    try:
        return str(json.loads(shard.read(key, "json"))[column])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise SeediffError(f"{key}.json in {shard.path} does not say {what} ({column}).") from None
