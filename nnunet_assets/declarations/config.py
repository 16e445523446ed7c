"""What a researcher may declare in YAML: a dataset, and a cross-validation experiment on it.

Plain pydantic, without Dagster, so that `nnunet-assets check-config` and the asset graph read the same models.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from nnunet_assets.core.dataset.curation import Curation
from nnunet_assets.core.dataset.plan_sizes import PlanSizes
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.layout import DEFAULT_PLANS, DEFAULT_TRAINER, MAX_NAME_LENGTH, Experiment
from nnunet_assets.core.fold.continued_fold import CONTINUES, DEFAULT_VARIANT
from nnunet_assets.core.splits.splits import MAX_FOLDS, SplitSettings
from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets.core.training.training_rules import contradictions
from nnunet_assets.core.training.watch import Watch
from nnunet_assets.declarations.fields import (
    Configuration,
    DatasetName,
    Declaration,
    Device,
    Owners,
    PlansName,
    TrainerName,
)
from nnunet_assets.declarations.sections.engine_config import EngineConfig
from nnunet_assets.declarations.sections.found_ensembles_config import FoundEnsemblesConfig
from nnunet_assets.declarations.sections.registered import RegisteredDeclaration
from nnunet_assets.declarations.sections.splits_config import SplitsConfig
from nnunet_assets.declarations.sections.tracking_config import TrackingConfig
from nnunet_assets.declarations.sections.tunable_trainers import problem_with_choices
from nnunet_assets.declarations.sections.variant_config import VariantConfig
from nnunet_assets.declarations.sections.watch_config import WatchConfig


def _each_once(folds: list[int]) -> list[int]:
    if not folds:
        raise ValueError("the list is empty; leave it out for every fold of the dataset, or name at least one")
    repeated = sorted({fold for fold in folds if folds.count(fold) > 1})
    if repeated:
        raise ValueError(f"fold {repeated[0]} is listed more than once")
    return folds


def _absolute(folder: str) -> str:
    if not Path(folder).is_absolute():
        raise ValueError(f"{folder!r} is not an absolute path")
    return folder


class PhantomConfig(Declaration):
    """A generated dataset that looks like a small MRI cohort, for the demo and for trying things out."""

    cases: Annotated[int, Field(ge=5, le=1000)] = 20
    """How many cases to generate."""
    seed: Annotated[int, Field(ge=0)] = 0
    """The same seed gives the same voxels."""


class DatasetConfig(RegisteredDeclaration):
    """A raw dataset in nnUNet_raw and how it is split into folds."""

    dataset: DatasetName
    folds: Annotated[int, Field(ge=1, le=MAX_FOLDS)] = 5
    """How many folds the cross-validation has. nnU-Net's own is 5; 1 is a hold-out, by a split of your own."""
    splits: SplitsConfig | None = None
    """How the cases are split. Absent: as nnU-Net does, into the very same file."""
    nsd_tolerance_mm: dict[str, Annotated[float, Field(gt=0)]] = {}
    """Label name to the distance in mm up to which surfaces count as one (NSD). A label left out: 2 mm."""
    lesion_labels: list[str] = []
    """Labels whose connected components are counted as lesions, found and missed."""
    phantom: PhantomConfig | None = None
    """Generate this dataset where it does not exist yet. Absent: the dataset is the user's own."""
    quarantine: dict[str, Annotated[str, Field(min_length=1)]] = {}
    """Cases to leave out, each with the reason in a sentence. The files stay where and as they are."""
    repair_headers_mm: Annotated[float, Field(gt=0, le=10_000)] | None = None
    """Give files that lie at most so many mm apart the header of their case's first image, in a copy. Absent: none."""
    files_from: list[Annotated[str, AfterValidator(_absolute)]] = []
    """Folders outside of nnUNet_raw in which files that dataset.json lists under `dataset` may lie; absolute."""
    verify_integrity: bool = True
    """Run nnU-Net's own integrity check too, before planning. It always runs for formats other than NIfTI."""
    found_ensembles: FoundEnsemblesConfig | None = None
    """Ensembles that nobody declares, which the best configuration is chosen from too. Absent: of every two."""
    owners: Owners = []
    """Who answers for the data: e-mail addresses or team:NAME."""

    @property
    def curation(self) -> Curation:
        """What of the raw data is left out or repaired."""
        return Curation(self.quarantine, self.repair_headers_mm, tuple(self.files_from))

    @property
    def ensembles_to_find(self) -> FoundEnsemblesConfig:
        """Which ensembles are found."""
        return self.found_ensembles or FoundEnsemblesConfig()

    @model_validator(mode="after")
    def _a_case_for_each_fold(self) -> "DatasetConfig":
        if self.phantom and self.phantom.cases < self.folds:
            raise ValueError(
                f"{self.phantom.cases} phantom cases do not fill {self.folds} folds; generate more of them"
            )
        return self

    def split_settings(self, project: Path) -> SplitSettings:
        """Returns how the cases are to be split.

        Args:
            project: The project's folder, where relative paths of files begin.
        """
        splits = self.splits or SplitsConfig()
        return SplitSettings(
            n_folds=self.folds,
            seed=splits.seed,
            groups=splits.groups.source(project) if splits.groups else None,
            stratify=splits.stratify,
            leave_one_group_out=splits.leave_one_group_out,
            file=project / splits.file if splits.file else None,
        )


class ExperimentConfig(RegisteredDeclaration):
    """One cross-validation: a dataset trained with a configuration, plans and trainer, over its folds."""

    dataset: DatasetName
    configuration: Configuration
    """nnU-Net's 2d, 3d_fullres, 3d_lowres, 3d_cascade_fullres, or one that was added to the plans: 3d_fullres_bs8."""
    plans: PlansName = DEFAULT_PLANS
    """Plans identifier."""
    trainer: TrainerName = DEFAULT_TRAINER
    """Name of the trainer class."""
    folds: Annotated[list[Annotated[int, Field(ge=0)]], AfterValidator(_each_once)] | None = None
    """The folds to train, such as [0, 1]. Absent: every fold of the dataset."""
    full_model: bool = False
    """Also a model trained on every case (nnU-Net's fold `all`), which has no validation."""
    test_set: bool = False
    """Also predict imagesTs with all folds together, and evaluate that where labelsTs has references."""
    register_full_model: bool = False
    """Register the model of every case (`full_model`) in place of the folds together."""
    variant: VariantConfig | None = None
    """Named overrides of hyperparameters. Absent: the trainer's own."""
    device: Device = "auto"
    """Where to train. auto: a GPU where there is one, else the CPU."""
    num_gpus: Annotated[int, Field(ge=1)] = TrainingOptions.num_gpus
    """GPUs that one fold trains on together; more than one needs CUDA, and as many patches in a batch."""
    npz: bool = TrainingOptions.npz
    """Keep the class probabilities of the validation cases, which nnU-Net's ensembling reads."""
    disable_checkpointing: bool = TrainingOptions.disable_checkpointing
    """Write no checkpoint at all, to try things out: such a fold cannot be resumed, nor used to predict."""
    checkpoint_minutes: Annotated[float, Field(gt=0)] = TrainingOptions.checkpoint_minutes
    """At most so many minutes of training can be lost, or one epoch where that is longer."""
    checkpoint_every: Annotated[int, Field(ge=1)] | None = TrainingOptions.checkpoint_every
    """Write a checkpoint that stays every so many epochs, such as checkpoint_epoch_0050.pth. Absent: none."""
    checkpoints_kept: Annotated[int, Field(ge=1)] = TrainingOptions.checkpoints_kept
    """How many of those stay, the newest."""
    time_budget_minutes: Annotated[float, Field(gt=0)] | None = TrainingOptions.time_budget_minutes
    """Stop after the last epoch that leaves time to validate within so many minutes. Absent: no limit."""
    tensorboard: bool = TrainingOptions.tensorboard
    """Write the curves for TensorBoard too, into .nnunet_assets/tensorboard of each fold."""
    watch: WatchConfig | None = None
    """What else is written down while the folds train, such as panels of slices. Absent: nothing."""
    engine: EngineConfig | None = None
    """Where its folds train, and with what, over what engine.yaml says. Absent: as the project."""
    tracking: TrackingConfig | None = None
    """Its runs in MLflow: whether there are any, with tags, a name and notes of your own. Absent: as the project's."""
    owners: Owners = []
    """Who answers for the experiment: e-mail addresses or team:NAME."""
    description: str = ""
    """What the experiment is for, shown in the web UI."""

    @model_validator(mode="after")
    def _does_not_contradict_itself(self) -> "ExperimentConfig":
        for sentence in contradictions(self.options(Path()), device=self.device):
            raise ValueError(sentence.removesuffix("."))
        if self.variant and (problem := problem_with_choices(self.trainer, self.variant.hyperparameters)):
            raise ValueError(problem)
        if len(derived := self.identity.plans) > MAX_NAME_LENGTH:
            raise ValueError(
                f"the plans of this variant are named {derived}; at most {MAX_NAME_LENGTH} characters are allowed"
            )
        if self.engine and (problem := self.engine.problem_with(device=self.device, num_gpus=self.num_gpus)):
            raise ValueError(problem)
        if self.checkpoints_kept != TrainingOptions.checkpoints_kept and self.checkpoint_every is None:
            raise ValueError("`checkpoints_kept` counts what `checkpoint_every` writes; set that too")
        if self.test_set and self.disable_checkpointing:
            raise ValueError("`test_set` predicts with the folds' checkpoints, and `disable_checkpointing` writes none")
        if self.registered_as and self.disable_checkpointing:
            raise ValueError("`register` packs the folds' checkpoints, and `disable_checkpointing` writes none")
        if self.register_full_model and not (self.registered_as and self.full_model):
            raise ValueError("`register_full_model` needs `full_model: true`, and `register` with the model's name")
        return self

    @property
    def sizes(self) -> PlanSizes:
        """What the plans of the experiment are derived with from those that are declared."""
        return self.variant.sizes if self.variant else PlanSizes()

    @property
    def identity(self) -> Experiment:
        """The experiment that this declares; its plans are the derived ones."""
        return Experiment(
            dataset=self.dataset,
            configuration=self.configuration,
            trainer=self.trainer,
            plans=self.sizes.plans_name(self.plans),
            variant=self.variant.name if self.variant else None,
        )

    @property
    def continued(self) -> Experiment | None:
        """The experiment whose finished folds this one goes on with, fold by fold."""
        if not self.variant or not self.variant.continues:
            return None
        name = self.variant.continues
        return replace(self.identity, variant=None if name == DEFAULT_VARIANT else name)

    @property
    def declared_identity(self) -> Experiment:
        """The experiment in the words of its declaration, in which plans are those that its own are derived from."""
        return replace(self.identity, plans=self.plans)

    def options(self, project: Path) -> TrainingOptions:
        """Returns how each fold is trained.

        Args:
            project: The project's folder, where a relative path of pretrained weights begins.
        """
        changing = self.variant.options() if self.variant else {}
        if weights := changing.get("pretrained_weights"):
            changing["pretrained_weights"] = str(project / weights)
        return TrainingOptions(
            **changing,
            num_gpus=self.num_gpus,
            npz=self.npz,
            disable_checkpointing=self.disable_checkpointing,
            checkpoint_minutes=self.checkpoint_minutes,
            checkpoint_every=self.checkpoint_every,
            checkpoints_kept=self.checkpoints_kept,
            time_budget_minutes=self.time_budget_minutes,
            tensorboard=self.tensorboard,
            watch=self.watch.watch() if self.watch else Watch(),
        )

    def training_hash(self, weights_sha256: str | None = None) -> str:
        """Returns the digest of the fields that change what is trained; not owners, device, folds or description.

        Args:
            weights_sha256: Digest of the pretrained weights, in place of their path; None: the path as declared, since
                who loads the definitions has no time to read gigabytes.
        """
        options = self.variant.options() if self.variant else {}
        if weights_sha256:
            options["pretrained_weights"] = weights_sha256
        return json_sha256(
            {
                "configuration": self.configuration,
                "plans": self.identity.plans,
                "trainer": self.trainer,
                "variant": self.variant.name if self.variant else None,
                "overrides": self.variant.overrides() if self.variant else {},
                # Absent where nothing is set: folds that were trained before these options existed keep their digest.
                **({"options": options} if options else {}),
                **({CONTINUES: self.variant.continues} if self.variant and self.variant.continues else {}),
            }
        )
