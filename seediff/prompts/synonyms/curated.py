"""The word list that comes with the program: synonyms and hyponyms for VOC's 20 classes and Cityscapes' 19.

Chosen by hand, and by the data sets' own definitions: VOC counts mopeds as motorbikes, Cityscapes counts grass and soil
as terrain. A word is here only if a picture of it is a picture of the class and of nothing else that goes by the same
word (``ambiguous``).
"""

from __future__ import annotations

from typing import NamedTuple


class Kin(NamedTuple):
    """``synonyms`` mean the class, ``hyponyms`` a kind of it."""

    synonyms: tuple[str, ...]
    hyponyms: tuple[str, ...]


_MOTORCYCLE = ("dirt bike", "motor scooter", "moped", "touring motorcycle", "racing motorcycle")

CURATED: dict[str, Kin] = {
    # VOC
    "aeroplane": Kin(
        ("airplane",),
        ("airliner", "passenger plane", "propeller plane", "biplane", "seaplane", "jumbo jet", "fighter jet"),
    ),
    "bicycle": Kin(("pushbike",), ("mountain bike", "racing bicycle", "city bicycle", "folding bicycle")),
    "bird": Kin(
        (),
        ("sparrow", "robin", "pigeon", "parrot", "owl", "eagle", "seagull", "goose", "swan", "hummingbird", "peacock",
         "penguin", "flamingo", "woodpecker", "pelican", "heron"),
    ),
    "boat": Kin((), ("sailboat", "rowboat", "motorboat", "speedboat", "fishing boat", "canoe", "kayak", "yacht")),
    "bottle": Kin((), ("wine bottle", "beer bottle", "water bottle", "milk bottle", "glass bottle", "plastic bottle")),
    "bus": Kin(("autobus",), ("city bus", "school bus", "double-decker bus", "minibus", "tour bus", "trolleybus")),
    "car": Kin(
        ("automobile", "motorcar"),
        ("sedan", "hatchback", "station wagon", "sports car", "convertible car", "police car", "taxi cab", "limousine"),
    ),
    "cat": Kin(("house cat",), ("kitten", "tabby cat", "siamese cat", "persian cat", "ginger cat", "tomcat")),
    "chair": Kin(
        (),
        ("armchair", "rocking chair", "folding chair", "office chair", "dining chair", "deck chair", "wicker chair"),
    ),
    "cow": Kin((), ("dairy cow", "heifer", "ox", "highland cow", "holstein cow")),
    "diningtable": Kin(("dining table", "dinner table"), ("kitchen table", "dining room table", "breakfast table")),
    "dog": Kin(
        (),
        ("puppy", "labrador retriever", "golden retriever", "poodle", "german shepherd", "bulldog", "beagle",
         "dachshund", "terrier", "chihuahua", "sheepdog", "greyhound"),
    ),
    "horse": Kin((), ("pony", "mare", "stallion", "foal", "racehorse")),
    "motorbike": Kin(("motorcycle",), _MOTORCYCLE),
    "person": Kin(("human",), ("man", "woman", "boy", "girl", "child", "baby", "teenager", "old man", "young woman")),
    "pottedplant": Kin(
        ("potted plant", "houseplant"), ("potted flower", "potted fern", "potted cactus", "bonsai tree")
    ),
    "sheep": Kin((), ("ewe", "merino sheep", "bighorn sheep")),
    "sofa": Kin(("couch", "settee"), ("loveseat", "leather sofa", "sectional sofa", "chesterfield sofa")),
    "train": Kin(
        ("railway train",),
        ("passenger train", "freight train", "steam train", "bullet train", "commuter train", "locomotive"),
    ),
    "tvmonitor": Kin(
        ("tv monitor", "television", "television set"),
        ("computer monitor", "flat-screen television", "lcd monitor"),
    ),
    # Cityscapes; person, car, bus, train and bicycle are above
    "road": Kin(("roadway",), ("street", "highway", "asphalt road", "country road", "cobbled street")),
    "sidewalk": Kin(("footway",), ("paved walkway", "brick sidewalk", "concrete sidewalk")),
    "building": Kin((), ("house", "apartment building", "office building", "skyscraper", "church", "warehouse")),
    "wall": Kin((), ("brick wall", "stone wall", "concrete wall", "garden wall")),
    "fence": Kin((), ("picket fence", "wooden fence", "wire fence", "chain-link fence")),
    "pole": Kin((), ("utility pole", "telephone pole", "lamp post", "signpost")),
    "traffic light": Kin(("traffic signal", "stoplight"), ("pedestrian traffic light",)),
    "traffic sign": Kin(("road sign",), ("stop sign", "speed limit sign", "yield sign", "no-entry sign")),
    "vegetation": Kin(("greenery", "foliage"), ("tree", "hedge", "shrub", "shrubbery", "ivy")),
    "terrain": Kin((), ("lawn", "meadow", "bare soil", "sandy ground", "grassy field")),
    "sky": Kin((), ("blue sky", "cloudy sky", "overcast sky", "evening sky")),
    "rider": Kin((), ("cyclist", "bicyclist", "motorcyclist")),
    "truck": Kin(("lorry",), ("pickup truck", "dump truck", "delivery truck", "garbage truck", "fire truck")),
    "motorcycle": Kin(("motorbike",), _MOTORCYCLE),
}  # fmt: skip
"""Class name -> its kin."""
