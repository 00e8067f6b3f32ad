"""Photographs as a viewer shows them, label files by their colours, and other files: refused by name, never guessed."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageOps

from seediff.datasets.benchmarks import open_benchmark
from seediff.datasets.findings import Problem
from seediff.datasets.images import (
    PHOTOGRAPHS,
    VOC_COLOURS,
    PictureError,
    decode_ids,
    decode_mask,
    decode_photograph,
    decode_rgb,
    displayed_size,
    encode_ids,
    encode_jpeg,
    encode_labels,
    encode_mask,
    encode_png,
    pixels_of,
)
from seediff.datasets.registry import FORMATS
from seediff.datasets.unlabelled import folder_images
from seediff.datasets.verification import check_dataset
from seediff.embedded.domains import write_domain
from seediff.errors import SeediffError

ORIENTATION = 0x0112


def saved(picture: Image.Image, format: str, orientation: int | None = None, **options: object) -> bytes:
    if orientation is not None:
        options["exif"] = Image.Exif()
        options["exif"][ORIENTATION] = orientation  # type: ignore[index]
    buffer = BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def scene(height: int = 16, width: int = 24) -> np.ndarray:
    """Quarters of four colours: every turn changes it, and lossy formats keep it recognisable."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = 250, 20, 20
    pixels[height // 2 :, : width // 2] = 20, 250, 20
    pixels[height // 2 :, width // 2 :] = 20, 20, 250
    return pixels


def refusal(read: Callable[[], object]) -> PictureError:
    with pytest.raises(PictureError) as caught:
        read()
    assert "sample 7" in str(caught.value) and str(caught.value).count("\n") <= 2 and "<_io" not in str(caught.value)
    return caught.value


# --- pictures in memory


def test_a_picture_in_memory_is_taken_in_rgb_and_an_array_as_it_is() -> None:
    picture = Image.fromarray(scene())
    for same in (picture, picture.convert("RGBA"), Image.open(BytesIO(saved(picture, "PNG", 1)))):
        assert np.array_equal(pixels_of(same), scene())
    array = scene()
    assert pixels_of(array) is array


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("photo.jpg", r"not 'photo.jpg'.\nOpen a file with PIL.Image.open"),
        (Path("photo.jpg"), r"not \w+Path\('photo.jpg'\)"),
        (None, "not None"),
        (np.zeros((0, 0, 3), np.uint8), r"not \(0, 0, 3\) uint8"),
        (Image.new("RGB", (0, 0)), r"not \(0, 0, 3\) uint8"),
        (scene()[..., 0], r"not \(16, 24\) uint8"),
        (scene() / 255, r"not \(16, 24, 3\) float64"),
    ],
)
def test_what_is_no_picture_is_refused_by_what_it_is(given: Any, words: str) -> None:
    with pytest.raises(SeediffError, match=words):
        pixels_of(given)


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (Image.fromarray(np.full((4, 4), 300, np.uint16)), "16 bits"),
        (Image.fromarray(np.dstack([scene(), np.full((16, 24), 254, np.uint8)])), "transparent"),
        (Image.open(BytesIO(saved(Image.fromarray(scene()), "JPEG", 6))), "shown turned .EXIF orientation 6"),
        (Image.open(BytesIO(saved(Image.fromarray(scene()), "PNG", 3))).resize((8, 8)), r"exif_transpose\(image\)"),
    ],
)
def test_a_picture_in_memory_is_refused_where_a_file_would_be_or_where_viewers_turn_it(
    picture: Image.Image, words: str
) -> None:
    with pytest.raises(PictureError, match=words):
        pixels_of(picture)


# --- photographs


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_a_photograph_is_turned_as_viewers_turn_it(tmp_path: Path, format: str, orientation: int) -> None:
    """Orientations beyond 1 to 8 mean nothing."""
    options = {"JPEG": {"quality": 100}, "WEBP": {"lossless": True}, "AVIF": {"quality": 100}}.get(format, {})
    content = saved(Image.fromarray(scene()), format, orientation, **options)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(BytesIO(content)).convert("RGB")))
    pixels = decode_rgb(content, "x")
    assert np.array_equal(pixels, expected) and pixels.flags.c_contiguous
    assert pixels.shape == ((24, 16, 3) if 5 <= orientation <= 8 else (16, 24, 3))
    (tmp_path / "x").write_bytes(content)
    assert displayed_size(tmp_path / "x") == (pixels.shape[1], pixels.shape[0])


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_is_passed_over_as_viewers_do() -> None:
    content = saved(Image.fromarray(scene()), "PNG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12")
    assert np.array_equal(decode_rgb(content, "x"), scene())


@pytest.mark.parametrize("format", PHOTOGRAPHS)
def test_every_format_is_read_whatever_the_name_ends_in(tmp_path: Path, format: str) -> None:
    for number, name in enumerate(("a.webp", "b.TIF", "c.bmp", "d.JPG", "e.dat", "f")):
        (tmp_path / name).write_bytes(saved(Image.fromarray(scene(40 + number)), format))
    images = folder_images(tmp_path)
    images.check_size(24)
    assert [image.shape for image in images] == [(40 + number, 24, 3) for number in range(6)]  # type: ignore[attr-defined]
    assert all(np.abs(images[0][y, x].astype(int) - scene(40)[y, x]).max() < 30 for y, x in ((5, 5), (30, 5), (30, 18)))


def with_margin(gif: bytes) -> bytes:
    """Its only frame is on a larger screen, whose rest no pixel covers."""
    return gif[:6] + struct.pack("<HH", 30, 20) + gif[10:]


def without_adobe(jpeg: bytes) -> bytes:
    """Without the segment that says that inks are stored inverted."""
    start = jpeg.index(b"\xff\xee")
    return jpeg[:start] + jpeg[start + 2 + int.from_bytes(jpeg[start + 2 : start + 4]) :]


SMALL = Image.fromarray(scene())
CLEAR = Image.fromarray(np.dstack([scene(), np.full((16, 24), 254, np.uint8)]))
UNREAD: dict[str, tuple[bytes, str]] = {
    "16 bits": (saved(Image.fromarray(np.full((4, 4), 300, np.uint16)), "PNG"), "16 bits"),
    "32 bits": (saved(Image.new("F", (4, 4)), "TIFF"), "16 bits a pixel or more"),
    "lab": (saved(Image.new("LAB", (4, 4)), "TIFF"), "of a kind that is not read, LAB"),
    "alpha": (saved(CLEAR, "PNG"), "transparent"),
    "webp with alpha": (saved(CLEAR, "WEBP", lossless=True), "transparent"),
    "a colour left out": (saved(SMALL, "PNG", transparency=(250, 20, 20)), "transparent"),
    "a palette's": (saved(SMALL.quantize(8), "GIF", transparency=0), "transparent"),
    "grey": (saved(Image.new("LA", (4, 4), (9, 0)), "PNG"), "transparent"),
    "pages": (saved(SMALL, "TIFF", save_all=True, append_images=[SMALL, SMALL]), "holds 3 pictures"),
    "animation": (saved(SMALL, "GIF", save_all=True, append_images=[SMALL.rotate(180)]), "holds 2 pictures"),
    "moving png": (saved(SMALL, "PNG", save_all=True, append_images=[SMALL.rotate(180)]), "holds 2 pictures"),
    "a gif that leaves a margin": (with_margin(saved(SMALL, "GIF")), "transparent"),
    "cmyk of unknown sign": (without_adobe(saved(SMALL.convert("CMYK"), "JPEG")), "without Adobe's mark"),
    "eps": (saved(SMALL, "EPS"), "not a readable"),
    "pdf": (saved(SMALL, "PDF"), "not a readable"),
    "psd, by its head": (b"8BPS\0\1" + bytes(100), "not a readable"),
    "nothing": (b"", "not a readable"),
}


@pytest.mark.parametrize("kind", UNREAD)
def test_what_is_no_photograph_is_named(tmp_path: Path, kind: str) -> None:
    """By the reader, and by the check of a folder, which reads the head of the file."""
    content, reason = UNREAD[kind]
    assert reason in str(refusal(lambda: decode_rgb(content, "sample 7")))
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "sample 7.png").write_bytes(content)
    assert reason in str(refusal(lambda: folder_images(tmp_path / "images").check_size(1)))


@pytest.mark.parametrize(
    ("picture", "colour"),
    [
        (Image.new("CMYK", (8, 8), (0, 255, 255, 0)), (255, 0, 0)),
        (Image.new("L", (8, 8), 77), (77, 77, 77)),
        (Image.new("1", (8, 8), 1), (255, 255, 255)),
        (Image.new("RGB", (8, 8), (9, 99, 199)).quantize(2), (9, 99, 199)),
        (Image.new("RGBA", (8, 8), (9, 99, 199, 255)), (9, 99, 199)),
        (Image.new("YCbCr", (8, 8), (76, 85, 255)), (254, 0, 0)),
    ],
)
def test_other_colours_become_rgb(picture: Image.Image, colour: tuple[int, ...]) -> None:
    format = "JPEG" if picture.mode in ("CMYK", "YCbCr") else "PNG"
    assert np.abs(decode_rgb(saved(picture, format), "x").astype(int) - colour).max() <= 3


def test_the_photograph_of_a_camera_that_adds_a_second_one() -> None:
    content = saved(SMALL, "MPO", save_all=True, append_images=[SMALL.rotate(180)], quality=95)
    assert np.abs(decode_rgb(content, "x").astype(int) - scene())[4, 4].max() < 30


def test_a_folder_may_hold_notes_beside_its_images(tmp_path: Path) -> None:
    for name in ("a.png", ".hidden/b.png", ".DS_Store", "a.txt", "captions.JSON", "Thumbs.db", "below/README.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(encode_png(scene()))
    assert [path.name for path in folder_images(tmp_path).files] == ["a.png"]
    (tmp_path / "below" / "b.heic").write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(SeediffError, match=r"b\.heic is not a readable PNG"):
        folder_images(tmp_path).check_size(1)
    (tmp_path / "below" / "c.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(SeediffError, match=r"c\.png is not a file"):
        folder_images(tmp_path)
    (tmp_path / "below" / "c.png").unlink()
    (tmp_path / "below" / "more").symlink_to(tmp_path / ".hidden")
    with pytest.raises(SeediffError, match="more is not a file"):
        folder_images(tmp_path)


def test_what_systems_and_devices_leave_is_no_image(tmp_path: Path) -> None:
    """A network drive's previews would count every image twice."""
    for name in ("a.png", "@eaDir/a.png/SYNOPHOTO_THUMB_XL.png", "below/__MACOSX/x.png", "below/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(encode_png(scene()))
    assert [path.name for path in folder_images(tmp_path).files] == ["a.png", "b.png"]


def test_a_number_behind_a_dot_is_no_ending(tmp_path: Path) -> None:
    for name in ("frame.1", "frame.2", "a.v1.png", "a.v2.png"):
        (tmp_path / name).write_bytes(encode_png(scene()))
    assert len(folder_images(tmp_path)) == 4
    (tmp_path / "frame.1.png").write_bytes(encode_png(scene()))
    with pytest.raises(SeediffError, match=r"frame\.1 and frame\.1\.png"):
        folder_images(tmp_path)


def test_a_name_that_is_no_utf_8(tmp_path: Path) -> None:
    """As unpacked from another system's archive."""
    (tmp_path / os.fsdecode(b"caf\xe9.png")).write_bytes(encode_png(scene()))
    assert len(folder_images(tmp_path).digest) == 64


# --- labels on a photograph that is turned


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("shape", [(16, 24), (24, 16), (16, 16)])
def test_labels_lie_on_the_pixels_that_they_fit(orientation: int, shape: tuple[int, int]) -> None:
    """Labels can be turned as displayed or as stored; if both have the image's size, it is unknown which."""
    stored = scene(*((16, 16) if shape == (16, 16) else (16, 24)))
    content = saved(Image.fromarray(stored), "PNG", orientation)
    photograph, labels = decode_photograph(content, "sample 7"), np.zeros(shape, np.uint8)
    displayed = np.asarray(ImageOps.exif_transpose(Image.open(BytesIO(content))))
    fits = [pixels for pixels in (displayed, stored) if pixels.shape[:2] == shape]
    if not fits:
        assert refusal(lambda: photograph.under_labels(labels, "sample 7", "b")).problem is Problem.UNEQUAL
    elif len(fits) == 2 and orientation > 1:
        error = refusal(lambda: photograph.under_labels(labels, "sample 7", "b"))
        assert error.problem is Problem.TURNED and f"EXIF orientation {orientation}" in str(error)
    else:
        assert np.array_equal(photograph.under_labels(labels, "a", "b"), fits[0])


def test_a_picture_that_looks_the_same_turned_needs_no_decision() -> None:
    photograph = decode_photograph(saved(Image.new("RGB", (8, 8), "red"), "PNG", 3), "x")
    assert photograph.under_labels(np.zeros((8, 8), np.uint8), "a", "b").shape == (8, 8, 3)


# --- label files

DECODE = {name: FORMATS[name].decode for name in ("voc", "cityscapes", "ade20k")}
GREYS = np.arange(256, dtype=np.uint8)[:, None].repeat(3, axis=1)
COLOURS = {"voc": VOC_COLOURS, "grey": GREYS}


def with_palette(indices: np.ndarray, colours: np.ndarray) -> bytes:
    picture = Image.fromarray(indices.astype(np.uint8))
    picture.putpalette(np.ascontiguousarray(colours, np.uint8).tobytes())
    return saved(picture, "PNG")


def reordered(labels: np.ndarray, colours: np.ndarray, order: list[int]) -> bytes:
    """The labels as an image editor saves them: the palette holds only ``order``'s colours, in that order."""
    index_of = np.zeros(256, np.uint8)
    index_of[order] = np.arange(len(order))
    return with_palette(index_of[labels], colours[order])


@st.composite
def label_maps(draw: st.DrawFn, format: str) -> np.ndarray:
    """Any labels of the format, a few of them in each map."""
    some = draw(st.lists(st.sampled_from(sorted(FORMATS[format].labels)), min_size=1, max_size=6, unique=True))
    return draw(arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.sampled_from(some)))


WAYS: dict[str, Callable[[np.ndarray, np.ndarray, st.DataObject], bytes]] = {
    "in order": lambda labels, colours, _: with_palette(labels, colours),
    "as far as needed": lambda labels, colours, _: with_palette(labels, colours[: int(labels.max()) + 1]),
    "squeezed": lambda labels, colours, _: reordered(labels, colours, np.unique(labels).tolist()),
    "shuffled": lambda labels, colours, data: reordered(labels, colours, data.draw(st.permutations(range(256)))),
    "both": lambda labels, colours, data: reordered(labels, colours, data.draw(st.permutations(np.unique(labels)))),
    "quantized": lambda labels, colours, _: saved(Image.fromarray(colours[labels]).quantize(256), "PNG"),
    "no palette": lambda labels, *_: encode_labels(labels),
    "rgb": lambda labels, colours, _: encode_png(colours[labels]),
    "jpeg": lambda labels, *_: saved(Image.fromarray(labels), "JPEG", quality=100),
    "webp": lambda labels, colours, _: saved(Image.fromarray(colours[labels]), "WEBP", lossless=True),
}
NO_LABELS = {"rgb", "jpeg", "webp"}
BOTH_WAYS = {0, 7, 56, 64, 128}
"""Labels of ADE20K whose colour is VOC's colour of one label and the grey of another."""


@settings(max_examples=300, deadline=None)
@given(st.data(), st.sampled_from(sorted(DECODE)), st.sampled_from(sorted(COLOURS)), st.sampled_from(sorted(WAYS)))
def test_labels_come_back_whatever_an_editor_did_to_their_palette(
    data: st.DataObject, format: str, colours: str, way: str
) -> None:
    """The same labels, or a refusal that names the file; ordinary labels are refused in no palette."""
    labels = data.draw(label_maps(format))
    content = WAYS[way](labels, COLOURS[colours], data)
    try:
        read = DECODE[format](content, "sample 7")
    except PictureError as error:
        ambiguous = format == "ade20k" and set(np.unique(labels)) <= BOTH_WAYS
        assert str(error).startswith("sample 7 ") and (way in NO_LABELS or way == "quantized" or ambiguous)
    else:
        assert way not in NO_LABELS and np.array_equal(read, labels)


def test_vocs_palette_is_read_in_any_order() -> None:
    """Two that turned a person into an aeroplane and the border into background."""
    labels = np.array([[0, 15, 255], [15, 1, 20]], np.uint8)
    for order in ([0, 15, 255, 1, 20], [255, 20, 15, 1, 0], list(range(255, -1, -1))):
        assert np.array_equal(DECODE["voc"](reordered(labels, VOC_COLOURS, order), "x"), labels)


def test_a_palette_may_end_before_the_void() -> None:
    """Of 21 colours, as programs that paint VOC's classes write it: no editor leaves an index without a colour."""
    labels = np.array([[0, 15, 255]], np.uint8)
    assert np.array_equal(DECODE["voc"](with_palette(labels, VOC_COLOURS[:21]), "x"), labels)


BLACK = np.zeros((1, 3), np.uint8)


@pytest.mark.parametrize(
    ("indices", "colours", "reason"),
    [
        ([0, 1, 255], np.vstack([VOC_COLOURS[:21], BLACK.repeat(235, 0)]), "indices 0 and 255 have the same colour"),
        ([0, 30], VOC_COLOURS[20::-1], "index 30 has no colour"),
        ([0, 1], np.array([[0, 0, 0], [255, 0, 255]]), r"\(255, 0, 255\) is the colour of no label"),
        ([0, 1, 2], np.array([[0, 0, 0], [192, 128, 128], [255, 255, 255]]), r"\(255, 255, 255\) is the colour of no"),
        ([0, 1], VOC_COLOURS[[0, 21]], r"is the colour of no label"),
    ],
)
def test_palettes_that_say_nothing(indices: list[int], colours: np.ndarray, reason: str) -> None:
    error = refusal(lambda: DECODE["voc"](with_palette(np.array([indices]), colours), "sample 7"))
    assert error.problem is Problem.PALETTE
    with pytest.raises(PictureError, match=reason):
        raise error


def test_colours_that_can_be_read_both_ways_are_refused() -> None:
    """(128, 128, 128) is 7 in VOC's colours and 128 in grey: ADE20K has both, VOC has only 7."""
    content = with_palette(np.array([[0, 1]]), GREYS[[0, 128]])
    assert "VOC's as well as grey" in str(refusal(lambda: DECODE["ade20k"](content, "sample 7")))
    assert DECODE["voc"](content, "x").tolist() == [[0, 7]]


@pytest.mark.parametrize("format", [kind for kind in PHOTOGRAPHS if kind != "PNG"])
@pytest.mark.parametrize("decode", [decode_mask, decode_ids])
def test_labels_are_png_or_refused(decode: Callable[[bytes, str], object], format: str) -> None:
    content = saved(Image.fromarray(np.array([[0, 15] * 8] * 16, np.uint8)), format)
    error = refusal(lambda: decode(content, "sample 7"))
    assert error.problem is Problem.NO_PNG and error.detail == format


def test_ids_of_sixteen_bits_a_colour_are_refused() -> None:
    """Pillow would return their upper halves: 0 for every id."""
    content = bytearray(encode_ids(np.array([[300, 919]], np.uint16)))
    content[24] = 16
    with pytest.raises(PictureError, match="sample 7"):
        decode_ids(bytes(content), "sample 7")


def drawn_by_hand(kind: int, bits: int, row: bytes, first: bytes = b"", palette: bytes = b"") -> bytes:
    """A PNG of one line, with the given numbers of its format; ``first``: what precedes its header."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    width = len(row) * 8 // bits // {0: 1, 2: 3, 3: 1}[kind]
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, bits, kind, 0, 0, 0))
    colours = chunk(b"PLTE", palette) if palette else b""
    pixels = chunk(b"IDAT", zlib.compress(b"\0" + row))
    return b"\x89PNG\r\n\x1a\n" + first + header + colours + pixels + chunk(b"IEND", b"")


LITTLE: dict[int, tuple[bytes, list[int]]] = {
    1: (b"\x0f", [0, 0, 0, 0, 1, 1, 1, 1]), 2: (b"\x1b", [0, 1, 2, 3]), 4: (b"\x01\xf2", [0, 1, 15, 2]),
}  # fmt: skip
"""Bits per pixel -> a line, and its values."""


@pytest.mark.parametrize("bits", LITTLE)
def test_labels_of_less_than_a_byte(bits: int) -> None:
    """Indices of a palette are what they are; grey is spread over a byte, so that 1 of 4 bits would be VOC's 17."""
    row, labels = LITTLE[bits]
    content = drawn_by_hand(3, bits, row, palette=VOC_COLOURS[: 2**bits].tobytes())
    assert DECODE["voc"](content, "x").tolist() == [labels]
    error = refusal(lambda: DECODE["voc"](drawn_by_hand(0, bits, row), "sample 7"))
    assert error.problem is Problem.PICTURE and f"of {bits} bit" in str(error)


@pytest.mark.parametrize(("decode", "kind", "bits"), [(decode_mask, 0, 4), (decode_ids, 2, 16)])
def test_bits_are_looked_up_where_they_stand(decode: Callable[[bytes, str], object], kind: int, bits: int) -> None:
    """A PNG begins with its header; Pillow looks for it anywhere."""
    note = b"a\0" + b"\x08" * 20
    first = struct.pack(">I", len(note)) + b"tEXt" + note + struct.pack(">I", zlib.crc32(b"tEXt" + note))
    refusal(lambda: decode(drawn_by_hand(kind, bits, bytes(12), first), "sample 7"))


@pytest.mark.parametrize("orientation", [3, 6])
def test_labels_that_viewers_turn_are_refused(orientation: int) -> None:
    labels = np.zeros((16, 24), np.uint8)
    assert np.array_equal(decode_mask(saved(Image.fromarray(labels), "PNG", 1), "sample 7"), labels)
    content = saved(Image.fromarray(labels), "PNG", orientation)
    error = refusal(lambda: decode_mask(content, "sample 7"))
    assert error.problem is Problem.TURNED_LABELS and f"orientation {orientation}" in str(error)
    ids = saved(Image.fromarray(np.zeros((16, 24, 3), np.uint8)), "PNG", orientation)
    assert refusal(lambda: decode_ids(ids, "sample 7")).problem is Problem.TURNED_LABELS


@pytest.mark.parametrize("decode", [decode_mask, decode_ids])
@pytest.mark.parametrize("own_first", [False, True])
def test_labels_that_move_are_refused(decode: Callable[[bytes, str], object], own_first: bool) -> None:
    """It is unknown which of the pictures is meant."""
    kind = "L" if decode is decode_mask else "RGB"
    first, second = Image.new(kind, (4, 4)), Image.new(kind, (4, 4), 1 if kind == "L" else (1, 0, 0))
    content = saved(first, "PNG", save_all=True, append_images=[second], default_image=own_first)
    assert "2 pictures" in str(refusal(lambda: decode(content, "sample 7")))


# --- masks of one object


def repaint(folder: Path, paint: Callable[[int, np.ndarray], np.ndarray]) -> None:
    """Write every label file of val again; ``paint`` gets its number and labels."""
    for number, path in enumerate(sorted((folder / "SegmentationClass").glob("val_*.png"))):
        path.write_bytes(encode_mask(paint(number, decode_mask(path.read_bytes(), path.name)).astype(np.uint8)))


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """Four images; as a copy of the real data set, without a record of its files."""
    write_domain("voc", tmp_path / "voc", train=1, val=4, rng_seed=0)
    (tmp_path / "voc" / "domain.json").unlink()
    return tmp_path / "voc"


def check_errors(folder: Path) -> list[str]:
    return [finding.text for finding in check_dataset("voc", folder, ["val"]).findings if finding.severity == "error"]


def test_masks_of_0_and_255_are_refused_with_the_reason(voc: Path) -> None:
    repaint(voc, lambda _, labels: np.where(labels > 0, 255, 0))
    with pytest.raises(SeediffError, match="255 means 'ignore'") as caught:
        open_benchmark("voc", voc, "val", ["car"])
    assert "voc val" in str(caught.value) and str(caught.value).count("\n") == 1
    (error,) = check_errors(voc)
    assert error.startswith("val: all label files hold 0 and 255 alone")


@pytest.mark.parametrize("ordinary", range(4))
def test_a_file_of_background_and_void_alone_is_sound(voc: Path, ordinary: int) -> None:
    """Whichever file shows a class."""
    repaint(voc, lambda number, labels: labels if number == ordinary else np.where(labels > 0, 255, 0))
    benchmark = open_benchmark("voc", voc, "val", ["car", "cat"])
    assert all(len(pair) == 2 for pair in benchmark) and check_errors(voc) == []  # type: ignore[attr-defined]


def test_images_without_any_object_are_sound(voc: Path) -> None:
    repaint(voc, lambda _, labels: np.zeros_like(labels))
    assert len(open_benchmark("voc", voc, "val", ["car"])) == 4 and check_errors(voc) == []


@pytest.mark.parametrize("format", ["cityscapes", "ade20k"])
def test_masks_of_0_and_255_where_255_is_no_label(tmp_path: Path, format: str) -> None:
    write_domain(format, tmp_path, train=1, val=2, rng_seed=0)
    (tmp_path / "domain.json").unlink()
    for path in tmp_path.rglob("*.png"):
        if "leftImg8bit" not in path.parts and "val" in path.as_posix():
            path.write_bytes(encode_labels(np.full((64, 64), 255, np.uint8)))
    with pytest.raises(SeediffError, match="255 means 'ignore'"):
        open_benchmark(format, tmp_path, "val", ["car"])


# --- what `seediff data check` reports


def test_the_check_names_every_kind(voc: Path) -> None:
    images = sorted((voc / "JPEGImages").glob("val_*.jpg"))
    masks = sorted((voc / "SegmentationClass").glob("val_*.png"))
    images[0].write_bytes(encode_png(np.dstack([np.zeros((64, 64, 3)), np.ones((64, 64))]).astype(np.uint8)))
    images[1].write_bytes(saved(Image.open(images[1]), "JPEG", 3))
    masks[2].write_bytes(encode_jpeg(np.zeros((64, 64, 3), np.uint8)))
    masks[3].write_bytes(with_palette(np.ones((64, 64)), np.array([[0, 0, 0], [1, 2, 3]])))
    assert sorted(check_errors(voc)) == [
        "val: image that cannot be taken as RGB: JPEGImages/val_000000.jpg (has transparent places)",
        "val: image that its EXIF orientation turns, and whose labels fit it either way: JPEGImages/val_000001.jpg "
        "(EXIF orientation 3)",
        "val: label file in colours of its own: SegmentationClass/val_000003.png ((1, 2, 3) is the colour of no label)",
        "val: label file that is not a PNG: SegmentationClass/val_000002.png (JPEG)",
    ]


def test_a_benchmark_s_photographs_are_turned_to_their_labels(voc: Path) -> None:
    path = sorted((voc / "JPEGImages").glob("val_*.jpg"))[0]
    stored = Image.fromarray(np.asarray(Image.open(path))[:48])
    path.write_bytes(saved(stored, "PNG", 6))
    mask = voc / "SegmentationClass" / f"{path.stem}.png"
    for shape in ((48, 64), (64, 48)):
        mask.write_bytes(encode_mask(np.full(shape, 7, np.uint8)))
        image, labels = open_benchmark("voc", voc, "val", ["car"])[0]
        assert image.shape == (*shape, 3) and labels.shape == shape and (labels == 1).all()
        turned = stored if shape == (48, 64) else stored.transpose(Image.Transpose.ROTATE_270)
        assert np.array_equal(image, np.asarray(turned))
