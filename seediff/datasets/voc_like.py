"""PASCAL VOC's layout with classes of one's own: what ``seediff export --format voc`` writes.

``class_names.txt`` tells it from PASCAL VOC itself, which has no list of its classes.
"""

from __future__ import annotations

from pathlib import Path

from seediff.datasets.folder import FolderFormat, Split

CLASS_NAMES = "class_names.txt"


def voc_splits(folder: Path) -> dict[str, Split]:
    """The lists in ``ImageSets/Segmentation`` of the images in ``JPEGImages``."""
    images, masks = folder / "JPEGImages", folder / "SegmentationClass"
    if not (images.is_dir() and masks.is_dir() and (folder / CLASS_NAMES).is_file()):
        return {}
    lists = sorted((folder / "ImageSets" / "Segmentation").glob("*.txt"))
    return {path.stem: Split(images, masks, path) for path in lists if not path.name.startswith(".")}


VOC_LIKE = FolderFormat(
    name="voc-like",
    title="PASCAL VOC's layout with other classes",
    files="JPEG images, palette PNGs of labels",
    layout=f"JPEGImages, SegmentationClass, ImageSets/Segmentation and {CLASS_NAMES}",
    listed=CLASS_NAMES,
    splits_of=voc_splits,
)
