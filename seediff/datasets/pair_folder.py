"""A folder of images with masks as plain files, written pair by pair; a later call of the same settings goes on.

    settings.json      how the pairs were made; written with the first
    classes.csv        label, class
    <split>/images, <split>/masks, overlays

``seediff generate`` writes such folders of images that it draws, ``seediff segment`` and ``seediff predict`` of
photographs, which have no split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from seediff.datasets.class_lists import class_table
from seediff.datasets.images import Array, encode_mask, encode_picture, read_file, resize_pair
from seediff.datasets.origins import SETTINGS
from seediff.datasets.palettes import VOC_COLOURS, overlay
from seediff.diffusion.model_files import differences
from seediff.errors import SeediffError
from seediff.files.sealed import partial, read_json, write_json
from seediff.names import folded

CLASSES = "classes.csv"
PREVIEW = 1024
"""The longest edge of an overlay, in pixels."""
CHECKSUMS = "checksums"
"""The key of the settings with the checksums of the model's files."""


@dataclass(frozen=True)
class PairFolder:
    """``split``: the folder in ``path`` that holds images and masks; they are directly in ``path`` without one."""

    path: Path
    split: str = ""

    @property
    def images(self) -> Path:
        return self.path / self.split / "images"

    @property
    def masks(self) -> Path:
        return self.path / self.split / "masks"

    @property
    def overlays(self) -> Path:
        return self.path / "overlays"

    # --- settings

    def check_settings(self, settings: Mapping[str, Any]) -> None:
        """Raise ``SeediffError`` if the folder holds pairs that were made with other settings, compared key by key."""
        if not self.holds_images:
            return
        if not self.is_noted:
            raise SeediffError(
                f"{self.path} holds images, but no {SETTINGS}, so their settings are unknown.\nDelete it."
            )
        self.check_noted_settings(settings)

    def check_noted_settings(self, settings: Mapping[str, Any]) -> None:
        """Raise ``SeediffError`` if other settings are noted, whether there are pairs or not."""
        before = _flat(self.noted())
        for key, value in _flat(settings).items():
            if before.get(key) != value:
                raise SeediffError(
                    f"{self.path} {self._is_of} other settings: {key} was {before.get(key)!r}, is {value!r}.\n"
                    "Choose another folder, or delete this one."
                )

    def check_model(self, checksums: Mapping[str, str]) -> None:
        """Raise ``SeediffError`` if the folder holds pairs of another model, by the checksums of the models' files."""
        if self.holds_images:
            self.check_noted_model(checksums)

    def check_noted_model(self, checksums: Mapping[str, str]) -> None:
        """Raise ``SeediffError`` if another model is noted, whether there are pairs or not."""
        before = self.noted().get(CHECKSUMS)
        if not isinstance(before, dict):
            raise SeediffError(
                f"{self.path} {self._is_of} a model that was not noted.\nChoose another folder, or delete it."
            )
        if changed := differences(before, checksums):
            raise SeediffError(
                f"{self.path} {self._is_of} another model: other {' and '.join(changed)}, by their checksums.\n"
                "Choose another folder, or delete this one."
            )

    def note(self, settings: Mapping[str, Any]) -> None:
        """Note how the pairs are made, before the first is."""
        write_json(self.path / SETTINGS, settings)

    @property
    def is_noted(self) -> bool:
        """Whether it is noted how pairs are made, whether there are pairs or not."""
        return (self.path / SETTINGS).exists()

    @property
    def holds_images(self) -> bool:
        """Whether there are pairs, or remains of them."""
        places = (self.path / "images", self.path / "masks", self.images, self.masks, self.overlays)
        return any(place.exists() for place in places)

    @property
    def _is_of(self) -> str:
        return "holds images of" if self.holds_images else "was begun with"

    def noted(self) -> dict[str, Any]:
        """What is noted of how the pairs are made, whether there are pairs or not."""
        try:
            return read_json(self.path / SETTINGS, "The file of settings")
        except SeediffError as error:
            problem = str(error).partition("\n")[0]
            raise SeediffError(f"{problem}\nChoose another folder, or delete {self.path} with its images.") from None

    # --- pairs

    def is_finished(self, image_name: str) -> bool:
        return all(path.exists() for path in self.files(image_name))

    def unfinished(self, photographs: Sequence[Path]) -> list[Path]:
        """The files among ``photographs`` that have no mask here yet.

        ``SeediffError`` if the folder holds another photograph whose mask has the same name.
        """
        held = {folded(copy.stem): copy for copy in self.images.glob("*")}
        for path in photographs:
            copy = held.get(folded(path.stem))
            if copy and (copy.name != path.name or read_file(copy) != read_file(path)):
                raise SeediffError(
                    f"{self.images} holds another {copy.name}, whose mask has the same name as that of {path}.\n"
                    "Choose another folder, give the photograph another name, or delete that copy."
                )
        return [path for path in photographs if not self.is_finished(path.name)]

    def write(self, image_name: str, content: bytes, image: Array, mask: Array) -> None:
        """Write an image's file, its mask, and the two laid over each other.

        ``image_name``: of the file, whose ``content`` shows ``image`` (H, W, 3). ``mask``: (H, W) labels.
        """
        picture = encode_picture(_preview(image, mask))
        for path, written in zip(self.files(image_name), (content, encode_mask(mask), picture), strict=True):
            with partial(path) as unfinished:
                unfinished.write_bytes(written)

    def files(self, image_name: str) -> tuple[Path, Path, Path]:
        """An image's file, its mask, and the overlay."""
        png = Path(image_name).with_suffix(".png").name
        return self.images / image_name, self.masks / png, self.overlays / png

    def write_classes(self, classes: Sequence[str]) -> None:
        """``classes``: names of the labels from 1."""
        with partial(self.path / CLASSES) as unfinished:
            unfinished.write_text(class_table(classes), encoding="utf-8", newline="")


def _flat(settings: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Every value by the keys that lead to it, such as 'drawing.steps'."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= _flat(value, f"{before}{key}.") if isinstance(value, dict) and value else {f"{before}{key}": value}
    return found


def _preview(image: Array, mask: Array) -> Image.Image:
    """The two laid over each other, with edges of ``PREVIEW`` pixels at most."""
    scale = min(1.0, PREVIEW / max(mask.shape))
    if scale < 1:
        image, mask = resize_pair(image, mask, (round(mask.shape[0] * scale), round(mask.shape[1] * scale)))
    return overlay(image, mask, VOC_COLOURS)
