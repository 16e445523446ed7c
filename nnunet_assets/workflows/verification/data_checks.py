"""What the scores of a summary rest on: predicted masks and references, checkpoints, raw data, plans and split."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from nnunet_assets.core.dataset.configurations import plans_digests
from nnunet_assets.core.files.digests import file_sha256, json_sha256
from nnunet_assets.core.files.json_file import UNUSABLE, readable_json
from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.core.fold.commit import FINAL_CHECKPOINT, FinishedFold, FoldInputs
from nnunet_assets.core.fold.members import Member, members_of
from nnunet_assets.core.progress import Progress
from nnunet_assets.core.splits.splits import SPLITS_FILE
from nnunet_assets.core.splits.splits_files import read_splits
from nnunet_assets.core.statistics.estimate import SAME_SCORE
from nnunet_assets.core.validation.case_results import LabelScore
from nnunet_assets.core.verification.findings import Finding, Verdict
from nnunet_assets.errors import DatasetError, EvaluationError, PlanningError, first_offenders
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.workflows.verification.raw_checks import input_finding, raw_finding
from nnunet_assets.workflows.verification.recorded_folds import RecordedFold
from nnunet_assets.workflows.verification.walk import Walk

MOST_CASES = 5
"""Of a fold that are named one by one."""


def mask_findings(
    roots: Roots,
    experiment: Experiment,
    folds: Sequence[RecordedFold],
    trusted: frozenset[str],
    progress: Progress,
) -> Iterator[Finding]:
    """Yields what the masks of the folds that are there score now, a fold at a time."""
    references = PreparedFolder(roots, experiment.dataset).references
    n_all = sum(len(fold.result.cases) for fold in folds if fold.state == "there" and fold.result)
    n_done = 0
    for fold in folds:
        if fold.state != "there" or fold.result is None:
            sentence = f"The masks of {fold.name} as it was then are not there to be scored again."
            yield Finding("masks", fold.name, "unknown", sentence)
            continue
        # numpy, which wrong usage need not wait for.
        from nnunet_assets.nnunet.evaluation.rescoring import rescored_cases

        wanted = {case.case_id: case.scores for case in fold.result.cases}
        gone, odd = [], []
        try:
            for found in rescored_cases(fold.folder, references, list(wanted), trusted):
                n_done += 1
                progress.step("cases scored again", n_done, n_all)
                if found.scores is None:
                    gone.append(f"{found.case}: {found.problem}")
                else:
                    odd += _different_scores(f"{fold.name}, {found.case}", found.scores, wanted[found.case])
        except (DatasetError, EvaluationError, PlanningError) as error:
            yield Finding("masks", fold.name, "unknown", f"The masks of {fold.name} cannot be scored again: {error}")
            continue
        yield from _of_masks(fold.name, len(wanted), gone, odd)


def _of_masks(fold: str, n_cases: int, gone: Sequence[str], odd: Sequence[str]) -> Iterator[Finding]:
    for sentence in odd[:MOST_CASES]:
        yield Finding("masks", fold, "changed", sentence)
    if len(odd) > MOST_CASES:
        yield Finding("masks", fold, "changed", f"{len(odd) - MOST_CASES} more scores of {fold} are different.")
    if gone:
        named = first_offenders(gone, MOST_CASES)
        sentence = f"{len(gone)} of {n_cases} cases of {fold} cannot be scored again: {named}"
        yield Finding("masks", fold, "unknown", sentence)
    if not odd and not gone:
        sentence = f"{n_cases} predicted masks of {fold} were scored again, and give the same Dice and IoU."
        yield Finding("masks", fold, "holds", sentence)


def _different_scores(case: str, found: Mapping[str, LabelScore], wanted: Mapping[str, LabelScore]) -> list[str]:
    return [
        f"{case}, {label}: the mask gives {name} {_shown(one)}, and {_shown(other)} was recorded."
        for label, score in wanted.items()
        for name in ("dice", "iou")
        for one, other in [(getattr(found[label], name), getattr(score, name))]
        if (one is None) != (other is None) or (one is not None and abs(one - other) > SAME_SCORE)
    ]


def _shown(value: float | None) -> str:
    return "undefined" if value is None else repr(value)


def checkpoint_findings(folds: Sequence[RecordedFold], progress: Progress) -> Iterator[Finding]:
    """Yields whether the checkpoints are, byte by byte, those that the manifests name."""
    for n_done, fold in enumerate(folds, start=1):
        progress.step("folds whose checkpoints are read", n_done, len(folds))
        if fold.finished is None:
            continue
        files = {name: sha for name, sha in fold.finished.manifest.files.items() if name.endswith(".pth")}
        members = members_of(fold.finished.manifest.details)
        for member in members:
            yield _member_checkpoint(fold, member)
        if not files and not members:
            sentence = f"No checkpoint of {fold.name} was recorded, so none can be compared."
            yield Finding("checkpoints", fold.name, "unknown", sentence)
        for name, sha in files.items():
            yield _checkpoint(fold, name, sha)


def _checkpoint(fold: RecordedFold, name: str, sha256: str) -> Finding:
    file = fold.folder / name
    what = f"{fold.name}, {name}"
    try:
        found = file_sha256(file)
    except OSError as error:
        return Finding("checkpoints", what, "unknown", f"{file} cannot be read any more: {error.strerror}.")
    if found == sha256:
        return Finding("checkpoints", what, "holds", f"{name} of {fold.name} is the one of its manifest.")
    sentence = f"{file} is another file: SHA-256 {found[:12]}, and {sha256[:12]} in the fold's manifest."
    return Finding("checkpoints", what, "changed", sentence)


def _member_checkpoint(fold: RecordedFold, member: Member) -> Finding:
    """Compares the checkpoint of a member that an ensemble's fold was made with."""
    folder = fold.folder.absolute().parents[3] / member.folder / fold.fold
    what = f"{fold.fold} of {member.name}"
    finished = FinishedFold.read(folder)
    if finished is None or finished.sha256 != member.commit:
        verdict: Verdict = "changed" if folder.is_dir() else "unknown"
        sentence = f"{what}, which {fold.name} was made with, is not in {folder} any more as it was then."
        return Finding("checkpoints", what, verdict, sentence)
    name = next((name for name, sha in finished.manifest.files.items() if sha == member.checkpoint), FINAL_CHECKPOINT)
    return _checkpoint(replace(fold, folder=folder, name=what), name, member.checkpoint)


def input_findings(walk: Walk, experiment: Experiment, inputs: FoldInputs) -> Iterator[Finding]:
    """Yields whether raw data, plans and split are those that the folds were trained on."""
    roots = walk.roots
    prepared = PreparedFolder(roots, experiment.dataset)
    yield from walk.once(
        f"raw data of {experiment.dataset}: {inputs.raw_hash}",
        lambda: [raw_finding(walk, experiment.dataset, inputs.raw_hash)],
    )
    of_plans = {
        "nnUNet_preprocessed": prepared.folder / f"{experiment.plans}.json",
        "the model's folder": experiment.model_folder(roots) / "plans.json",
    }
    # Those of an ensemble's members are part of their own summaries.
    for place, file in () if experiment.is_ensemble else of_plans.items():
        content = readable_json(file)
        try:
            digests = set(plans_digests(content, experiment.configuration, file)) if content else set()
        except UNUSABLE:
            digests = set()
        yield input_finding(f"plans in {place}", inputs.plans_hash, digests, f"the plans in {file}", f"no {file}")
    try:
        splits = read_splits(prepared.folder)
    except (DatasetError, OSError):
        splits = None
    there = {json_sha256(splits)} if splits is not None else set()
    file = prepared.folder / SPLITS_FILE
    yield input_finding("split", inputs.splits_hash, there, f"the split in {file}", f"no {file}")
