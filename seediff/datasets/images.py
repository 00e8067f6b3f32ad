"""Images and masks as bytes: PNG and JPEG in, PNG and JPEG out."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seediff.errors import SeediffError

Array = NDArray[np.uint8]


def _colour_map() -> Array:
    """PASCAL VOC's colour map, (256, 3): the bits of an index, spread over red, green and blue from the top."""
    indices = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= ((indices >> (3 * bit + channel) & 1) << (7 - bit)).astype(np.uint8)
    return colours


VOC_COLOURS: Array = _colour_map()


def encode_png(image: Array) -> bytes:
    """An image (H, W, 3) uint8 as PNG."""
    return _saved(Image.fromarray(image), format="PNG")


def encode_jpeg(image: Array) -> bytes:
    """An image (H, W, 3) uint8 as JPEG of quality 95 with colours at full resolution."""
    return _saved(Image.fromarray(image), format="JPEG", quality=95, subsampling=0)


def encode_mask(mask: Array) -> bytes:
    """A mask (H, W) uint8 of label indices as palette PNG in VOC's colours."""
    picture = Image.fromarray(mask)
    picture.putpalette(VOC_COLOURS.tobytes())
    return _saved(picture, format="PNG")


def encode_labels(labels: Array) -> bytes:
    """Labels (H, W) uint8 as grey PNG, the way Cityscapes and ADE20K store them."""
    return _saved(Image.fromarray(labels), format="PNG")


def encode_ids(ids: NDArray[np.uint16]) -> bytes:
    """Class ids (H, W) as RGB PNG, the way ImageNet-S stores them: red + 256 green."""
    return encode_png(np.stack([ids & 255, ids >> 8, np.zeros_like(ids)], axis=-1).astype(np.uint8))


def _saved(picture: Image.Image, **options: Any) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, **options)
    return buffer.getvalue()


def decode_rgb(content: bytes, name: str) -> Array:
    """PNG or JPEG bytes as (H, W, 3) uint8; ``SeediffError`` naming ``name`` if they are broken or have 16 bits."""
    picture = _opened(content, name)
    if picture.mode.startswith("I"):  # they would be cut off at 255, not scaled
        raise SeediffError(f"{name} has 16 bits a pixel, not 8.")
    return np.array(picture.convert("RGB"))


def decode_mask(content: bytes, name: str) -> Array:
    """Bytes of a palette or grey PNG as (H, W) uint8 of label indices.

    Raises ``SeediffError`` naming ``name`` if they are broken, or hold colours instead of indices.
    """
    picture = _opened(content, name)
    if picture.mode not in ("P", "L"):
        raise SeediffError(f"{name} is not a mask: its pixels are {picture.mode}, not 8-bit indices (palette or grey).")
    return np.array(picture)


def decode_ids(content: bytes, name: str) -> NDArray[np.uint16]:
    """Bytes of an RGB PNG as (H, W) uint16 of class ids, red + 256 green.

    Raises ``SeediffError`` naming ``name`` if they are broken, or not of this kind.
    """
    picture = _opened(content, name)
    if picture.mode != "RGB":
        raise SeediffError(f"{name} holds no class ids: its pixels are {picture.mode}, not RGB (red + 256 green).")
    red, green, blue = np.moveaxis(np.asarray(picture).astype(np.uint16), -1, 0)
    if blue.any():
        raise SeediffError(f"{name} holds no class ids, which are red + 256 green: it has blue as well.")
    return red + 256 * green


def _opened(content: bytes, name: str) -> Image.Image:
    try:
        picture = Image.open(BytesIO(content), formats=("PNG", "JPEG"))
        picture.load()
    except Exception as error:  # PIL's decoders raise a dozen different types for bytes that make no sense
        raise SeediffError(f"{name} is not a readable PNG or JPEG ({error}).") from None
    return picture


def read_file(path: Path) -> bytes:
    """The file's content; ``SeediffError`` naming it if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise SeediffError(f"{path} cannot be read: {error.strerror}.") from None


def read_png(path: Path) -> bytes:
    """The content of a PNG file, once the checksums in it have proved right; ``SeediffError`` naming it otherwise."""
    content = read_file(path)
    try:
        Image.open(BytesIO(content), formats=("PNG",)).verify()
    except Exception as error:  # PIL's decoders raise a dozen different types for bytes that make no sense
        raise SeediffError(f"The picture {path} is broken ({error}).\nDelete it and run again.") from None
    return content


def check_same_size(image: Array, mask: Array, image_name: str, mask_name: str) -> None:
    """Raise ``SeediffError`` unless image (H, W, 3) and mask (H, W) have the same height and width."""
    if image.shape[:2] != mask.shape:
        (height, width), (mask_height, mask_width) = image.shape[:2], mask.shape
        raise SeediffError(
            f"Image and mask of different sizes:\n"
            f"{image_name} is {width} x {height}, {mask_name} is {mask_width} x {mask_height} pixels."
        )
