"""Plans and preprocessed cases of a dataset, made in a child process and only where they are not up to date."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

from nnunet_assets.core.dataset.configurations import PLANNERS, unknown_configuration
from nnunet_assets.core.dataset.dataset_json import DATASET_JSON
from nnunet_assets.core.files.layout import CONFIGURATIONS, Roots
from nnunet_assets.core.fold.version_history import NNUNET, is_other_minor
from nnunet_assets.core.progress import LOGGED, Progress
from nnunet_assets.core.splits.splits import SPLITS_FILE
from nnunet_assets.errors import DamagedFileError, PlanningError, did_you_mean
from nnunet_assets.nnunet.plans.code_names import refuse_foreign_code_in
from nnunet_assets.nnunet.plans.plan_card import why_dropped
from nnunet_assets.nnunet.plans.plans import Plans
from nnunet_assets.nnunet.preparation.derived_plans import derive_again
from nnunet_assets.nnunet.preparation.folds_on_plans import refuse_other_version
from nnunet_assets.nnunet.preparation.patch_padding import Padding, padding
from nnunet_assets.nnunet.preparation.planning_request import PlanningRequest
from nnunet_assets.nnunet.prepared.case_records import FileRecord
from nnunet_assets.nnunet.prepared.case_sets import CaseSet, is_shown, show
from nnunet_assets.nnunet.prepared.plans_stamps import plans_stamp
from nnunet_assets.nnunet.prepared.prepared_dataset import PreparedDataset, known_files
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.prepared.raw_records import curated_folder, curated_roots, is_verified, read_raw
from nnunet_assets.nnunet.raw.raw_record import RawRecord
from nnunet_assets.nnunet.seams import require_nnunet
from nnunet_assets.processes.child import LOG_FILE, ChildResult, run_child
from nnunet_assets.processes.supervisor import run_with_restarts
from nnunet_assets.processes.variables import EXPORT, check_variables
from nnunet_assets.processes.workers import planning_variables, positive_number, worker_variables
from nnunet_assets.settings import trusted_code


@dataclass(frozen=True)
class PreparedCases:
    """The preprocessed cases of one configuration, after `prepare`.

    Attributes:
        n_made: Cases that were preprocessed now.
        n_reused: Cases that were there.
        n_bytes: What all of them take on the disk.
        why: Why cases were preprocessed now; empty where none was.
    """

    n_made: int
    n_reused: int
    n_bytes: int
    why: str


@dataclass(frozen=True)
class PreparedPlans:
    """Plans as they are on disk after `prepare`.

    Attributes:
        plans_hash: Digest of the plans file's content.
        configurations: The wanted configurations that the plans have.
        dropped: By wanted configuration that the plans do not have: the planner's reason.
        planned: nnU-Net's plans, by configuration: patch size, batch size, spacing in mm, both in nnU-Net's axis
            order (z, y, x for NIfTI).
        cases: By configuration, what became of its preprocessed cases.
        made: What had to be made: `plans`, configurations.
        gpu_memory_gb: What the planner aims at, as `target`, and expects by configuration; empty: it does not say.
        is_verified: Whether nnU-Net's own integrity check agreed with the raw data; else it did not run.
        padding: Of which configurations every case is smaller than the patch, with the numbers.
    """

    plans_hash: str
    configurations: tuple[str, ...]
    dropped: Mapping[str, str]
    planned: Mapping[str, Mapping[str, Any]]
    cases: Mapping[str, PreparedCases]
    made: tuple[str, ...]
    gpu_memory_gb: Mapping[str, float]
    is_verified: bool
    padding: tuple[Padding, ...] = ()


def prepare(
    roots: Roots,
    dataset: str,
    plans: str,
    *,
    configurations: Sequence[str],
    trainers: Sequence[str],
    environment: Mapping[str, str],
    verify_integrity: bool = True,
    despite_changes: bool = False,
    progress: Progress = LOGGED,
) -> PreparedPlans:
    """Plans and preprocesses a dataset for the wanted configurations; does nothing where all is up to date.

    One process at a time does it for a dataset: what another one made while this one waited is found here.

    Args:
        roots: nnU-Net's folders.
        dataset: `DatasetXXX_Name`, looked at before (`raw.json`).
        plans: Plans identifier.
        configurations: The configurations that experiments want; one that the plans lack is reported as dropped.
        trainers: Trainer classes that experiments want; an unknown one is an error before any long work.
        environment: Environment of the child, without nnU-Net's folders.
        verify_integrity: Whether nnU-Net's own integrity check runs before anything is made from raw data that it has
            not agreed with yet. Where the voxels were not looked at, it runs all the same.
        despite_changes: Make anew what another minor version of nnU-Net made, though folds were trained on it.
        progress: Hears of a wait for another process, why cases are made, how many are there so far, and of a restart.

    Raises:
        NnunetVersionError: As `require_nnunet`.
        PlanningError: The child failed, nnU-Net's integrity check does not agree, a plans file is there that this
            project did not make, or one that another minor version of nnU-Net made for folds that are there.
        ForeignCodeError: The plans, or dataset.json, name code that is neither nnU-Net's own nor trusted.
        ConfigError: As `check_variables`.
    """
    require_nnunet()
    prepared = PreparedFolder(roots, dataset)
    with prepared.preparing(progress):
        raw = read_raw(prepared)
        verified = {"raw_hash": raw.content_hash, "nnunetv2": version("nnunetv2")}
        made_from = {**verified, "planner": PLANNERS.get(plans)}
        replan = _must_plan(prepared, plans, made_from)
        kept = None if replan else prepared.plans_file(plans)  # one that is made anew may be torn
        refuse_foreign_code_in(kept, curated_folder(prepared, raw.curation) / DATASET_JSON, trusted_code(environment))
        before = known_files(prepared)
        watch = _Watch(prepared, raw, plans, configurations, progress)
        if replan or not _is_up_to_date(PreparedDataset(prepared, raw, prepared.plans(plans)), configurations):
            if not despite_changes:
                refuse_other_version(prepared, plans, configurations, raw.content_hash)
            check_variables(environment)  # those of the training too, which comes after hours of this
            n_asked = positive_number(environment, EXPORT)
            request = PlanningRequest(
                dataset=dataset,
                plans=plans,
                planner=PLANNERS.get(plans) if replan else None,
                configurations=tuple(configurations),
                trainers=tuple(sorted(set(trainers))),
                verified=verified,
                verify_integrity=(verify_integrity or not raw.voxels_checked) and not is_verified(prepared, verified),
                n_processes=n_asked or int(worker_variables(environment)[EXPORT]),
                n_processes_is_set=n_asked is not None,
            )
            _run(prepared, request, environment, watch)
            derive_again(prepared, plans)
        made = PreparedDataset(prepared, raw, prepared.plans(plans))
        planned = made.plans.configurations
        available = [configuration for configuration in configurations if configuration in planned]
        for configuration in made.plans.needed(configurations):
            _show(made, configuration)
        cases = {c: _prepared_cases(made, c, before) for c in available}
        for configuration, found in cases.items():
            if found.n_made:  # between two looks perhaps
                watch.explain(configuration, found.why)
        padded = tuple(one for c in available if (one := padding(prepared, made.plans, c)))
        for one in padded:
            progress.say(str(one))
        return PreparedPlans(
            plans_hash=str(made.plans.digest),
            configurations=tuple(available),
            dropped={c: why_dropped(plans, c, planned) for c in configurations if c not in planned},
            planned={c: planned[c] for c in available},
            cases=cases,
            made=(*(["plans"] if replan else []), *(c for c in available if cases[c].n_made)),
            gpu_memory_gb=(plans_stamp(prepared, plans) or {}).get("gpu_memory_gb", {}),
            is_verified=is_verified(prepared, verified),
            padding=padded,
        )


def _run(
    prepared: PreparedFolder,
    request: PlanningRequest,
    environment: Mapping[str, str],
    watch: "_Watch",
) -> None:
    """Runs the planning process to its end, after a lack of memory again with half the workers."""
    if (split := curated_folder(prepared) / SPLITS_FILE).exists():
        raise PlanningError(
            f"{split} was put there after the raw data was last looked at, and nnU-Net's planner would copy it over "
            "what `splits` makes. Materialize raw_dataset and splits again, or move it away."
        )
    folder = prepared.own / f"prepare_{request.plans}"

    def start(n_halvings: int) -> ChildResult:
        return run_child(
            "nnunet_assets.nnunet.preparation.planning_process",
            replace(request, n_halvings=n_halvings),
            folder=folder,
            environment={
                **environment,
                **curated_roots(prepared).environment(),
                **planning_variables(environment, n_halvings=n_halvings),
            },
            on_poll=watch.look,
        )

    result = run_with_restarts(
        start, own_folder=folder, is_done=lambda: False, n_saved=watch.n_done, progress=watch.progress
    )
    if result.problem:
        raise PlanningError(
            f"Preparing {prepared.dataset} with {request.plans} failed: {result.problem} The whole output is in "
            f"{folder / LOG_FILE}."
        )


def check_configuration(prepared: PreparedFolder, plans: str, configuration: str) -> Plans | None:
    """Passes where the plans have a configuration, or nnU-Net's planner may make it; to be asked before any work.

    Returns:
        The plans; None: they cannot be read now.

    Raises:
        PlanningError: They do not, and it will not; or there is no plans file, and nnU-Net plans none of that name.
    """
    source = prepared.plans_file(plans)
    try:
        found = prepared.plans(plans)
    except DamagedFileError:  # nnU-Net is writing the file, or `prepare` says the same
        return None
    is_there = found.content is not None
    if configuration in (plans_stamp(prepared, plans) or {}).get("own_configurations", {}):
        return found  # it comes back with the plans that are being made
    found.needed([configuration])  # one that inherits in a circle says so
    available = list(found.configurations) if is_there else None
    if not is_there and plans not in PLANNERS:
        raise _no_plans(prepared, plans)
    if not is_there and configuration not in CONFIGURATIONS:
        raise PlanningError(
            f"nnU-Net plans no {configuration!r}, and {source} is not there yet."
            f"{did_you_mean(configuration, CONFIGURATIONS)} Available: {', '.join(CONFIGURATIONS)}. Plan first "
            "(materialize preprocessed_plans), then add the configuration to that file."
        )
    if problem := unknown_configuration(configuration, plans, available, source):
        raise PlanningError(problem)
    if available is not None and plans not in PLANNERS and configuration not in available:
        raise PlanningError(f"{source}: {why_dropped(plans, configuration, found.configurations)}")
    return found


def is_prepared(dataset: PreparedDataset, configuration: str) -> bool:
    """Says whether a fold could be trained on a configuration's cases as they are; not while they are being planned."""
    try:
        return configuration in dataset.plans.configurations and _is_up_to_date(dataset, [configuration])
    except (PlanningError, DamagedFileError):  # nnU-Net is writing the file, or `prepare` says the same
        return False


def _is_up_to_date(dataset: PreparedDataset, configurations: Sequence[str]) -> bool:
    """Says whether all that is needed for configurations is made, and as it was made."""
    references = dataset.place.references
    needed = (dataset.case_set(name) for name in dataset.plans.needed(configurations))
    return all(one.is_whole and not (one.changed_references(references) or one.damaged()) for one in needed)


def _show(dataset: PreparedDataset, configuration: str) -> None:
    """Gives nnU-Net's own folder back its cases where somebody changed or deleted them."""
    case_set, shown = dataset.case_set(configuration), dataset.plans.cases_folder(configuration)
    if not is_shown(case_set, shown):
        with dataset.place.writing(shown):
            show(case_set, shown)


def _prepared_cases(
    dataset: PreparedDataset, configuration: str, before: Collection[frozenset[tuple[str, FileRecord]]]
) -> PreparedCases:
    case_set = dataset.case_set(configuration)
    records = case_set.records().values()
    n_reused = sum(frozenset(record.files.items()) in before for record in records)
    return PreparedCases(
        n_made=len(records) - n_reused,
        n_reused=n_reused,
        n_bytes=sum(file.n_bytes for record in records for file in record.files.values()),
        why=case_set.why if n_reused < len(records) else "",
    )


class _Watch:
    """Looks at what the child has made so far, and says once of each configuration why its cases are made."""

    def __init__(
        self,
        prepared: PreparedFolder,
        raw: RawRecord,
        plans: str,
        configurations: Sequence[str],
        progress: Progress,
    ) -> None:
        self._prepared = prepared
        self._raw = raw
        self._plans = plans
        self._configurations = configurations
        self._explained: set[str] = set()
        self._n_reported: dict[str, int] = {}
        self.progress = progress

    def look(self) -> None:
        """Reports each configuration of which another case was made; one that an earlier run left half made stands."""
        for configuration, case_set in self._needed():
            if (n_done := case_set.n_parts) and (ingredients := case_set.ingredients()):
                self.explain(configuration, case_set.why)
                if self._n_reported.get(configuration) == n_done:
                    continue
                self._n_reported[configuration] = n_done
                self.progress.step(f"cases are preprocessed for {configuration}", n_done, len(ingredients.raw))

    def explain(self, configuration: str, why: str) -> None:
        """Says once why a configuration's cases are made."""
        if configuration not in self._explained:
            self._explained.add(configuration)
            self.progress.say(f"Preprocessing for {configuration}: {why}.")

    def n_done(self) -> int:
        """Returns how many cases are there, of all configurations; it grows with the work that is saved."""
        return sum(len(case_set.records()) for _, case_set in self._needed())

    def _needed(self) -> list[tuple[str, CaseSet]]:
        try:
            dataset = PreparedDataset(self._prepared, self._raw, self._prepared.plans(self._plans))
            return [(name, dataset.case_set(name)) for name in dataset.plans.needed(self._configurations)]
        except (PlanningError, DamagedFileError):  # nnU-Net is writing the file
            return []


def _no_plans(prepared: PreparedFolder, plans: str) -> PlanningError:
    return PlanningError(
        f"There are no plans {plans!r} for {prepared.dataset}: {prepared.plans_file(plans)} is missing. Put your plans "
        f"file there, or use one of {', '.join(PLANNERS)}."
    )


def _must_plan(prepared: PreparedFolder, plans: str, made_from: Mapping[str, Any]) -> bool:
    """Says whether the plans have to be made; plans that somebody else made or edited are never overwritten."""
    stamp = plans_stamp(prepared, plans)
    if stamp is not None and stamp["plans_hash"] is None:  # interrupted while they were made, and perhaps torn
        return True
    now = prepared.plans(plans)
    if plans not in PLANNERS:
        if now.content is None:
            raise _no_plans(prepared, plans)
        now.refuse_foreign()
        return False
    if now.content is None:
        return True
    # Configurations that were added are the user's, as nnU-Net documents it, and what was planned is as it was.
    if stamp is None or stamp["plans_hash"] not in (now.digest, now.planned_digest):
        raise PlanningError(
            f"{now.file} was made or edited outside this project. To use it, rename it (its "
            "plans_name too) and declare that name as `plans`; to have it made anew, delete it. (Configurations may be "
            "added to it under names of their own.)"
        )
    made = {key: stamp.get(key) for key in made_from}
    if made[NNUNET] is not None and not is_other_minor(str(made[NNUNET]), str(made_from[NNUNET])):
        made[NNUNET] = made_from[NNUNET]
    return made != dict(made_from)
