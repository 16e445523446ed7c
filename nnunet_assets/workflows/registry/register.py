"""A model of the project becomes a version in MLflow's registry, and the champion where the gate lets it.

Packed, registered and called `challenger` at once; then the gate is asked, and what it finds stands on the version. A
registration that was interrupted is taken up by the next: the same package is the same version.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_assets.core.files.partial_folder import remove_abandoned, scratch_folder
from nnunet_assets.core.model.about_model import AboutModel
from nnunet_assets.core.model.model_address import CHALLENGER, CHAMPION
from nnunet_assets.core.model.model_description import ModelDescription, ModelNumber
from nnunet_assets.core.model.usable_model import UsableModel
from nnunet_assets.core.progress import LOGGED, Progress
from nnunet_assets.core.registry.gate import (
    DEFAULT_MARGIN,
    RULES,
    Verdict,
    judge_one_training,
    passes,
    reasons,
)
from nnunet_assets.core.summary.scored_summary import ScoredSummary
from nnunet_assets.core.text.numbers import fixed
from nnunet_assets.nnunet.packages.package_reading import ModelPackage
from nnunet_assets.nnunet.packages.package_writing import write_package
from nnunet_assets.nnunet.packages.trainer_files import TrainerFiles, trainer_files
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.registry import registry_names
from nnunet_assets.tracking.registry.registration import Registration, describe, register_package
from nnunet_assets.tracking.registry.versions import RegisteredVersion, list_versions
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.registry.registered_models import promoted_by_force
from nnunet_assets.workflows.registry.round_trip import StoredCase, try_round_trip
from nnunet_assets.workflows.registry.succession import deciding, succeed
from nnunet_assets.workflows.registry.version_scores import MODELS_FOLDER, judge_versions, keep_scores

if TYPE_CHECKING:
    from nnunet_assets.core.comparison.compared_experiments import ComparedExperiment


@dataclass(frozen=True)
class ModelToRegister:
    """A model of the project, with all that its registration needs to know.

    Attributes:
        name: Under which it is registered.
        usable: What predicts.
        about: What its package says beside its files.
        dataset: Whose MLflow experiment it is logged in.
        run_id: The MLflow run that shows its numbers.
        scores: By case, of the cross-validation; None: it has none.
        verdicts: On the rules that its training decides: `cross_validation`, `one_training`.
        cases: For the round trip.
        margin: Of the gate.
        device: For the round trip.
        test_scores: By case, of the declared test set, whose `raw_hash` names it; None: it predicted none.
    """

    name: str
    usable: UsableModel
    about: AboutModel
    dataset: str
    run_id: str
    scores: "ComparedExperiment | None"
    verdicts: tuple[Verdict, ...]
    cases: tuple[StoredCase, ...]
    margin: float = DEFAULT_MARGIN
    device: str = "auto"
    test_scores: "ComparedExperiment | None" = None


@dataclass(frozen=True)
class Registered:
    """What became of a registration.

    Attributes:
        version: As it is in the registry now.
        verdicts: Of the gate, in the order of its rules.
        champion_before: The version that was champion; None: there was none.
    """

    version: RegisteredVersion
    verdicts: tuple[Verdict, ...]
    champion_before: RegisteredVersion | None

    @property
    def is_champion(self) -> bool:
        """Whether it is the champion now."""
        return CHAMPION in self.version.aliases

    def headline(self) -> str:
        """Returns what came of it in one line."""
        version = f"{self.version.name}, version {self.version.version}"
        if self.is_champion:
            return f"{version} is the champion"
        if passes(self.verdicts) and self.champion_before:
            newer = f"version {self.champion_before.version}, which is newer, is the champion"
            return f"{version} passes the gate, and {newer}: nnunet-assets promote decides otherwise"
        return f"{version} stays challenger: {' '.join(reasons(self.verdicts))}"


def register_model(
    settings: Settings, model: ModelToRegister, destination: Destination, progress: Progress = LOGGED
) -> Registered:
    """Packs and registers a model, asks the gate, and gives the aliases that it lets the version have.

    Raises:
        NnunetAssetsError: It cannot be packed, or the registry does not answer or refuses something.
    """
    models = settings.data / MODELS_FOLDER
    remove_abandoned(models)
    with scratch_folder(models / "package") as folder:
        package = write_package(model.usable, model.about, folder / "package", progress)
        progress.say(f"Registering {model.name}, {_size(package.folder) / 1e6:.0f} MB.")
        trainers = trainer_files(trainers_of(package.description), settings.child_environment())
        for file in trainers.own:
            progress.say(
                f"{file} goes along with the version: whoever loads that by MLflow runs it. `nnunet-assets predict` "
                "does not, and needs the file where it predicts."
            )
        version = register_package(destination, _registration(model, package, settings, trainers))
    if model.scores is not None:
        keep_scores(settings, version.digest, model.scores)
    if model.test_scores is not None:
        keep_scores(settings, version.digest, model.test_scores, of_test_set=True)
    round_trip = try_round_trip(
        settings,
        model.usable,
        version.address,
        destination.tracking_uri,
        model.cases,
        device=model.device,
        progress=progress,
    )

    def judge(champion: RegisteredVersion | None) -> tuple[Verdict, ...]:
        return _in_order(*model.verdicts, round_trip, _against(settings, model, version, champion))

    # After the minutes that the round trip takes: another version may have become champion meanwhile.
    with deciding(destination, model.name):
        found = succeed(destination, model.name, version.version, judge)
        tags = {f"{registry_names.GATE}.{one.rule}": one.record for one in found.verdicts}
        now = _now(destination, version)
        describe(destination, now, _description(package.description, found.verdicts, now), tags)
    was_champion = found.before is not None and found.before.version == version.version
    registered = Registered(_now(destination, version), found.verdicts, None if was_champion else found.before)
    progress.say(registered.headline())
    return registered


def _against(
    settings: Settings, model: ModelToRegister, version: RegisteredVersion, champion: RegisteredVersion | None
) -> Verdict:
    if champion is not None and champion.version == version.version:
        return Verdict("not_inferior", True, "It is the champion.")
    return judge_versions(settings, version.digest, champion, model.margin)


def _in_order(*verdicts: Verdict) -> tuple[Verdict, ...]:
    found = {one.rule: one for one in verdicts}
    return tuple(found[rule] for rule in RULES)


def trainers_of(description: ModelDescription) -> list[str]:
    """Returns the trainers of a model's members, each once."""
    return sorted({member.trainer for member in description.members})


def _registration(
    model: ModelToRegister, package: ModelPackage, settings: Settings, trainers: TrainerFiles
) -> Registration:
    # numpy, which whoever loads the definitions has no use for.
    from nnunet_assets.nnunet.images.image_reader import reader_of_model
    from nnunet_assets.nnunet.images.synthetic_image import synthetic_files

    description = package.description
    first = model.usable.first.folder
    images = description.images
    reader = reader_of_model(first, settings.trusted_code) or ""
    example = synthetic_files(reader, images.file_ending, len(images.channels), images.spacing_median)
    hashes = {
        tag: ",".join(sorted({of[kind] for of in description.inputs.values() if kind in of}))
        for tag, kind in (
            (registry_names.RAW_HASH, "raw_hash"),
            (registry_names.PLANS_HASH, "plans_hash"),
            (registry_names.SPLITS_HASH, "splits_hash"),
        )
    }
    tags = {
        registry_names.KIND: description.kind,
        registry_names.EXPERIMENT: ",".join(one.name for one in description.members if one.weight),
        **hashes,
        **{f"{registry_names.NUMBER}.{name}": _shown(number) for name, number in _main_numbers(description)},
    }
    if trainers.files:
        tags[registry_names.TRAINERS] = ",".join(trainers_of(description))
    text = _description(description, model.verdicts)
    return Registration(model.name, package.folder, model.dataset, model.run_id, example, tags, text, trainers.files)


def judge_inputs(summary: ScoredSummary) -> Verdict:
    """Returns the verdict on what the folds of a summary were made from, which is the same for all of them."""
    inputs = summary.inputs
    return judge_one_training({"raw data": inputs.raw_hash, "plans": inputs.plans_hash, "splits": inputs.splits_hash})


def _now(destination: Destination, version: RegisteredVersion) -> RegisteredVersion:
    return next((one for one in list_versions(destination, version.name) if one.version == version.version), version)


def _description(
    description: ModelDescription, verdicts: Sequence[Verdict], version: RegisteredVersion | None = None
) -> str:
    """Returns what people read on the version's page, in Markdown; None: there is no version yet."""
    numbers = [f"- {name}: {_shown(number)}. {number.estimand}" for name, number in _main_numbers(description)]
    gate = [f"- {'passed' if one.passed else '**failed**'}, {one.rule}: {one.sentence}" for one in verdicts]
    # What it is later, its aliases say.
    state = f"Registered as {CHAMPION if version and CHAMPION in version.aliases else CHALLENGER}."
    forced = [promoted_by_force(version.tags)] if version and registry_names.PROMOTED_BECAUSE in version.tags else []
    use = description.intended_use or "Research use only: nobody said what it is for. It is no medical device."
    licence = f"Licence: {description.licence}." if description.licence else "No licence was said."
    how = (
        "Predict with `nnunet-assets predict models:/...`, which checks the files and runs none of them, or load it "
        "with `mlflow.pyfunc.load_model`, which runs the code of the version. A row a case, a column a channel "
        f"(`channel_0000` ...) with the bytes of a `{description.images.file_ending}` file; the mask comes as bytes."
    )
    return "\n\n".join(
        [description.title, state, "\n".join(numbers), "\n".join(gate), f"{use} {licence}", how, *forced]
    )


def _main_numbers(description: ModelDescription) -> list[tuple[str, ModelNumber]]:
    """Returns those of the foreground; those of single labels, `dice/LABEL`, are in the package."""
    return [(name, number) for name, number in description.numbers.items() if "/" not in name]


def _shown(number: ModelNumber) -> str:
    interval = number.interval
    between = f" [{fixed(interval.low)}, {fixed(interval.high)}]" if interval else ""
    return f"{fixed(number.mean)}{between} ({number.n_cases} cases)"


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
