"""The words that come with the program: two word lists, and the words that mean too many things to be used."""

from __future__ import annotations

from collections.abc import Mapping
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
"""Synonyms and hyponyms for VOC's 20 classes and Cityscapes' 19, chosen by hand and by the data sets' own definitions.

VOC counts mopeds as motorbikes, Cityscapes counts grass and soil as terrain. A word is here only if a picture of it
shows the class, and if the word means nothing else that could be drawn (``AMBIGUOUS``).
"""

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
"""The words that the embedded model knows for each class, the class name first."""

SHIPPED: dict[str, Mapping[str, Kin]] = {
    "curated": CURATED,
    "embedded": {name: Kin(words, ()) for name, words in CLASS_WORDS.items()},
}
"""The sources that a study can name: the curated list, and the closed language of the embedded model."""

AMBIGUOUS: dict[str, str] = {
    "artery": "a blood vessel",
    "auto": "a prefix",
    "bass": "a fish, a guitar, a voice",
    "bat": "a flying mammal, a club",
    "beetle": "an insect, a car",
    "bike": "a bicycle as well as a motorcycle",
    "bishop": "a clergyman, a chessman",
    "box": "a container, a television set",
    "boxer": "a sportsman, a dog",
    "bronco": "a horse, a car",
    "bull": "an animal, a dealer in stocks",
    "calf": "a young cow, a part of the leg",
    "carriage": "a coach, a part of a train",
    "cardinal": "a clergyman, a bird",
    "charger": "a horse, a device",
    "chopper": "a helicopter, a motorcycle",
    "coach": "a trainer, a bus",
    "cock": "a male bird",
    "colt": "a young horse, a pistol",
    "compact": "a small car, a case for powder",
    "crane": "a bird, a machine",
    "cub": "a young animal of any kind",
    "davenport": "a sofa, a desk",
    "display": "an exhibition, a screen",
    "drive": "a road, a journey, a disk",
    "duck": "a bird, a fabric",
    "fan": "a machine, a supporter",
    "ferry": "a boat, a crossing",
    "figure": "a number, a person",
    "file": "a tool, a folder",
    "flowerpot": "the pot without the plant",
    "fly": "an insect, a zip",
    "gondola": "a boat, a cable car",
    "hog": "a pig, a motorcycle",
    "jaguar": "an animal, a car",
    "jay": "a bird, a letter",
    "jersey": "a cow, a garment",
    "jug": "a vessel, a prison",
    "kid": "a child, a young goat",
    "kite": "a bird, a toy",
    "kitty": "a cat, a sum of money",
    "kiwi": "a bird, a fruit",
    "lamb": "a young sheep, its meat",
    "launch": "a boat, the start of a rocket",
    "light": "a lamp, brightness",
    "lounge": "a room, a sofa",
    "magnum": "a bottle, a pistol",
    "mole": "an animal, a spot on the skin",
    "monitor": "a lizard, a screen",
    "mouse": "an animal, a device",
    "mule": "an animal, a slipper",
    "mustang": "a horse, a car",
    "nag": "an old horse, a scold",
    "pavement": "a sidewalk, the surface of a road",
    "plane": "an aeroplane, a tool, a surface",
    "pointer": "a dog, an arrow",
    "pole": "a post, an end of the earth",
    "punt": "a boat, a kick",
    "quarter": "a coin, a district",
    "ram": "a male sheep, a memory, a truck",
    "recliner": "a chair, somebody who reclines",
    "rocker": "a chair, a musician",
    "screen": "a partition, a television",
    "seal": "an animal, a stamp",
    "seat": "a chair, a place, a body part",
    "set": "a television, a collection",
    "setter": "a dog, somebody who sets",
    "signal": "a light, a message",
    "soul": "a person, a spirit",
    "spike": "a nail, a blossom",
    "spitz": "a dog, a swimmer",
    "string": "a cord, a row of things",
    "swallow": "a bird, a gulp",
    "swift": "a bird, fast",
    "tank": "a vessel, an armoured vehicle",
    "tandem": "a bicycle, any pair",
    "tom": "a male cat, a name",
    "toy": "a small dog, a plaything",
    "tube": "a pipe, a television, an underground railway",
    "turkey": "a bird, a country",
    "wagon": "a cart, a part of a train",
    "wing": "a part of a building, of a bird, of an aeroplane",
}
"""Word -> its meanings. A picture could show the wrong one, so no source may add these words; a study may list them.

The table covers what dictionaries and thesauri offer for objects that are often drawn.
"""
