"""Prompt augmentation: the words, their sources, and prompts that vary them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from seediff.datasets.cityscapes import TRAIN_IDS
from seediff.datasets.voc import CLASSES as VOC_CLASSES
from seediff.embedded.vocabulary import CLASS_WORDS, CLASSES
from seediff.errors import SeediffError
from seediff.names import check_text
from seediff.prompts.prompt_sets import Prompt, make_prompts, read_prompts, write_prompts
from seediff.prompts.synonyms.shipped import AMBIGUOUS, CURATED
from seediff.prompts.synonyms.variety import phrase, phrasings
from seediff.prompts.synonyms.vocabulary import class_words, shipped_words
from seediff.prompts.synonyms.wordnet import kin, read_lexicon
from seediff.prompts.words import place_word, split_words
from seediff.workflow.study.sections import PromptAugmentation

TEMPLATES = ("a picture of a {word}", "the {word}, seen from afar")
CONTEXTS = ("on grass", "at night", "in the rain")


def augmentation(classes: Sequence[str], **settings: Any) -> dict[str, Any]:
    section = PromptAugmentation(**settings)
    return {**section.model_dump(), "shipped": shipped_words(section.source, classes, section.words)}


def made(classes: Sequence[str], per_class: int, **settings: Any) -> list[Prompt]:
    names = settings.pop("names", {})
    return make_prompts("varied", classes, per_class, words=names, augmentation=augmentation(classes, **settings))


def texts(prompts: Sequence[Prompt]) -> list[str]:
    return [prompt.prompt for prompt in prompts]


def refusal(classes: Sequence[str], per_class: int = 1, **settings: Any) -> str:
    with pytest.raises(SeediffError) as caught:
        made(classes, per_class, **settings)
    assert str(caught.value).count("\n") <= 2
    return str(caught.value)


def used(classes: Sequence[str], **settings: Any) -> dict[str, list[str]]:
    words = class_words(classes, {name: name for name in classes}, augmentation(classes, **settings))
    return {name: [word.word for word in found.used] for name, found in words.items()}


def reasons(classes: Sequence[str], **settings: Any) -> dict[str, str | None]:
    words = class_words(classes, {name: name for name in classes}, augmentation(classes, **settings))
    return {word.word: word.refusal for found in words.values() for word in found.refused}


# --- the lists that come with the program


def test_the_curated_list_has_every_class_and_nothing_ambiguous() -> None:
    assert set(CURATED) == {*VOC_CLASSES, *TRAIN_IDS}
    for words in CURATED.values():
        for word in (*words.synonyms, *words.hyponyms):
            assert word not in AMBIGUOUS and word == check_text(word).lower().strip() and split_words(word)
    assert all(word == word.lower() and meaning for word, meaning in AMBIGUOUS.items())


@pytest.mark.parametrize("classes", [VOC_CLASSES, tuple(TRAIN_IDS)])
def test_no_curated_word_is_refused_among_its_own_classes(classes: Sequence[str]) -> None:
    assert reasons(classes) == {}
    every = [word for words in used(classes).values() for word in words]
    assert len(every) == len({*every}) >= 4 * len(classes)


def test_the_embedded_source_is_the_embedded_language() -> None:
    """In which 'seat' and 'coach' mean nothing else."""
    assert used(CLASSES, source="embedded") == {name: list(words) for name, words in CLASS_WORDS.items()}


# --- properties

WORDS = st.lists(st.text("abcdefgh", min_size=1, max_size=5), min_size=2, max_size=8, unique=True)
PHRASES = st.lists(st.text("uvwxyz ", min_size=1, max_size=9).map(str.strip).filter(bool), max_size=4, unique=True)


@st.composite
def vocabularies(draw: st.DrawFn) -> dict[str, list[str]]:
    """Two classes with words of their own; a class is named by its first word."""
    words = draw(WORDS)
    cut = draw(st.integers(1, len(words) - 1))
    return {some[0]: some[1:] for some in (words[:cut], words[cut:])}


def possible(words: Sequence[str], templates: Sequence[str], contexts: Sequence[str]) -> set[str]:
    """Every prompt, by brute force."""
    return {
        " ".join(f"{template} {context}".split()).replace("{word}", word)
        for word in words
        for template in ("some {word}", *templates)
        for context in ("", *contexts)
    }


@settings(max_examples=60, deadline=None)
@given(vocabularies(), PHRASES, PHRASES, st.integers(0, 2**40), st.data())
def test_prompts_are_distinct_balanced_and_have_their_word(
    words: Mapping[str, list[str]], ends: list[str], contexts: list[str], rng_seed: int, data: st.DataObject
) -> None:
    templates = [f"{{word}} {end}" for end in ends]
    every = {name: possible([name, *some], templates, contexts) for name, some in words.items()}
    most = min(map(len, every.values()))
    per_class = data.draw(st.integers(1, most))
    own = augmentation([*words], source="listed", words=words, templates=templates, contexts=contexts)

    def run(number: int, classes: Sequence[str]) -> list[Prompt]:
        return make_prompts("x", classes, number, "some {word}", rng_seed=rng_seed, augmentation=own)

    prompts = run(per_class, [*words])
    assert prompts == run(per_class, [*words])
    assert Counter(prompt.class_name for prompt in prompts) == dict.fromkeys(words, per_class)
    for name in words:
        of_class = [prompt for prompt in prompts if prompt.class_name == name]
        different = set(texts(of_class))
        assert len(different) == per_class and different <= every[name]
        times = Counter(prompt.class_word for prompt in of_class)
        assert {*times} <= {name, *words[name]}
        if len(every[name]) == (1 + len(words[name])) * len({*phrasings(["some {word}", *templates], contexts)}):
            rounds = per_class // (1 + len(words[name]))
            assert all(rounds <= times[word] <= rounds + 1 for word in (name, *words[name]))
    for prompt in prompts:
        (start,) = prompt.word_starts
        assert prompt.prompt.startswith(prompt.class_word, start) and place_word(
            prompt.prompt, prompt.class_word, [start]
        )
    assert [prompt for prompt in prompts if prompt.index == 0] == run(1, [*words])
    assert len({prompt.rng_seed for prompt in prompts}) == len(prompts)
    if len({*map(len, every.values())}) == 1:
        with pytest.raises(SeediffError, match=rf"{most + 1} different prompts of class .*, but there are {most}\."):
            run(most + 1, [*words])


@given(st.integers(1, 20))
def test_a_larger_set_begins_with_the_smaller(number: int) -> None:
    few, many = (made(["cat", "car"], count, contexts=CONTEXTS) for count in (number, 24))
    assert few == [prompt for prompt in many if prompt.index < number]


def test_a_class_does_not_depend_on_the_others() -> None:
    alone, among = made(["cat"], 9, contexts=CONTEXTS), made(["car", "cat"], 9, contexts=CONTEXTS)
    assert alone == [prompt for prompt in among if prompt.class_name == "cat"]


def test_repeated_prompts_have_seeds_of_their_own() -> None:
    first, again = 8, 18
    prompts = made(["cat"], again, repeat=True)
    assert texts(prompts[:first]) == texts(prompts[first : 2 * first])
    assert len(set(texts(prompts))) == first and len({prompt.rng_seed for prompt in prompts}) == again


def test_two_words_that_make_one_prompt_make_it_once() -> None:
    own = augmentation(["motor"], source="listed", words={"motor": ["motor van"]}, templates=["a {word} van"])
    prompts = make_prompts("x", ["motor"], 3, "a {word}", augmentation=own)
    assert set(texts(prompts)) == {"a motor", "a motor van", "a motor van van"}
    with pytest.raises(SeediffError, match="4 different prompts of class 'motor' were asked for, but there are 3"):
        make_prompts("x", ["motor"], 4, "a {word}", augmentation=own)


def test_prompts_are_the_same_on_every_machine() -> None:
    assert texts(made(["cat"], 4, contexts=CONTEXTS)) == [
        "a photo of a kitten on grass",
        "a photo of a house cat at night",
        "a photo of a cat in the rain",
        "a photo of a tabby cat",
    ]


def test_a_varied_set_survives_its_file(tmp_path: Path) -> None:
    prompts = made(CLASSES, 20, source="embedded", templates=TEMPLATES, contexts=CONTEXTS)
    write_prompts(prompts, tmp_path / "x.csv")
    assert read_prompts(tmp_path / "x.csv") == prompts


@pytest.mark.parametrize(
    ("phrasing", "word", "prompt"),
    [
        ("a photo of a {word}", "owl", "a photo of an owl"),
        ("A {word} on a {word}", "car", "A car on a car"),
        ("an {word}", "unicycle", "a unicycle"),
        ("An {word}", "bus", "A bus"),
        ("a {word}", "ewe", "a ewe"),
        ("banana {word}", "apple", "banana apple"),
        ("a big {word}", "apple", "a big apple"),
    ],
)
def test_articles(phrasing: str, word: str, prompt: str) -> None:
    filled = phrase(phrasing, word)
    assert filled.text == prompt
    assert [prompt[start : start + len(word)] for start in filled.starts] == [word] * phrasing.count("{word}")


def test_phrasings() -> None:
    assert phrasings(["a {word}", "{word}"], ["at  night", "at night"]) == [
        "a {word}", "a {word} at night", "{word}", "{word} at night",
    ]  # fmt: skip


# --- what is refused


def test_words_of_the_study_come_first_and_may_be_ambiguous() -> None:
    words = used(["bus", "chair"], source="listed", words={"chair": ["seat", "Chair", "arm-chair"]})
    assert words == {"bus": ["bus"], "chair": ["chair", "seat", "arm-chair"]}


def test_excluded_and_shared_words_are_refused() -> None:
    found = reasons(["motorbike", "motorcycle"], exclude=["dirt bike"])
    assert found["dirt bike"] == "excluded by the study"
    assert found["moped"] in ("stands for motorbike as well", "stands for motorcycle as well")
    assert used(["motorbike", "motorcycle"]) == {"motorbike": ["motorbike"], "motorcycle": ["motorcycle"]}
    assert used(["car"], exclude=["car"])["car"][0] == "automobile"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"classes": ["zebra"]}, "has no class 'zebra'"),
        ({"per_class": 10**6}, "1,000,000 different prompts of class 'cat' were asked for, but there are 8."),
        ({"exclude": ["tomcatt"]}, "Did you mean 'tomcat'"),
        ({"source": "listed", "exclude": ["cat"]}, "leaves class 'cat' without a word"),
        ({"words": {"cat": ["!!"]}}, "has no letters"),
        ({"classes": ["cat", "dog"], "words": {"cat": ["pet"], "dog": ["pet"]}}, "'pet' stands for both"),
        ({"classes": ["cat", "dog"], "words": {"dog": ["CAT"]}}, "stands for both 'cat' and 'dog'"),
        ({"templates": ["a photo"]}, "'{word}', the place of the class word, once"),
        ({"templates": ["a {word} and a {word}"]}, "the place of the class word, once"),
        ({"contexts": ["with a kitten"]}, "names 'kitten', a word of a class"),
        ({"classes": ["cat", "dog"], "contexts": ["beside a dog"]}, "names 'dog', a word of a class"),
        ({"contexts": ["very " * 80 + "far away"]}, "a text encoder reads 75 at most"),
        ({"words": {"cat": ["cat " * 80]}}, "a text encoder reads 75 at most"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    found = refusal(settings.pop("classes", ["cat"]), settings.pop("per_class", 1), **settings)
    assert message in found


# --- WordNet

SYNSETS = {
    # id: (hypernym, definition, lemmas)
    "vehicle": (None, "a conveyance", ["vehicle"]),
    "bus": ("vehicle", "a vehicle carrying many passengers", ["bus", "coach", "motorcoach"]),
    "minibus": ("bus", "a small bus", ["minibus"]),
    "school-bus": ("bus", "a bus for children", ["school bus", "wagon"]),
    "tiny-bus": ("minibus", "a very small bus", ["bus no. 2", "microbus"]),
    "trainer": (None, "someone in charge of training", ["coach", "trainer"]),
    "crane-machine": (None, "lifts heavy objects", ["crane"]),
    "crane-bird": (None, "large long-necked wading bird", ["crane"]),
    "whooper": ("crane-bird", "rare North American crane", ["whooping crane", "whooper"]),
    "swan": (None, "a swan", ["whooper", "Swan"]),
    "mouse": (None, "a rodent", ["mouse"]),
    "mouse-device": (None, "a pointing device", ["mouse", "computer mouse"]),
}
FIRST = {"coach": ["trainer", "bus"], "whooper": ["swan", "whooper"]}
"""Which sense comes first, if not in the order above."""


def lmf() -> str:
    """A WordNet in its published format."""
    lemmas: dict[str, list[str]] = {}
    for synset, (_, _, words) in SYNSETS.items():
        for word in words:
            lemmas.setdefault(word, []).append(synset)
    entries = "".join(
        f'<LexicalEntry id="t-{n}"><Lemma writtenForm="{word}" partOfSpeech="n"/>'
        + "".join(f'<Sense id="t-{n}-{synset}" synset="t-{synset}"/>' for synset in FIRST.get(word, synsets))
        + "</LexicalEntry>"
        for n, (word, synsets) in enumerate(lemmas.items())
    )
    synsets = "".join(
        f'<Synset id="t-{synset}" ili="" partOfSpeech="n"><Definition>{text}</Definition>'
        + (f'<SynsetRelation relType="hypernym" target="t-{above}"/>' if above else "")
        + "</Synset>"
        for synset, (above, text, _) in SYNSETS.items()
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<!DOCTYPE LexicalResource SYSTEM "http://globalwordnet.github.io/schemas/WN-LMF-1.1.dtd">\n'
        '<LexicalResource xmlns:dc="https://globalwordnet.github.io/schemas/dc/">'
        '<Lexicon id="t" label="tiny" language="en" email="a@b.c" license="none" version="1">'
        f"{entries}{synsets}</Lexicon></LexicalResource>\n"
    )


@pytest.fixture
def lexicon(tmp_path: Path) -> str:
    (tmp_path / "tiny.xml").write_text(lmf())
    return str(tmp_path / "tiny.xml")


def test_wordnet_keeps_to_the_sense_that_is_meant(lexicon: str) -> None:
    found = {offer.word: (offer.relation, offer.refusal) for offer in kin(read_lexicon(lexicon), "bus", None, 1)}
    assert found == {
        "coach": ("synonym", "means something else first: someone in charge of training"),
        "motorcoach": ("synonym", None),
        "minibus": ("hyponym", None),
        "school bus": ("hyponym", None),
        "wagon": ("hyponym", None),
    }
    assert reasons(["bus"], source="wordnet", lexicon=lexicon)["wagon"] == "ambiguous: a cart, a part of a train"
    deeper = {offer.word: offer.refusal for offer in kin(read_lexicon(lexicon), "bus", None, 2)}
    assert deeper["microbus"] is None and deeper["bus no. 2"] == "no plain word"
    assert [offer.word for offer in kin(read_lexicon(lexicon), "bus", None, 0)] == ["coach", "motorcoach"]


def test_a_sense_may_be_named(lexicon: str) -> None:
    """Its word means another thing first, which is up to the study; the words added are of the right sense."""
    assert kin(read_lexicon(lexicon), "crane", None, 1) == []
    settings = {"source": "wordnet", "lexicon": lexicon, "senses": {"crane": "t-crane-bird"}}
    assert used(["crane"], **settings) == {"crane": ["crane", "whooping crane"]}
    assert reasons(["crane"], **settings) == {"whooper": "means something else first: a swan"}
    assert refusal(["crane"], **{**settings, "senses": {"crane": "t-heron"}}).startswith("The WordNet has no noun syn")


def test_prompts_of_a_wordnet(lexicon: str) -> None:
    prompts = made(["bus", "mouse"], 4, source="wordnet", lexicon=lexicon, words={"mouse": []}, contexts=CONTEXTS)
    assert {prompt.class_word for prompt in prompts} <= {"bus", "motorcoach", "minibus", "school bus", "mouse"}
    assert "no noun 'lorry'" in refusal(["lorry"], source="wordnet", lexicon=lexicon)


@pytest.mark.parametrize("content", [b"", b"<xml/>", b"\x1f\x8b\x08 gzip", lmf()[:900].encode(), b"\xff" * 500, None])
def test_what_is_no_wordnet(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "wordnet.xml"
    if content is not None:
        path.write_bytes(content)
    message = refusal(["bus"], source="wordnet", lexicon=str(path))
    assert str(path) in message and (content is None) == message.startswith("There is no WordNet")


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_damaged_wordnet(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    content = bytearray(lmf().encode())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path_factory.mktemp("wordnet") / "x.xml"
    path.write_bytes(content)
    try:
        prompts = made(["bus"], 1, source="wordnet", lexicon=str(path))
    except SeediffError as error:
        assert str(error).count("\n") <= 2
        return
    assume(prompts)


def test_without_the_package(lexicon: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read_lexicon.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "wn", None)
    assert 'pip install "seediff[wordnet]"' in refusal(["bus"], source="wordnet", lexicon=lexicon)
