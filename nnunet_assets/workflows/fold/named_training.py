"""Folds that are named in the words of `train`, trained one or all: as scripts ask for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from nnunet_assets.core.files.layout import Experiment, fold_key
from nnunet_assets.core.fold.fold_request import FoldRequest
from nnunet_assets.core.fold.training_conditions import Change
from nnunet_assets.core.progress import Progress
from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.declarations.named_fold import NamedFold, undeclared_remark
from nnunet_assets.declarations.project import Project
from nnunet_assets.errors import FoldError, first_offenders
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.fold.chosen_engine import chosen_engine
from nnunet_assets.workflows.fold.rerun import rerun_of
from nnunet_assets.workflows.fold.start import n_folds_of, prepared_request, train_from_there
from nnunet_assets.workflows.fold.train import AskedNow, TrainedFold
from nnunet_assets.workflows.results.summarize import MadeSummary, make_summary


@dataclass(frozen=True)
class Training:
    """How folds are trained, whichever they are.

    Attributes:
        settings: Where the project keeps its things.
        project: What it declares.
        asked: What is asked of this training alone.
        destination: Where runs go; None: MLflow gets to know nothing of it.
        progress: Told how far it is.
        continue_training: nnU-Net's `--c`.
    """

    settings: Settings
    project: Project
    asked: AskedNow
    destination: Destination | None
    progress: Progress
    continue_training: bool = False

    def requested(self, config: ExperimentConfig, fold: str) -> FoldRequest:
        """Prepares what a fold needs, and returns what is asked of its process.

        Raises:
            NnunetAssetsError: As `prepared_request`.
        """
        going_on, progress = self.continue_training, self.progress
        return prepared_request(
            self.settings, self.project, config, fold, self.asked, progress=progress, continue_training=going_on
        )

    def trained(self, config: ExperimentConfig, request: FoldRequest) -> TrainedFold:
        """Brings a fold to its COMMIT.

        Raises:
            NnunetAssetsError: As `train_from_there`.
        """
        return train_from_there(
            self.settings,
            request,
            self.destination.declared(config) if self.destination else None,
            self.progress,
            retrain=self.asked.retrain,
            continue_training=self.continue_training,
            engine=chosen_engine(self.settings, config, device=self.asked.device),
        )

    def named(self, named: NamedFold) -> TrainedFold:
        """Trains the fold that is named.

        Raises:
            NnunetAssetsError: As `NamedFold.chosen`, `requested` and `trained`.
        """
        fold, config = named.chosen(self.project, self.settings.roots)
        self._remark(config.identity)
        return self.trained(config, self.requested(config, fold))

    def cross_validated(self, named: NamedFold, folds: Sequence[int] | None) -> "CrossValidated":
        """Trains every fold, one after the other, and summarizes them.

        A fold that cannot be trained does not keep the others from it: they are trained and summarized first.

        Args:
            named: The experiment; which fold it names says nothing.
            folds: Those to train, of all; None: every fold.

        Raises:
            NnunetAssetsError: As `named`; FoldError names each fold that failed.
        """
        _, config = replace(named, fold="0").chosen(self.project, self.settings.roots)
        identity = config.identity
        self._remark(identity)
        expected = self._folds_of(config)
        wanted = expected if folds is None else [fold_key(index) for index in folds]
        trained: dict[str, TrainedFold] = {}
        failed: dict[str, FoldError] = {}
        for n, fold in enumerate(wanted):
            self.progress.say(f"{identity.title}: {fold}, {n + 1} of {len(wanted)}.")
            try:
                trained[fold] = self.trained(config, self.requested(config, fold))
            except FoldError as error:
                failed[fold] = error
                self.progress.warn(f"{fold} is not finished: {error}")
        # The split may have been made, or extended, by the first of them.
        expected = list(dict.fromkeys([*self._folds_of(config), *wanted]))
        made = None
        if trained:
            there = self.destination.declared(config) if self.destination else None
            made = make_summary(self.settings.roots, identity, expected, destination=there)
            self.progress.say(f"{identity.title}: {made.summary.headline()}.")
        if failed:
            raise _failure(identity, failed, made) from next(iter(failed.values()))
        return CrossValidated(identity, trained, made)

    def again(self, run_id: str, named: NamedFold, *, despite_changes: bool) -> "TrainedAgain":
        """Trains the fold of an MLflow run again, with what that run was trained with.

        Raises:
            NnunetAssetsError: As `rerun_of`, `Rerun.check`, `requested` and `trained`.
        """
        rerun = rerun_of(run_id, named, self.settings, self.project)
        training = replace(self, asked=rerun.asked(self.asked))
        request = training.requested(rerun.config, rerun.recalled.fold)
        changes = rerun.changes(self.settings, request)
        self.progress.say("\n".join(rerun.in_words(changes)))
        rerun.check(changes, accepted=despite_changes)
        return TrainedAgain(training.trained(rerun.config, request), tuple(changes))

    def _remark(self, identity: Experiment) -> None:
        if remark := undeclared_remark(identity, self.project):
            self.progress.say(remark)

    def _folds_of(self, config: ExperimentConfig) -> list[str]:
        if config.identity in {one.identity for one in self.project.experiments}:
            return self.project.folds_of(config)
        return [fold_key(index) for index in range(n_folds_of(self.settings, self.project, config.dataset))]


@dataclass(frozen=True)
class CrossValidated:
    """Folds of one experiment that were trained, or were finished already.

    Attributes:
        experiment: Which one.
        folds: Fold to what came of it, in the order of training.
        made: What they come to; None: nothing was trained.
    """

    experiment: Experiment
    folds: Mapping[str, TrainedFold]
    made: MadeSummary | None


@dataclass(frozen=True)
class TrainedAgain:
    """A fold that was trained as an MLflow run says.

    Attributes:
        trained: What came of it.
        changes: What was not what it was when the run was made.
    """

    trained: TrainedFold
    changes: tuple[Change, ...]


def _failure(identity: Experiment, failed: Mapping[str, FoldError], made: MadeSummary | None) -> FoldError:
    others = f" The others are summarized: {made.summary.headline()}." if made else ""
    reasons = "\n".join(f"{fold}: {error}" for fold, error in failed.items())
    return FoldError(
        f"{identity.title}: {first_offenders(list(failed), len(failed))} did not finish.{others} Asked again, it goes "
        f"on with these alone.\n{reasons}"
    )
