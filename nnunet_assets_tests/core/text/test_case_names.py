import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnunet_assets.core.text.case_names import case_names
from nnunet_assets.errors import DatasetError


@pytest.mark.parametrize(
    ("original", "name"),
    [
        ("case_1", "case_1"),
        ("sub-01_ses-2", "sub-01_ses-2"),
        ("Müller 1", "Müller_1"),
        ("Mu\u0308ller", "Müller"),  # as macOS writes it
        ("患者 7", "患者_7"),
        ("../../etc/passwd", "etc_passwd"),
        ("-rf", "rf"),
        (".hidden", "hidden"),
        ("a  (copy)", "a_copy"),
        ("a\nb\0c", "a_b_c"),
    ],
)
def test_a_name_keeps_what_is_safe(original: str, name: str) -> None:
    assert case_names([original]) == {original: name}


@pytest.mark.parametrize("originals", [["a b", "a_b"], ["Case1", "case1"], ["M\u00fc", "Mu\u0308"]])
def test_names_that_become_one_are_refused(originals: list[str]) -> None:
    with pytest.raises(DatasetError, match=r"Different cases would get one name: .* and .*\. .*Rename one of each\."):
        case_names(originals)


@pytest.mark.parametrize("original", ["", "///", "x" * 101])
def test_a_name_of_which_nothing_or_too_much_is_left_is_refused(original: str) -> None:
    with pytest.raises(DatasetError, match="No case name of 1 to 100 letters"):
        case_names([original])


@given(st.lists(st.text(max_size=30)))
def test_names_are_safe_and_different_or_refused(originals: list[str]) -> None:
    try:
        names = case_names(originals)
    except DatasetError:
        return
    assert set(names) == set(originals)
    assert len({name.casefold() for name in names.values()}) == len(names)
    for name in names.values():
        assert not set("/\\\0 \n:*?\"'<>|$") & set(name)
        assert not name.startswith((".", "-"))
