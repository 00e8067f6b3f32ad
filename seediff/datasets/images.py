"""Images and labels, and pairs of them: photographs and label files (PNG) from bytes, PNG and JPEG to bytes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from seediff.datasets.findings import Problem
from seediff.datasets.palettes import VOC_COLOURS, in_order, labels_of_indices
from seediff.errors import SeediffError
from seediff.names import cut, one_line, reason

Array = NDArray[np.uint8]

Pair = tuple[Array, Array]
"""An image (H, W, 3) and its labels (H, W), both uint8: 0 background, 255 ignored."""

ENDINGS = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg", ".jfif"),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "PPM": (".ppm",),
    "AVIF": (".avif",),
}
"""Format -> suffixes of its files, in lower case."""
PHOTOGRAPHS = tuple(ENDINGS)
"""Formats of photographs, whatever their names. Formats that are programs, such as EPS, are never opened."""

_MODES = ("1", "L", "P", "RGB", "LA", "PA", "RGBA", "RGBX", "CMYK", "YCbCr")
"""Modes that are converted to RGB: all of 8 bits per colour. Pillow converts CMYK, without its colour profile."""


class PictureError(SeediffError):
    """A file that cannot be used as a photograph or as labels: the kind of ``problem``, and its ``detail``."""

    def __init__(self, message: str, problem: Problem, detail: str = "") -> None:
        super().__init__(message)
        self.problem, self.detail = problem, detail


def encode_png(image: Array) -> bytes:
    """An image (H, W, 3) uint8 as PNG."""
    return _saved(Image.fromarray(image), format="PNG")


def encode_picture(picture: Image.Image) -> bytes:
    """A picture for readers as PNG, as small as possible."""
    return _saved(picture, format="PNG", optimize=True)


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


# --- photographs


def _transposed(pixels: Array) -> Array:
    return pixels.swapaxes(0, 1)


_TURNS: dict[int, Callable[[Array], Array]] = {
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: _transposed,
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: _transposed(np.rot90(pixels, 2)),
    8: np.rot90,
}
"""What a viewer does for each orientation of EXIF; every other value leaves the picture as it is."""


@dataclass(frozen=True)
class Photograph:
    """``stored``: its pixels (H, W, 3) uint8 as stored in the file; ``orientation``: how EXIF says to turn them."""

    stored: Array
    orientation: int

    @property
    def displayed(self) -> Array:
        """The pixels as a viewer shows them, (H, W, 3)."""
        turn = _TURNS.get(self.orientation)
        return self.stored if turn is None else np.ascontiguousarray(turn(self.stored))

    def under_labels(self, labels: NDArray[Any], image_name: str, labels_name: str) -> Array:
        """The pixels that ``labels`` (H, W) were drawn on, displayed or stored: those of the same height and width.

        Raises ``SeediffError`` naming the two if neither has their size, or if both have and are not the same.
        """
        displayed = self.displayed
        if displayed.shape[:2] != labels.shape and self.stored.shape[:2] == labels.shape:
            return self.stored
        check_same_size(displayed, labels, image_name, labels_name)
        turned = displayed is not self.stored and displayed.shape == self.stored.shape
        if turned and not np.array_equal(displayed, self.stored):
            raise PictureError(
                f"{image_name} is shown turned (EXIF orientation {self.orientation}), but {labels_name} fits it"
                " turned or not.\nSave the image the way it was annotated, without that tag.",
                Problem.TURNED,
                f"EXIF orientation {self.orientation}",
            )
        return displayed


def decode_photograph(content: bytes, name: str) -> Photograph:
    """The bytes of a picture in one of the ``PHOTOGRAPHS`` formats.

    Raises ``PictureError`` naming ``name`` if they are broken, have more than 8 bits a colour, transparent places or
    several pictures.
    """
    picture = _opened(content, name, PHOTOGRAPHS)
    _check_kind(picture, name)
    return Photograph(np.array(picture if picture.mode == "RGB" else picture.convert("RGB")), _orientation(picture))


def decode_rgb(content: bytes, name: str) -> Array:
    """A picture as a viewer shows it, (H, W, 3) uint8; ``PictureError`` as by ``decode_photograph``."""
    return decode_photograph(content, name).displayed


def pixels_of(image: Image.Image | Array) -> Array:
    """The pixels of a picture that is in memory, (H, W, 3) uint8: a PIL image in RGB, an array as it is.

    Raises ``PictureError`` for a PIL image that ``decode_photograph`` would refuse, and for one that viewers turn: its
    owner may mean it either way. ``SeediffError`` for anything else, such as the name of a file.
    """
    pixels = _in_rgb(image) if isinstance(image, Image.Image) else image
    if not isinstance(pixels, np.ndarray):
        raise SeediffError(
            f"An image must be a PIL image or an array (H, W, 3) uint8, not {cut(one_line(repr(pixels)), 80)}.\n"
            "Open a file with PIL.Image.open."
        )
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or not pixels.size:
        raise SeediffError(f"An image must be (H, W, 3) uint8, not {pixels.shape} {pixels.dtype}.")
    return pixels


def _in_rgb(picture: Image.Image) -> Array:
    _check_kind(picture, "The image")
    _check_unturned(picture, "The image", "Turn it with PIL's ImageOps.exif_transpose(image).", Problem.TURNED)
    return np.asarray(picture.convert("RGB"))


def displayed_size(path: Path) -> tuple[int, int]:
    """Width and height of a photograph as a viewer shows it, from the head of its file.

    Raises ``PictureError`` if the head already shows that ``decode_photograph`` will fail.
    """
    try:
        with Image.open(path, formats=PHOTOGRAPHS) as picture:
            _check_kind(picture, str(path))
            width, height = picture.size
            turned = _orientation(picture) >= 5 and picture.format != "TIFF"  # whose size Pillow has turned already
    except PictureError:
        raise
    except Exception as error:  # PIL's decoders raise a dozen different types for bytes that make no sense
        raise _broken(str(path), PHOTOGRAPHS, error) from None
    return (height, width) if turned else (width, height)


def _check_kind(picture: Image.Image, name: str) -> None:
    """Raise ``PictureError`` unless the picture can be taken as one of 8 bits in RGB."""
    for objection in _reasons_against(picture):
        advice = "Save it as one picture in RGB, 8 bits a colour, without transparency."
        raise PictureError(f"{name} {objection}.\n{advice}", Problem.UNUSUAL, objection)


def _reasons_against(picture: Image.Image) -> Iterator[str]:
    if picture.mode[0] in "IF":  # they would be cut off at 255, not scaled
        yield "has 16 bits a pixel or more"
    elif picture.mode not in _MODES:
        yield f"has pixels of a kind that is not read, {picture.mode}"
    elif picture.format != "MPO" and (number := getattr(picture, "n_frames", 1)) > 1:
        yield f"holds {number} pictures"  # unlike a camera's MPO, which begins with the photograph
    elif _has_transparent_places(picture):
        yield "has transparent places"
    elif picture.format == "JPEG" and picture.mode == "CMYK" and "adobe" not in picture.info:
        yield "is CMYK without Adobe's mark, so that nobody knows whether its inks are inverted"


def _has_transparent_places(picture: Image.Image) -> bool:
    """In its alpha, or where the frame of a GIF leaves a part of the screen uncovered, which Pillow fills."""
    screen = (0, 0, *picture.size)
    if picture.format == "GIF" and getattr(picture, "dispose_extent", screen) != screen:
        return True
    return picture.has_transparency_data and picture.convert("RGBA").getchannel("A").getextrema() != (255, 255)


def _orientation(picture: Image.Image) -> int:
    """EXIF's orientation; 1 (unchanged) if there is none or if the tags are broken, which viewers ignore."""
    try:
        found = picture.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # as many types as there are ways to be broken
        return 1
    return found if found in _TURNS else 1


def _check_unturned(picture: Image.Image, name: str, remedy: str, problem: Problem) -> None:
    """Raise ``PictureError`` if viewers turn the picture, so that it lies otherwise than its pixels are stored."""
    if (orientation := _orientation(picture)) != 1:
        detail = f"EXIF orientation {orientation}"
        raise PictureError(f"{name} is shown turned ({detail}), but not stored so.\n{remedy}", problem, detail)


# --- labels


def decode_mask(content: bytes, name: str, known: Collection[int] = range(256)) -> Array:
    """Bytes of a palette or grey PNG as (H, W) uint8 of labels; ``known``: those that a colour can stand for.

    A palette that is neither VOC's colour map nor grey in order is read by its colours (``palettes``). Raises
    ``PictureError`` naming ``name`` if the bytes are broken or no PNG, or hold colours that are no labels.
    """
    picture = label_picture(content, name)
    if (kind := pixel_kind(picture, content)) not in ("P", "L"):
        raise PictureError(
            f"{name} is not a mask: its pixels are {kind}, not 8-bit indices (palette or grey).", Problem.PICTURE, kind
        )
    indices = np.array(picture)
    if picture.palette is None or in_order(palette := bytes(picture.palette.palette)):
        return indices
    table, used = np.zeros(256, np.uint8), np.unique(indices).tolist()
    try:
        table[used] = labels_of_indices(palette, used, known)
    except ValueError as error:
        raise PictureError(
            f"{name} has a palette that is neither VOC's nor grey: {error}.\nSave its labels as grey PNG.",
            Problem.PALETTE,
            str(error),
        ) from None
    return table[indices]


def decode_ids(content: bytes, name: str) -> NDArray[np.uint16]:
    """Bytes of an RGB PNG as (H, W) uint16 of class ids, red + 256 green.

    Raises ``PictureError`` naming ``name`` if they are broken, or not of this kind.
    """
    picture = label_picture(content, name)
    if (kind := pixel_kind(picture, content)) != "RGB":
        raise PictureError(
            f"{name} holds no class ids: its pixels are {kind}, not RGB (red + 256 green).", Problem.NO_IDS, kind
        )
    red, green, blue = np.moveaxis(np.asarray(picture).astype(np.uint16), -1, 0)
    if blue.any():
        raise PictureError(
            f"{name} holds no class ids, which are red + 256 green: it has blue as well.", Problem.NO_IDS, "RGB"
        )
    return red + 256 * green


_HEADER, _BIT_DEPTH = slice(12, 16), 24
"""Where a PNG has the name of its header, which comes first, and the bits of each colour or index."""


def pixel_kind(picture: Image.Image, content: bytes) -> str:
    """The kind of a PNG's pixels: its mode, and what makes them unusable as labels.

    Pillow spreads grey of less than a byte over one, cuts colours of 16 bits down to one, and shows the first of many.
    """
    bits, number = content[_BIT_DEPTH], getattr(picture, "n_frames", 1)
    sized = picture.mode if bits == 8 or picture.mode == "P" else f"{picture.mode} of {bits} bits"
    return sized if number == 1 else f"{sized} in {number} pictures"


def label_picture(content: bytes, name: str) -> Image.Image:
    """The decoded PNG; other formats may change labels."""
    try:
        picture = _opened(content, name, ("PNG",))
        if content[_HEADER] != b"IHDR":
            raise PictureError(f"{name} is not a readable PNG (its header does not come first).", Problem.BROKEN)
        _check_unturned(picture, name, "Save it as it lies on its image, without that tag.", Problem.TURNED_LABELS)
        return picture
    except PictureError:
        if (kind := _format(content)) in (None, "PNG"):
            raise
    raise PictureError(
        f"{name} is {kind}, which may change the labels when they are saved.\nLabel files are PNG.",
        Problem.NO_PNG,
        kind,
    )


def _format(content: bytes) -> str | None:
    """The format of the bytes according to their head, if known."""
    try:
        with Image.open(BytesIO(content), formats=PHOTOGRAPHS) as picture:
            return picture.format
    except Exception:  # PIL's decoders raise a dozen different types for bytes that make no sense
        return None


# --- files


def _opened(content: bytes, name: str, formats: tuple[str, ...]) -> Image.Image:
    """The decoded picture, if it is of one of the formats. Pillow itself refuses what would fill the memory."""
    try:
        picture = Image.open(BytesIO(content), formats=formats)
        picture.load()
    except Exception as error:  # PIL's decoders raise a dozen different types for bytes that make no sense
        raise _broken(name, formats, error) from None
    return picture


def _broken(name: str, formats: tuple[str, ...], error: Exception) -> PictureError:
    """``error``: what Pillow said."""
    why = "it begins otherwise" if isinstance(error, UnidentifiedImageError) else reason(error)
    *others, last = formats
    kinds = f"{', '.join(others)} or {last}" if others else last
    return PictureError(f"{name} is not a readable {kinds} ({why}).", Problem.BROKEN)


def read_file(path: Path) -> bytes:
    """The file's content; ``SeediffError`` naming it if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise SeediffError(f"{path} cannot be read: {error.strerror}.") from None


def read_png(path: Path) -> bytes:
    """The content of a PNG file; ``SeediffError``, naming the file, if a checksum in it is wrong."""
    content = read_file(path)
    try:
        Image.open(BytesIO(content), formats=("PNG",)).verify()
    except Exception as error:  # PIL's decoders raise a dozen different types for bytes that make no sense
        raise SeediffError(f"The picture {path} is broken ({reason(error)}).\nDelete it and run again.") from None
    return content


def check_same_size(image: Array, labels: NDArray[Any], image_name: str, labels_name: str) -> None:
    """Raise ``PictureError`` unless image (H, W, 3) and labels (H, W) have the same height and width."""
    if image.shape[:2] != labels.shape:
        (height, width), (labels_height, labels_width) = image.shape[:2], labels.shape
        raise PictureError(
            f"Image and mask of different sizes:\n"
            f"{image_name} is {width} x {height}, {labels_name} is {labels_width} x {labels_height} pixels.",
            Problem.UNEQUAL,
            f"{width} x {height}, labels {labels_width} x {labels_height}",
        )


# --- pairs


class Pairs(Protocol):
    """A sequence of pairs, with a length and access by index."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Pair: ...


def resize_pair(image: Array, labels: Array, shape: tuple[int, ...]) -> Pair:
    """An image (H, W, 3), bilinear, and its labels (H, W), nearest, resized to ``shape`` (height, width)."""
    size = shape[1], shape[0]
    resized = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(resized), np.asarray(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST))
