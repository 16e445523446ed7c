from nnunet_assets.core.dataset.curation import Curation


def test_two_curations_add_up_and_the_first_counts_where_they_differ() -> None:
    declared = Curation({"a": "declared", "b": "declared"}, repair_headers_mm=None)
    found = Curation({"b": "found", "c": "found"}, repair_headers_mm=0.1)
    assert declared.over(found) == Curation({"a": "declared", "b": "declared", "c": "found"}, 0.1)
    assert Curation({}, 0.5).over(found).repair_headers_mm == 0.5
