"""The classes of what assets come to, for annotations: `def mine(cv_summary: CVSummary)` gets the value.

`CVSummary` and `FoldResult` are those of `nnunet_assets`. Dagster's type of each asset says which is its own;
`docs/dagster.md` has an example.
"""

from nnunet_assets.core.comparison.comparison import Comparison
from nnunet_assets.core.fold.commit import FinishedFold
from nnunet_assets.core.search.report import SearchReport
from nnunet_assets.core.selection.best_configuration import BestConfiguration
from nnunet_assets.core.summary.cross_validation import CVSummary, FoldResult
from nnunet_assets.nnunet.plans.plans import Plans
from nnunet_assets.nnunet.raw.raw_record import RawRecord
from nnunet_assets.tracking.registry.versions import RegisteredVersion
from nnunet_assets.workflows.values.evaluation_values import CaseEvaluation, TestPredictions

__all__ = [
    "BestConfiguration",
    "CVSummary",
    "CaseEvaluation",
    "Comparison",
    "FinishedFold",
    "FoldResult",
    "Plans",
    "RawRecord",
    "RegisteredVersion",
    "SearchReport",
    "TestPredictions",
]
