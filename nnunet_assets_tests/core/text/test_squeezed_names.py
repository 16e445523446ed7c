"""What differs in a long name is seen, wherever it stands."""

from hypothesis import given
from hypothesis import strategies as st

from nnunet_assets.core.text.squeezed_names import squeezed


def test_a_name_that_fits_stays() -> None:
    assert squeezed("x" * 24, 24) == "x" * 24


def test_words_are_shortened_and_numbers_are_not() -> None:
    names = [f"learning_rate_{rate}_weight_decay_1e_4_final" for rate in ("0_01", "0_02")]
    assert [squeezed(name, 24) for name in names] == ["le_r_0_01_w_d_1e_4_f~7ea", "le_r_0_02_w_d_1e_4_f~48b"]


def test_where_first_letters_are_too_many_the_middle_goes() -> None:
    assert squeezed("_".join(["word"] * 20), 24) == "wwwwwwwwwwwwwwwwwwww~317"
    assert squeezed("_".join("123456789"), 12) == "1_2_…8_9~f63"


@given(
    st.lists(
        st.sampled_from(["adam", "sgd", "learning", "rate", "0_01", "0_02", "1e_4", "é"]), min_size=1, max_size=12
    ),
    st.integers(12, 40),
)
def test_it_is_never_longer_than_there_is_room(words: list[str], longest: int) -> None:
    name = "_".join(words)
    shown = squeezed(name, longest)
    assert len(shown) <= longest
    assert shown == name or len(name) > longest


def test_names_that_differ_only_in_the_end_of_a_word_do_not_look_alike() -> None:
    names = [f"{optimizer}_with_long_schedule_and_augmentation" for optimizer in ("adamax", "adamw", "adamod", "adam")]
    assert len({squeezed(name, 24) for name in names}) == len(names)


def test_the_last_of_the_longest_words_is_shortened_first() -> None:
    assert squeezed("abcdef_abcdef_1", 14)[:-4] == "abcd_abc_1"
    assert squeezed("abcdef_abcdef_1", 13)[:-4] == "abc_abc_1"
    assert squeezed("a_b_12345678901234567890", 20) == squeezed("a_b_12345678901234567890", 20)
    assert squeezed("12345678901234567890", 12)[:-4] == "1234…890"
