"""Reading safetensors files from any source: their tensors, and the JSON in their metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor


def read_tensors(path: Path, key: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors by name, and the JSON object under ``key`` in the metadata; an empty one if there is none.

    Raises ``ValueError`` with the reason for a file that is missing, broken, or something else.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for without end
            raise ValueError("it is not a regular file")
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {}).get(key, "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is not a mapping)
    except (OSError, SafetensorError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(str(error)) from None
    except RecursionError:
        raise ValueError(f"its metadata {key!r} are nested too deeply") from None
    if not isinstance(about, dict):
        raise ValueError(f"its metadata {key!r} are not a JSON object")
    return tensors, about
