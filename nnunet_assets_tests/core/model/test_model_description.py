"""What a description says of its members."""

from nnunet_assets_tests.core.model.descriptions import CASCADE, ENSEMBLE, SINGLE


def test_the_first_of_those_that_are_averaged_stands_for_all() -> None:
    for description in (SINGLE, CASCADE, ENSEMBLE):
        assert description.first is description.members[0]
