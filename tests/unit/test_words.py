"""Where a text has a word, and where a template puts it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seediff.errors import SeediffError
from seediff.prompts.words import fill, find_word, place_word, split_words

KOT = "\u043a\u043e\u0442"  # Russian
QITTA = "\u0642\u0650\u0637\u0651\u0629"  # Arabic, with vowel marks
MAO, XIONG = "\u732b", "\u718a"  # Chinese: cat, bear; a panda is a 'bear-cat'
NEKO, MAEO, NAM = "\u30cd\u30b3", "\u0e41\u0e21\u0e27", "\u0928\u092e"  # Japanese, Thai, Hindi


def found(text: str, word: str, *starts: int) -> list[str]:
    """The letters of the word at each of its places."""
    return ["".join(text[slice(*part)] for part in place) for place in place_word(text, word, starts)]


@pytest.mark.parametrize(
    ("text", "word", "places"),
    [
        ("a table lamp on a table", "table", ["table", "table"]),
        ("a table lamp on a table", "Table Lamp", ["tablelamp"]),
        ("cats and a cat's CAT", "cat", ["cat", "CAT"]),
        ("a T shirt", "t-shirt", ["Tshirt"]),
        ("cat cat cat", "cat cat", ["catcat", "catcat"]),
        ("5 and 52 and 5", "5", ["5", "5"]),
        ("a b52 plane", "B52", ["b52"]),
        ("an area of 1 m\u00b2", "m\u00b2", ["m\u00b2"]),
        ("caf\u00e9 and cafe\u0301", "cafe\u0301", ["caf\u00e9", "cafe\u0301"]),
        (f"{KOT}, {KOT}\u044b, {KOT.upper()}", KOT, [KOT, KOT.upper()]),
        (f"a {QITTA}, {QITTA}\u064c", QITTA, [QITTA]),
        (f"\u4e00\u53ea{MAO}\u5728\u8349\u5730\u4e0a", MAO, [MAO]),
        (f"{XIONG}{MAO}, {XIONG}\u3001{MAO}", XIONG + MAO, [XIONG + MAO]),
        ("\u4e00\u4ef6T\u6064", "T\u6064", ["T\u6064"]),
        (f"{NEKO}\u30d0\u30b9\u3068{NEKO}", NEKO, [NEKO]),
        (f"\u0e20\u0e32\u0e1e{MAEO}", MAEO, [MAEO]),
        (f"{NAM}\u0938\u094d\u0924\u0947 {NAM}", NAM, [NAM]),
        ("a \u2764\ufe0f cat", "a cat", ["acat"]),
    ],
)  # fmt: skip
def test_a_word_is_found_at_every_place_whole(text: str, word: str, places: list[str]) -> None:
    assert found(text, word) == places


@pytest.mark.parametrize("word", ["dog", "at", "ca", "cat cat", "5", "", "?!", MAO])
def test_a_word_that_a_prompt_lacks_is_an_error(word: str) -> None:
    assert find_word("a category, 52 cats and a cat", word) == []
    with pytest.raises(SeediffError, match="is not in the prompt 'a category, 52 cats and a cat'"):
        place_word("a category, 52 cats and a cat", word)


def test_a_name_is_one_word_whatever_characters_it_has() -> None:
    text = "a <cat-toy> with a cat, a toy, <CAT-TOY>s and a *"
    names = [(2, 11), (31, 40), (48, 49)]
    assert find_word(text, "<cat-toy>", names) == [((2, 11),), ((31, 40),)]
    assert find_word(text, "a *", names) == [((46, 47), (48, 49))]
    assert find_word(text, "cat", names) == [((19, 22),)] and find_word(text, "toy", names) == [((26, 29),)]
    assert find_word(text, "cat-toy", names) == []
    assert find_word("tasks and sks", "sks", [(2, 5), (10, 13)]) == [((10, 13),)]


def test_a_place_that_is_told_need_not_be_a_whole_word() -> None:
    assert found("Cats and a cat", "cat", 0) == ["Cat"]
    assert found("a table lamp on a table", "table", 18) == ["table"]
    assert found("a <cat-toy>", "cat-toy", 3) == ["cattoy"]


@pytest.mark.parametrize("start", [0, 3, 17, 19, 23, 99, -5])
def test_a_place_where_the_word_is_not_is_an_error_that_says_where_it_is(start: int) -> None:
    with pytest.raises(SeediffError, match=rf"at character {start} of (.|\n)*it begins at: 2, 18\."):
        place_word("a table lamp on a table", "table", [18, start])


@pytest.mark.parametrize("word", ["\U0001f431", "?!", " "])
def test_a_word_without_letters_is_said_to_be_none(word: str) -> None:
    with pytest.raises(SeediffError, match="letters and digits, and it has none"):
        place_word(f"a {word} on sand", word)


def test_one_place_without_letters_is_none() -> None:
    with pytest.raises(SeediffError, match="'!' is not in the prompt"):
        place_word("a cat!", "!", [5])


@given(
    st.lists(st.text(max_size=5).filter(lambda part: "{word}" not in part), min_size=2, max_size=4), st.text(max_size=4)
)
def test_a_template_knows_the_place_of_its_word(parts: list[str], word: str) -> None:
    template = "{word}".join(parts)
    filled = fill(template, word)
    assert filled.text == word.join(template.split("{word}")) and filled.word == word
    before = [word.join(template.split("{word}")[:number]) for number in range(1, template.count("{word}") + 1)]
    assert filled.starts == tuple(map(len, before))


@given(st.text(), st.text())
def test_what_is_found_is_what_was_wanted(text: str, word: str) -> None:
    for place in find_word(text, word):
        assert split_words(text[place[0][0] : place[-1][1]]) == split_words(word)


@given(
    st.lists(st.sampled_from(["cat", "caf\u00e9", KOT, QITTA, MAO, "m\u00b2", "52"])),
    st.sampled_from([" ", ", ", " - "]),
)
def test_every_word_of_a_text_is_found_as_often_as_it_is_there(words: list[str], between: str) -> None:
    for word in words:
        assert len(find_word(between.join(words), word)) == words.count(word)
