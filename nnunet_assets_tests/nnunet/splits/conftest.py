"""A cohort of six cases, with trained folds or from sites."""

from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.splits.case_groups import GroupTable
from nnunet_assets_tests.nnunet.splits.cohort import CASES, LONG, SHORT, Cohort


@pytest.fixture
def cohort(tmp_path: Path) -> Any:
    return Cohort(tmp_path, CASES)


@pytest.fixture
def trained(cohort: Any) -> Any:
    """Six cases in three folds, two of which were trained in one experiment and one in another."""
    cohort.split()
    cohort.train(SHORT, "fold_0", hours=10)
    cohort.train(SHORT, "fold_2", hours=11.5)
    cohort.train(LONG, "fold_1")
    return cohort


@pytest.fixture
def sites(tmp_path: Path) -> Any:
    """A table of which site each of the six cases is from."""
    table = GroupTable(tmp_path / "sites.csv", "case", "site")
    table.path.write_text(
        "case,site\n" + "".join(f"{case},{site}\n" for case, site in zip(CASES, "OOLLLB", strict=True))
    )
    return table
