import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from nnunet_assets.core.text.distinct_names import cut_in_the_middle, told_apart

PARTS = st.sampled_from(
    ["nnUNet", "Trainer", "Plans", "ResEncUNet", "M", "L", "_", "__", "3d_fullres", "2d", "seed", "1", "…", "é"]
)
NAMES = st.lists(PARTS, min_size=1, max_size=12).map("".join)


@pytest.mark.parametrize(
    ("names", "longest", "shown"),
    [
        (["2d", "3d_fullres"], 24, ["2d", "3d_fullres"]),
        (["a_name_that_is_too_long_by_far"], 12, ["a_name…y_far"]),
        (
            ["nnUNetResEncUNetMPlans 3d_fullres", "nnUNetResEncUNetLPlans 3d_fullres"],
            20,
            ["…sEncUNetMPlans 3d_…", "…sEncUNetLPlans 3d_…"],
        ),
        (["long_training_seed_1", "long_training_seed_2"], 12, ["long_t…eed_1", "long_t…eed_2"]),
        (["x" * 40, "x" * 41], 10, ["xxxxxxxx…1", "xxxxxxxx…2"]),
        (["same", "same"], 10, ["same", "same"]),
        # At least eight characters, so that eight stay whole.
        (["12345678", "123456789"], 1, ["12345678", "1234…789"]),
        # They differ at their beginning, in their middle, at their end.
        (["A123456789Z", "B123456789Z"], 8, ["A123…89Z", "B123…89Z"]),
        (["AAAA12345678ZZZZ", "AAAA12345679ZZZZ"], 8, ["…678ZZZZ", "…679ZZZZ"]),
        (["ab12345678ZZZZ", "ab12345679ZZZZ"], 9, ["…5678ZZZZ", "…5679ZZZZ"]),
        (["xxxxAyyyyyyyyyyyyyyyy", "xxxxByyyyyyyyyyyyyyyy"], 10, ["xxxxA…yyyy", "xxxxB…yyyy"]),
        (["xxxxxxAyyyyyyyyyyyyyyyy", "xxxxxxByyyyyyyyyyyyyyyy"], 10, ["…xxxAyyyy…", "…xxxByyyy…"]),
        (["xxxxxxxxxxxxxxAyyyyyyyy", "xxxxxxxxxxxxxxByyyyyyyy"], 10, ["…xxxAyyyy…", "…xxxByyyy…"]),
        (["xxxxxxxxxxxxxxxxAyyyyyy", "xxxxxxxxxxxxxxxxByyyyyy"], 10, ["…xxxAyyyy…", "…xxxByyyy…"]),
        (["xxxxxxxxxxxxxxxxxxxAyyyyy", "xxxxxxxxxxxxxxxxxxxByyyyy"], 10, ["…xxxAyyyyy", "…xxxByyyyy"]),
        # One of them fits, and reads like the other one cut.
        (["xxxxx…yyyyy", "xxxxxzyyyyyzyyyyy"], 11, ["xxxxx…yyyyy", "…xzyyyyyzy…"]),
        (["x" * 40, "x" * 41, "x" * 42], 10, ["xxxxxxxx…1", "xxxxxxxx…2", "xxxxxxxx…3"]),
    ],
)
def test_what_differs_is_seen(names: list[str], longest: int, shown: list[str]) -> None:
    assert told_apart(names, longest) == shown


@hypothesis_settings(database=None, deadline=None)
@given(st.lists(NAMES | st.text(max_size=60), max_size=12), st.integers(8, 120))
@example(["a" * 30, "a" * 31, f"{'a' * 7}…1"], 9)
@example(["xxxxx…xxxxx", "xxxxxyyyyyyxxxxx"], 11)
def test_different_names_stay_different_and_fit(names: list[str], longest: int) -> None:
    shown = told_apart(names, longest)

    assert [names.index(name) for name in names] == [shown.index(text) for text in shown]
    assert all(len(text) <= longest for text in shown)
    assert all(text == name for text, name in zip(shown, names, strict=True) if len(name) <= longest)


@pytest.mark.parametrize(
    ("longest", "shown"), [(10, "0123456789"), (9, "0123…6789"), (8, "0123…789"), (5, "01…89"), (4, "01…9"), (3, "0…9")]
)
def test_a_name_is_cut_in_its_middle(longest: int, shown: str) -> None:
    assert cut_in_the_middle("0123456789", longest) == shown
