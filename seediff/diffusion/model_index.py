"""The index of a pipeline: its class and its parts, checked before any of them is opened.

A model's own code is never run: every part has to be of a class of diffusers or transformers that is known to be what
such a pipeline needs. Nothing here imports torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from seediff.diffusion.model_files import INDEX
from seediff.diffusion.pipelines import PIPELINES, SUPPORTED
from seediff.errors import SeediffError
from seediff.files.sealed import parse_json
from seediff.names import cut, one_line

Index = Mapping[str, Any]

LIBRARIES = ("diffusers", "transformers", "stable_diffusion", "prx")
"""Where a pipeline's parts may come from; the last two are diffusers' own: a safety checker, and an encoder."""
_PART_CLASS = re.compile(
    r"(CLIP|Siglip|Bert|T5|MT5|UMT5|Gemma|Llama|Qwen|Glm)\w+|PreTrainedTokenizerFast|TokenizersBackend"
    r"|(UNet2D|Autoencoder)\w+|\w*Transformer[23]DModel|HunyuanDiT2DModel|\w+Scheduler|StableDiffusionSafetyChecker"
)
"""None of which looks for further classes, as pipelines within pipelines and the libraries' Auto classes do."""
_ABSENT = [None, None]
_MOST_OF_A_NAME = 80


def read_index(folder: Path) -> Index:
    """``SeediffError`` if the folder has no index, or one that makes no sense."""
    if not folder.is_dir():
        raise SeediffError(f"There is no model folder {folder}.\nGive a diffusers pipeline folder or a model id.")
    if not (folder / INDEX).is_file():
        raise SeediffError(f"{folder} is not a diffusion pipeline: it has no {INDEX}.")
    index = parse_json(folder / INDEX, "The pipeline's index")
    if not isinstance(index, dict):
        raise SeediffError(f"{folder} is not a diffusion pipeline: its {INDEX} is no list of parts.")
    return index


def check_index(model: str | Path, index: Index) -> str:
    """The class of the pipeline; ``SeediffError`` if images are not drawn with it, or if a part is not known."""
    name = index.get("_class_name")
    if not isinstance(name, str):
        raise SeediffError(f"{model} holds a pipeline of its own ({_shown(str(name))}), which is not run.\n{SUPPORTED}")
    if name not in PIPELINES:
        raise SeediffError(f"{model} holds a {_shown(name)}, which is not drawn with.\n{SUPPORTED}")
    for part, origin in _parts(index):
        if not _is_known(origin):
            made = _shown(".".join(map(str, origin)))
            raise SeediffError(
                f"{model} has its part {_shown(part)!r} made by {made}, which is not run.\n"
                "Parts have to be those of text-to-image pipelines, from diffusers and transformers."
            )
    return name


def part_class(index: Index, part: str) -> str | None:
    """The name of the class of a part; None if the index does not have the part."""
    return dict(_parts(index)).get(part, _ABSENT)[1]


def check_parts(model: str | Path, index: Index, needed: Sequence[str], folder: Path) -> None:
    """Raise ``SeediffError`` for a part that the index or the folder lacks, or that asks for code from elsewhere."""
    for part in needed:
        name = part_class(index, part)
        if name is None:
            raise SeediffError(f"{model} holds a {index['_class_name']}, without a part {part!r}.\n{SUPPORTED}")
        if not (folder / part).is_dir():
            raise SeediffError(f"{model} is not a whole diffusion pipeline: its part {part!r} is missing.")
        for file in sorted((folder / part).glob("*config.json")):
            _check_configuration(file, name)


def _check_configuration(file: Path, kind: str) -> None:
    """A processor looks for its parts' classes where it is told, and attention for kernels."""
    for key, value in _entries(parse_json(file, "The configuration")):
        if (key == "auto_map" and "Processor" in kind) or ("attn_implementation" in key and "/" in str(value)):
            raise SeediffError(
                f"{file} asks for code from elsewhere ({key}: {_shown(str(value))}), which is not run.\n"
                "Take that out, if the model works without it."
            )


def _entries(content: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value, on all levels."""
    left = [content]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            yield from value.items()
        left += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _parts(index: Index) -> Iterator[tuple[str, list[Any]]]:
    """The parts that are there, with the library and the class of each."""
    parts = ((name, origin) for name, origin in index.items() if not name.startswith("_"))
    return ((name, origin) for name, origin in parts if isinstance(origin, list) and origin != _ABSENT)


def _is_known(origin: list[Any]) -> bool:
    library, name = origin if len(origin) == 2 else (None, None)
    return library in LIBRARIES and isinstance(name, str) and _PART_CLASS.fullmatch(name) is not None


def _shown(text: str) -> str:
    return cut(one_line(text), _MOST_OF_A_NAME)
