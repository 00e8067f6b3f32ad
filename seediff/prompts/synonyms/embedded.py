"""The words that the embedded model knows for each class, its name first."""

from __future__ import annotations

CLASS_WORDS: dict[str, tuple[str, ...]] = {
    "bus": ("bus", "coach"),
    "car": ("car", "auto"),
    "cat": ("cat", "kitty"),
    "chair": ("chair", "seat"),
    "motorbike": ("motorbike", "motorcycle"),
    "person": ("person", "human"),
    "pottedplant": ("pottedplant", "potted plant", "flowerpot"),
    "sheep": ("sheep", "lamb"),
    "train": ("train", "locomotive"),
    "tvmonitor": ("tvmonitor", "tv monitor", "television"),
}
