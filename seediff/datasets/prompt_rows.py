"""What the prompt row beside a drawn image says: its class and its prompt."""

from __future__ import annotations

import json

from seediff.datasets.shards import ShardIndex
from seediff.errors import SeediffError


def class_of(shard: ShardIndex, key: str) -> str:
    """The class that was drawn; ``SeediffError`` naming the row if it does not say."""
    return _said(shard, key, "class_name", "which class was drawn")


def prompt_of(shard: ShardIndex, key: str) -> str:
    """The prompt it was drawn from; ``SeediffError`` naming the row if it does not say."""
    return _said(shard, key, "prompt", "what it was drawn from")


def _said(shard: ShardIndex, key: str, column: str, what: str) -> str:
    try:
        return str(json.loads(shard.read(key, "json"))[column])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise SeediffError(f"{key}.json in {shard.path} does not say {what} ({column}).") from None
