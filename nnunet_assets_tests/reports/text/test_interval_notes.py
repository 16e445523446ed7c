"""What stands beside confidence intervals is true of as many patients as there are."""

import pytest

from nnunet_assets.core.statistics.mean_intervals import bootstrap_of
from nnunet_assets.reports.text.interval_notes import interval_notes, unseen_percent


@pytest.mark.parametrize(("n", "text"), [(6, "39 %"), (10, "26 %"), (30, "9.5 %"), (60, "4.9 %"), (1000, "0.3 %")])
def test_one_set_in_twenty_lacks_a_failure_as_rare_as_it_is_said_to_be(n: int, text: str) -> None:
    assert (1 - unseen_percent(n) / 100) ** n == pytest.approx(0.05)
    assert f"a failure that befalls {text} of all patients." in interval_notes(bootstrap_of("patient", n))[1]
