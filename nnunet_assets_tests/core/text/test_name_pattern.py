import re
import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnunet_assets.core.text.name_pattern import Anything, Piece, Text, Word, match
from nnunet_assets.errors import ConfigError


def as_regex(pieces: Sequence[Piece]) -> str:
    """Returns the regular expression that says the same."""
    parts, seen = [], set()
    for piece in pieces:
        if isinstance(piece, Text):
            parts.append(re.escape(piece.text))
        elif isinstance(piece, Anything):
            parts.append(".*")
        elif piece.name in seen:
            parts.append(f"(?P={piece.name})")
        else:
            seen.add(piece.name)
            any_text = f"[^{piece.without}]+" if piece.without else ".+"
            choices = None if piece.choices is None else "|".join([r"\d+", *map(re.escape, piece.choices)])
            parts.append(f"(?P<{piece.name}>{choices or any_text})")
    return "".join(parts)


words = st.sampled_from(
    [Word("case"), Word("session"), Word("channel", without="_"), Word("channel", ("ab", "a", "1b")), Word("x", ())]
)
texts = st.text("ab_1", min_size=1, max_size=2).map(Text)
pieces_of = st.lists(texts | st.just(Anything()) | words, max_size=7).filter(
    lambda pieces: len({piece for piece in pieces if isinstance(piece, Word) and piece.name == "channel"}) < 2
)


@settings(max_examples=300, deadline=None)
@given(pieces_of, st.text("ab_1\n²٣", max_size=10))
def test_a_name_is_divided_as_a_regular_expression_divides_it(pieces: Any, name: Any) -> None:
    expected = re.fullmatch(as_regex(pieces), name, re.DOTALL)
    assert match(pieces, name) == (expected and expected.groupdict())


@pytest.mark.parametrize(
    ("pieces", "name"),
    [
        ([*(30 * [Anything(), Text("a")]), Text("b")], 255 * "a"),
        ([*(30 * [Anything(), Text("a")]), Text("b")], 254 * "a" + "c"),
        ([*(120 * [Anything(), Text("a")]), Text("b")], 255 * "a"),
        ([*(20 * [Anything(), Text("_")]), Word("case"), Text("x")], 255 * "_"),
        ([*[Word(f"w{i}") for i in range(25)], Text("x")], 255 * "a"),
        ([*[Word(f"w{i}", without="_") for i in range(25)], Text("x")], 255 * "a"),
        ([*(25 * [Anything(), Word("case", ("a", "aa", "aaa"))]), Text("x")], 255 * "a"),
        ([Word("case"), *(10 * [Anything(), Text("a")]), Word("case"), Text("x")], 255 * "a"),
    ],
)
def test_no_pattern_with_many_stars_takes_long(pieces: list[Any], name: Any) -> None:
    began = time.process_time()
    assert match(pieces, name) is None
    assert time.process_time() - began < 0.2  # without an end, as a regular expression


def test_a_long_name_is_divided_among_thirty_stars_at_once() -> None:
    began = time.process_time()
    assert match([*(30 * (Anything(), Text("a"))), Word("case"), Text(".nii")], 250 * "a" + "b.nii") == {"case": "b"}
    assert time.process_time() - began < 0.2


def test_words_that_come_twice_are_found_in_a_name_as_long_as_names_can_be() -> None:
    pieces = (Anything(), Word("case"), Text("_"), Word("case"), Anything())
    assert match(pieces, 100 * "ab" + "_" + "b" + 50 * "x") == {"case": "b"}


def test_more_ways_than_can_be_tried_are_an_error_and_no_wait() -> None:
    pieces = [piece for name in "abcdef" for piece in (Word(name), Anything(), Word(name), Anything())] + [Text("x")]
    began = time.process_time()
    with pytest.raises(ConfigError, match="can be divided in too many ways among the words that come twice"):
        match([*pieces, Word("g"), Text("-"), Word("g")], 100 * "ab" + "xp-q")
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("name", "text"), [("x_ab", "ab"), ("x_a", "a"), ("x_12", "12"), ("x_1b", "1b"), ("x_", None), ("x_abb", None)]
)
def test_a_word_of_certain_texts_is_a_number_or_one_of_them_wherever_it_begins(name: str, text: str | None) -> None:
    found = match([Text("x_"), Word("channel", ("ab", "a", "1b"))], name)
    assert found == (None if text is None else {"channel": text})
