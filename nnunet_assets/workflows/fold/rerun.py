"""What `train --from-run` makes of an MLflow run: the experiment that trains its fold again, and what differs today.

It trains in a variant of its own, `rerun_` and the first digits of the run's ID, so that nothing is overwritten. The
settings are the run's own if they give the training hash that it recorded; pretrained weights are part of that hash.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.digests import file_sha256, json_sha256
from nnunet_assets.core.fold.fold_request import FoldRequest
from nnunet_assets.core.fold.training_conditions import Change, TrainingConditions
from nnunet_assets.core.training.watch import Watch
from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.declarations.made_experiment import experiment_of
from nnunet_assets.declarations.named_fold import NamedFold, dataset_named, fold_named
from nnunet_assets.declarations.project import Project
from nnunet_assets.declarations.sections.variant_config import RESULT_OPTIONS, VariantConfig
from nnunet_assets.errors import ConfigError, FoldError
from nnunet_assets.nnunet.trainer.parameters import package_versions
from nnunet_assets.processes.host_name import host_name
from nnunet_assets.processes.machine.device_lease import gpu_models, usable_gpus
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.reading.recall import RecalledFold, recall_fold
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.fold.train import AskedNow

UNWATCHED = asdict(Watch())
"""The one option that a record has as a mapping where nothing is declared."""


@dataclass(frozen=True)
class Rerun:
    """A fold that is to be trained again.

    Attributes:
        recalled: The fold as its run tells of it.
        config: The experiment that trains it again.
        training_hash: What the settings that were read back give for the experiment of the run.
    """

    recalled: RecalledFold
    config: ExperimentConfig
    training_hash: str

    def asked(self, now: AskedNow) -> AskedNow:
        """Returns what is asked now, with the checkpoint that the run validated."""
        return replace(now, val_best=now.val_best or bool(self.recalled.options.get("val_best")))

    def changes(self, settings: Settings, request: FoldRequest) -> list[Change]:
        """Returns what is not what it was when the run was made."""
        then = self.recalled.conditions
        training_hash = self.training_hash
        if request.continued:
            training_hash = json_sha256([training_hash, request.continued.training_hash])
        now = TrainingConditions(
            # The variant is another one, of the same settings.
            replace(request.inputs, training_hash=training_hash),
            package_versions(),
            _device_name(request.device, settings.variables, then.device),
            _host(settings),
        )
        return then.changes(now)

    def in_words(self, changes: Sequence[Change]) -> list[str]:
        """Returns what is trained again and what changed since, a line each."""
        title = f"{self.recalled.experiment.title}, {self.recalled.fold}"
        return [
            f"Training {title}, as the MLflow run {self.recalled.run_id} did.",
            *(f"Changed since: {change}." for change in changes),
        ]

    def check(self, changes: Sequence[Change], *, accepted: bool) -> None:
        """Passes where today's training is the run's, or where other data, plans, splits and settings are accepted.

        Raises:
            FoldError: It would be another training.
        """
        decisive = [str(change) for change in changes if change.is_decisive]
        if decisive and not accepted:
            raise FoldError(
                f"What the MLflow run {self.recalled.run_id} was trained on is not what is there now: "
                f"{'; '.join(decisive)}. Restore it, or take what there is now with --despite-changes."
            )


def rerun_of(run_id: str, named: NamedFold, settings: Settings, project: Project) -> Rerun:
    """Returns what trains the fold of a run again.

    Raises:
        TrackingError: As `recall_fold`.
        ConfigError: The run's dataset is not in this project, or what is named contradicts the run.
        FoldError: The weights that the run started from are not there any more.
    """
    recalled = recall_fold(Destination.of(settings), run_id)
    weights = named.changing.get("pretrained_weights")
    if weights and recalled.options.get("pretrained_weights"):
        # The same file in another place makes the same fold; a server elsewhere has only a pseudonym of its path.
        recalled = replace(recalled, options={**recalled.options, "pretrained_weights": weights})
    name = f"rerun_{run_id[:8]}"
    _refuse_other_dataset(recalled, settings, project)
    _refuse_contradictions(recalled, name, named, settings, project)
    device = _device(recalled.device_kind, settings.variables)
    config = _experiment(recalled, name, device=device).model_copy(update=named.unchanging)
    training_hash = _experiment(recalled, recalled.experiment.variant).training_hash(_weights_sha256(recalled))
    weights = recalled.options.get("pretrained_weights")
    if weights and training_hash != recalled.conditions.inputs.training_hash:
        raise FoldError(
            f"The MLflow run {run_id} started from the weights {weights}, and with the file that is there now its "
            "settings do not give the digest that it recorded: it is another file. Put the same one back, or say with "
            "-pretrained_weights where it is."
        )
    return Rerun(recalled, config, training_hash)


def _experiment(recalled: RecalledFold, variant: str | None, **fields: Any) -> ExperimentConfig:
    """Returns the run's settings under the name of a variant."""
    experiment, options = recalled.experiment, recalled.options
    given = {name: options.get(name) for name in RESULT_OPTIONS}
    changing: dict[str, Any] = {
        name: value for name, value in given.items() if value is not None and value is not False
    }
    for name, value in recalled.overrides.items():
        place = changing if name in VariantConfig.model_fields else changing.setdefault("hyperparameters", {})
        place[name] = value
    if recalled.continues:
        changing["continues"] = recalled.continues
    if not changing and recalled.num_epochs is not None:
        # A variant has to set something, and what every trainer has is said of every run.
        changing["num_epochs"] = recalled.num_epochs
    return experiment_of(
        dataset=experiment.dataset,
        configuration=experiment.configuration,
        plans=experiment.plans,
        trainer=experiment.trainer,
        variant={"name": variant, **changing} if variant else None,
        **{
            name: options[name]
            for name in ExperimentConfig.model_fields
            if name in options and options[name] != UNWATCHED
        },
        **fields,
    )


def _weights_sha256(recalled: RecalledFold) -> str | None:
    path = recalled.options.get("pretrained_weights")
    if not path:
        return None
    try:
        return file_sha256(Path(path))
    except OSError as error:
        raise FoldError(
            f"The MLflow run {recalled.run_id} started from the weights {path}, which cannot be read here: "
            f"{error.strerror}. Put the same file back, or say with -pretrained_weights where it is."
        ) from error


def _refuse_other_dataset(recalled: RecalledFold, settings: Settings, project: Project) -> None:
    try:
        dataset_named(recalled.experiment.dataset, project, settings.roots)
    except ConfigError as error:
        raise ConfigError(
            f"The MLflow run {recalled.run_id} is of a dataset that this project does not have. {error}"
        ) from error


def _refuse_contradictions(
    recalled: RecalledFold, name: str, named: NamedFold, settings: Settings, project: Project
) -> None:
    experiment = recalled.experiment
    typed = {
        "DATASET": (named.dataset and dataset_named(named.dataset, project, settings.roots), experiment.dataset),
        "CONFIGURATION": (named.configuration, experiment.configuration),
        "FOLD": (named.fold and fold_named(named.fold), recalled.fold),
        "-tr": (named.trainer, experiment.trainer),
        "-p": (named.plans, experiment.plans),
        "--variant": (named.variant if named.variant != name else None, experiment.variant),
        **{option: (value, recalled.options.get(option)) for option, value in named.changing.items()},
    }
    for flag, (given, there) in typed.items():
        if given is not None and given != there:
            raise ConfigError(
                f"The MLflow run {recalled.run_id} was trained with {flag} {there}, and the command line says {given}. "
                "Leave it out: --from-run trains as the run was trained."
            )


# --- this machine -------------------------------------------------------------------------------------------------


def _device(kind: str | None, variables: Mapping[str, str]) -> str:
    """Returns the run's kind of device where it is here, else `auto`: another device is no other training."""
    is_here = (
        kind == "cpu" or (kind == "mps" and sys.platform == "darwin") or (kind == "cuda" and usable_gpus(variables))
    )
    return kind if kind and is_here else "auto"


def _device_name(device: str, variables: Mapping[str, str], then: str | None) -> str:
    """Returns what the fold will train on, as far as that is known before torch is loaded."""
    if device in ("cpu", "mps"):
        return device
    gpus = usable_gpus(variables)
    if not gpus:
        return "mps" if sys.platform == "darwin" else "cpu"
    names = gpu_models(variables)
    found = sorted({names.get(gpu.uuid, "cuda") for gpu in gpus})
    # Which of them will be free is not known yet.
    return then if then and then in found else " or ".join(found)


def _host(settings: Settings) -> str:
    """Returns this machine's name as a run at the tracking server would have it."""
    host, pseudonyms = host_name(), Destination.of(settings).pseudonyms(None)
    return pseudonyms.of("host", host) if pseudonyms else host
