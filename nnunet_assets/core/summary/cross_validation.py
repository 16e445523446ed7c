"""A cross-validation as scripts and assets of users know it: folds by number, and a fold's last values.

`CVSummary` and `FoldResult` have the names, fields and meaning of nnunet-tracker's, and may be built by hand as its own
were; the assets load as them, too. What a record of this package says beside them, the scores of each case among it, is
in `scores`.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from nnunet_assets.core.files.data_frames import data_frame
from nnunet_assets.core.files.layout import FULL_FOLD, Experiment, fold_index
from nnunet_assets.core.fold.fold_result import ScoredFold
from nnunet_assets.core.statistics.estimate import mean_of_defined
from nnunet_assets.core.summary.aggregate_metrics import CLASS
from nnunet_assets.core.summary.cv_groups import group_name
from nnunet_assets.core.summary.fold_means import FoldMeans, FoldMeansSummary
from nnunet_assets.core.summary.label_summary import LabelSummary
from nnunet_assets.core.summary.scored_summary import CaseDice, ScoredSummary
from nnunet_assets.core.summary.summary_rows import Row, fold_rows
from nnunet_assets.core.validation.case_results import CaseResult
from nnunet_assets.errors import SummaryError

if TYPE_CHECKING:
    from nnunet_assets.core.files.data_frames import DataFrame

ClassIndex = int | str
"""nnunet-tracker's numbers of foreground classes, from 0; of this package's own runs the names of labels."""


@dataclass(frozen=True)
class FoldResult:
    """What a finished fold came to.

    Attributes:
        fold: Its number.
        run_id: MLflow's; empty: nobody tracked it, or that is not known here.
        status: MLflow's word, such as `FINISHED`.
        dice_per_class: Of this package's own runs the Dice of whole validation cases, by label name. Of
            nnunet-tracker's the pseudo Dice of the last epoch, by nnU-Net's foreground class, counted from 0: the Dice
            of its validation is in `scores`.
        val_loss: nnU-Net's validation loss of the last epoch; None: not known, or undefined.
        ema_fg_dice: nnU-Net's moving average of the pseudo Dice, under its own name: no result; None likewise.
        scores: All that the record says of the fold; None: it was built by hand.
    """

    fold: int
    run_id: str
    status: str
    dice_per_class: Mapping[ClassIndex, float] = field(default_factory=dict)
    val_loss: float | None = None
    ema_fg_dice: float | None = None
    scores: ScoredFold | FoldMeans | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, scores: ScoredFold | FoldMeans) -> "FoldResult":
        """Returns what a record of this package says of a fold in these words.

        Raises:
            SummaryError: It is of the model of every case, which has no validation cases of its own.
        """
        if scores.fold == FULL_FOLD:
            raise SummaryError(f"{FULL_FOLD} was validated on the cases that it was trained on: that is no result.")
        training, dices = scores.training, _dice_per_class(scores)
        ended = (training.run_id or "", training.status, dices, training.val_loss, training.pseudo_dice_ema)
        return cls(_number(scores.fold), *ended, scores)

    @property
    def cases(self) -> tuple[CaseResult, ...]:
        """The scores by case.

        Raises:
            SummaryError: The record has none.
        """
        return self._by_case("scores by case are").cases

    @property
    def n_epochs(self) -> int:
        """How many epochs were trained.

        Raises:
            SummaryError: The record does not say.
        """
        return self._by_case("number of epochs is").n_epochs

    def _by_case(self, what: str) -> ScoredFold:
        if not isinstance(self.scores, ScoredFold):
            raise SummaryError(f"Of fold {self.fold} no {what} known: its record has means alone.")
        return self.scores


@dataclass(frozen=True)
class CVSummary:
    """What the finished folds of a cross-validation say together.

    Attributes:
        cv_group: Which one, as `nnunet-assets list` names it.
        experiment_name: The MLflow experiment: the dataset's name, unless another was chosen.
        fold_results: The finished folds by number.
        expected_folds: The numbers of all folds of a complete one.
        scores: All that the record says; None: it was built by hand.
    """

    cv_group: str
    experiment_name: str
    fold_results: Mapping[int, FoldResult] = field(default_factory=dict)
    expected_folds: tuple[int, ...] = (0, 1, 2, 3, 4)
    scores: ScoredSummary | FoldMeansSummary | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(
        cls,
        scores: ScoredSummary | FoldMeansSummary,
        *,
        cv_group: str | None = None,
        experiment_name: str | None = None,
    ) -> "CVSummary":
        """Returns a summary of this package in these words.

        Args:
            scores: The summary.
            cv_group: None: as `list` names its experiment.
            experiment_name: None: the dataset's name.
        """
        experiment = scores.experiment
        group = cv_group if cv_group is not None else group_name(experiment) if experiment else ""
        name = experiment_name if experiment_name is not None else experiment.dataset if experiment else ""
        folds = [FoldResult.of(fold) for fold in scores.folds]
        expected = tuple(_number(fold) for fold in scores.expected_folds)
        return cls(group, name, {fold.fold: fold for fold in folds}, expected, scores)

    @property
    def completed_folds(self) -> list[int]:
        """The numbers of the finished folds, in order."""
        return sorted(self.fold_results)

    @property
    def missing_folds(self) -> list[int]:
        """The numbers of the expected folds that are not finished, in order."""
        return sorted(set(self.expected_folds) - set(self.fold_results))

    @property
    def is_complete(self) -> bool:
        """Whether every expected fold is finished."""
        return not self.missing_folds

    @property
    def all_class_indices(self) -> list[Any]:
        """What any fold's `dice_per_class` has: numbers of nnunet-tracker's runs in order, else label names."""
        found = dict.fromkeys(index for fold in self.fold_results.values() for index in fold.dice_per_class)
        return sorted(found, key=int) if all(isinstance(index, int) for index in found) else list(found)

    @property
    def experiment(self) -> Experiment | None:
        """What was cross-validated; None: its runs do not say it."""
        return self.scores.experiment if self.scores else None

    @property
    def folds(self) -> tuple[FoldResult, ...]:
        """The finished folds, in order."""
        return tuple(self.fold_results[index] for index in self.completed_folds)

    @property
    def labels(self) -> Mapping[str, LabelSummary]:
        """By label name, Dice and IoU pooled over the cases and over folds.

        Raises:
            SummaryError: The record has no scores by case.
        """
        return self._by_case().labels

    @property
    def foreground(self) -> LabelSummary:
        """The same of the foreground.

        Raises:
            SummaryError: As `labels`.
        """
        return self._by_case().foreground

    def ranked_cases(self, label_name: str | None = None) -> list[CaseDice]:
        """Returns the cases, that of the lowest Dice first; those without a defined one are not among them.

        Args:
            label_name: None: by the mean over the labels that are defined in the case.

        Raises:
            SummaryError: As `labels`.
        """
        return self._by_case().ranked_cases(label_name)

    @property
    def is_pseudo(self) -> bool:
        """Whether its Dice is nnU-Net's estimate on random patches, which is no result."""
        return self.scores.is_pseudo if isinstance(self.scores, FoldMeansSummary) else self.scores is None

    def headline(self) -> str:
        """Returns the result in one line."""
        if self.scores:
            return self.scores.headline()
        return f"{len(self.completed_folds)} of {len(self.expected_folds)} folds"

    def compute_aggregate_metrics(self) -> dict[str, float]:
        """Returns mean and SD over folds, what is undefined left out.

        `cv_mean_fg_dice`, `cv_std_fg_dice`, `cv_mean_dice_class_LABEL`, `cv_mean_val_loss`, `cv_mean_ema_fg_dice` ...
        Of runs of nnunet-tracker `cv_mean_dice_class_1` would mean two things: it raises, and names both. Of a summary
        that was built by hand the keys are nnunet-tracker's.
        """
        if self.scores:
            return self.scores.compute_aggregate_metrics()
        folds = self.folds
        named: dict[str, Sequence[float | None]] = {
            "val_loss": [fold.val_loss for fold in folds],
            "ema_fg_dice": [fold.ema_fg_dice for fold in folds],
            **{
                f"dice_class_{index}": [fold.dice_per_class.get(index) for fold in folds]
                for index in self.all_class_indices
            },
        }
        found: dict[str, float] = {}
        for name, values in named.items():
            defined = [value for value in values if value is not None]
            if defined:
                found[f"cv_mean_{name}"] = statistics.mean(defined)
            if len(defined) > 1:
                found[f"cv_std_{name}"] = statistics.stdev(defined)
        return found

    def to_dataframe(self, by: Literal["fold", "label", "case"] = "fold") -> "DataFrame":
        """Returns it as a pandas DataFrame, NaN where undefined.

        Args:
            by: A row a fold with its last values and its Dice; a row a label and score with the estimates; or a row a
                case and label.

        Raises:
            SummaryError: The record has no scores by case, and these were asked for; or it was built by hand, and has
                rows by fold alone.
        """
        if by == "fold":
            return data_frame(
                fold_rows(self.scores, self.scores.fold_means()) if self.scores else self.last_values_by_fold()
            )
        if self.scores is None:
            raise SummaryError(f"A summary that was built by hand has no rows by {by}; it has rows by fold.")
        return self.scores.to_dataframe(by)

    def last_values_by_fold(self) -> list[Row]:
        """Returns one row a finished fold, of what nnunet-tracker has of it: its last values and its run."""
        return [
            {
                "fold": fold.fold,
                "status": fold.status,
                "val_loss": fold.val_loss,
                "ema_fg_dice": fold.ema_fg_dice,
                **{f"dice_class_{index}": fold.dice_per_class.get(index) for index in self.all_class_indices},
                "run_id": fold.run_id,
            }
            for fold in self.folds
        ]

    def to_json(self) -> dict[str, Any]:
        """Returns all that the record says as JSON values; what is undefined is null.

        Raises:
            SummaryError: It was built by hand.
        """
        if self.scores is None:
            raise SummaryError("A summary that was built by hand has no scores to be written.")
        return self.scores.to_json()

    def _by_case(self) -> ScoredSummary:
        if not isinstance(self.scores, ScoredSummary):
            reason = self.scores.reason if self.scores else "It was built by hand."
            raise SummaryError(f"Of {self.cv_group} no scores by case are known. {reason}")
        return self.scores


def _dice_per_class(fold: ScoredFold | FoldMeans) -> dict[ClassIndex, float]:
    if isinstance(fold, ScoredFold):
        dices = {name: mean_of_defined([case.scores[name].dice for case in fold.cases]) for name in fold.label_names}
    elif fold.inputs is None:
        # nnunet-tracker's own number of a class.
        of_classes = fold.means["pseudo_dice"].labels if "pseudo_dice" in fold.means else {}
        numbers = {int(name.removeprefix(CLASS)): value for name, value in of_classes.items()}
        return {number: value for number, value in numbers.items() if value is not None}
    else:
        dices = dict(fold.means["dice"].labels)
    return {name: value for name, value in dices.items() if value is not None}


def _number(fold: str) -> int:
    return int(fold_index(fold))
