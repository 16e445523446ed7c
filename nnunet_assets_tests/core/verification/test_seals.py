"""The line by which an export is traced back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnunet_assets.core.verification.seals import Seal, Sealing, seals_in, source_in

A, B = "a" * 64, "b" * 64
SEAL = Seal("cv_table.tex", "Dataset001_Tiny/short/nnUNetTrainer__nnUNetPlans__2d", A, B, "0.2.0")


def test_it_is_read_back_from_among_anything() -> None:
    assert seals_in(f"% {SEAL.text()}\n\\begin{{table}} nnunet_assets: export=torn of=\n") == [SEAL]


def test_several_are_read_in_their_order() -> None:
    other = Seal("comparison_table.tex", "Dataset001_Tiny", B, A, "0.2.0+local")
    assert seals_in(f"{SEAL.text()}\n{other.text()}") == [SEAL, other]


@given(st.integers(0, len(SEAL.text()) - 1))
def test_a_torn_one_is_none_or_shorter_in_its_version(length: int) -> None:
    assert all(found.source == A and SEAL.version.startswith(found.version) for found in seals_in(SEAL.text()[:length]))


def test_a_sealing_knows_all_but_the_content() -> None:
    sealing = Sealing(SEAL.of, A, SEAL.version)
    assert sealing.seal("cv_table.tex", B) == SEAL
    assert source_in(sealing.made_from) == A


@pytest.mark.parametrize("cell", ["", A, f"sha256:{A[:-1]}", f"md5:{A}"])
def test_any_other_cell_names_no_source(cell: str) -> None:
    assert source_in(cell) is None
