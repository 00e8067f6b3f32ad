"""Putting a function in the place of a method, or of a call, for the length of a with-block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any


@contextmanager
def replaced(owner: Any, name: str, function: Callable[..., Any]) -> Iterator[None]:
    """The owner's method ``name`` is ``function`` inside the with-block; what others put in its place stays."""
    before = {key: value for key, value in vars(owner).items() if key == name}
    setattr(owner, name, function)
    try:
        yield
    finally:
        if vars(owner).get(name) is function:
            delattr(owner, name)
            vars(owner).update(before)


@contextmanager
def call_replaced(owner: Any, around: Callable[..., Any]) -> Iterator[None]:
    """Calling ``owner`` means ``around(call, *args, **kwargs)`` inside the with-block, where ``call`` is what it meant.

    Python looks ``__call__`` up in a class, so the owner gets a class of its own, which bears the same name.
    """
    kind = type(owner)

    @wraps(kind.__call__)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return around(partial(kind.__call__, self), *args, **kwargs)

    same = {name: getattr(kind, name) for name in ("__module__", "__qualname__", "__doc__")}
    owner.__class__ = type(kind.__name__, (kind,), {"__call__": call, **same})
    try:
        yield
    finally:
        owner.__class__ = kind
