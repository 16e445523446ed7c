"""The split of a dataset on disk: made as declared or the user's own, and never changed behind a trained fold's back.

On disk: `nnUNet_preprocessed/DATASET/splits_final.json`, nnU-Net's own file, and `.nnunet_assets/splits.json` beside
it, how it was made. It is written before any fold starts, since nnU-Net lets whichever fold starts first write it. A
file that this project did not make, or that somebody edited, is checked, kept, and never written over. One that lies in
`nnUNet_raw/DATASET` counts as declared by `splits.file`. Folds that another project trained on it count too: see
`split_users`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.core.progress import LOGGED, Progress
from nnunet_assets.core.splits.splits import (
    SPLITS_FILE,
    OnNewCases,
    Split,
    SplitSettings,
    check_splits,
    coverage,
    is_splits,
)
from nnunet_assets.core.splits.splits_files import (
    NOT_WRITTEN_OVER,
    read_record,
    read_splits,
    write_record,
    write_splits,
)
from nnunet_assets.core.splits.splits_record import Origin, SplitsRecord
from nnunet_assets.errors import DatasetError, first_offenders
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.prepared.raw_records import read_raw
from nnunet_assets.nnunet.raw.raw_record import RawRecord
from nnunet_assets.nnunet.splits.split_users import (
    folds_of_others,
    note_results,
    note_trained,
    notes_of,
    split_held,
)
from nnunet_assets.nnunet.splits.splitting import default_split_of, extend_splits, groups_of, make_splits
from nnunet_assets.nnunet.splits.trained_folds import TrainedFold, cost_sentence, running_folds, trained_folds

What = Literal["made", "kept", "extended", "made anew", "the user's own"]


@dataclass(frozen=True)
class Splits:
    """A dataset's split as it lies on disk.

    Attributes:
        folds: nnU-Net's form.
        what: What was done about it.
        record: How it was made; without generations where it is the user's own.
        settings: As declared, with the file in nnUNet_raw where that counts.
        superseded: The trained folds that belonged to the one before.
    """

    folds: Sequence[Split]
    what: What
    record: SplitsRecord
    settings: SplitSettings
    superseded: Sequence[TrainedFold] = ()


def ensure_splits(
    roots: Roots,
    dataset: str,
    settings: SplitSettings,
    *,
    on_new_cases: OnNewCases = "refuse",
    renew: bool = False,
    progress: Progress = LOGGED,
) -> Splits:
    """Returns the split of a dataset; makes or changes its file where that harms no trained fold, or its user says so.

    Args:
        roots: nnU-Net's folders.
        dataset: `DatasetXXX_Name`.
        settings: How it is to be split.
        on_new_cases: What to do where folds were trained and the cases are others now.
        renew: Make it anew whatever changed, though folds were trained.
        progress: Is warned of the trained folds that a change supersedes, before it is made; and about cases that
            a split of the user's own leaves out.

    Raises:
        PlanningError: The raw data was never looked at, or contradicts itself.
        ConfigError: A file that the settings name is missing or wrong.
        DatasetError: The file that is there is torn or does not fit; the cases cannot be split as declared; another
            split lies in nnUNet_raw; or trained folds belong to a split that would change.
    """
    prepared = PreparedFolder(roots, dataset)
    with split_held(prepared, progress):
        note_results(prepared, roots.results)
        note_trained(prepared)
        made = _ensured(prepared, settings, on_new_cases=on_new_cases, renew=renew, progress=progress)
        note_results(prepared, roots.results, json_sha256(list(made.folds)))
        return made


def _ensured(
    prepared: PreparedFolder,
    settings: SplitSettings,
    *,
    on_new_cases: OnNewCases,
    renew: bool,
    progress: Progress,
) -> Splits:
    """Does what `ensure_splits` says, for whoever holds the split."""
    dataset, roots, raw = prepared.dataset, prepared.roots, read_raw(prepared)
    settings = _with_file_of_raw_data(roots.raw / dataset / SPLITS_FILE, settings)
    path = prepared.folder / SPLITS_FILE
    found, record = _read(prepared, settings, raw)
    if found is not None and not record.generations:
        own = _users_own(path, found, settings, raw)
        _say_left_out(path, own.folds, raw, progress)
        _note_groups(prepared, groups_of(settings, raw))
        return own
    change = _change(record, settings, raw)
    if found is not None and change is None:
        _note_groups(prepared, groups_of(settings, raw))
        if not path.exists():
            write_splits(prepared.folder, found)
        return Splits(found, "kept", record, settings)
    cases_only = change is not None and not change.settings
    origin: Origin = "made"
    if found and cases_only and on_new_cases == "extend" and not settings.file:
        origin = "extended"
    wanted = extend_splits(found, settings, raw) if origin == "extended" else make_splits(settings, raw)
    superseded: list[TrainedFold] = []
    if wanted != found:
        consent = renew or origin == "extended" or (cases_only and on_new_cases == "renew")
        superseded = _superseded(trained_folds(roots, dataset), found, wanted)
        _protect_others(prepared, change, found, wanted)
        _protect(path, superseded, running_folds(roots, dataset), change, consent=consent, progress=progress)
    # The record first: where this is cut short, the file is still that of the generation before.
    record = record.followed_by(
        wanted,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        origin=origin,
        settings=settings.record,
        groups=groups_of(settings, raw),
        cases=raw.cases if settings.file else (),
    )
    write_record(prepared.folder, record)
    _say_left_out(path, wanted, raw, progress)
    if wanted == found and path.exists():
        return Splits(wanted, "kept", record, settings)
    write_splits(prepared.folder, wanted)
    what: What = "made" if found is None else "extended" if origin == "extended" else "made anew"
    return Splits(wanted, what, record, settings, superseded)


@dataclass(frozen=True)
class _Change:
    """What is not as it was when the split was made, in words; empty where it is.

    Attributes:
        cases: "2 cases were added: a, b".
        settings: "it was made with folds=5 and is declared with folds=3".
    """

    cases: str
    settings: str


def _with_file_of_raw_data(path: Path, settings: SplitSettings) -> SplitSettings:
    """Returns the settings with the split that lies beside the raw data, where there is one and no file is declared."""
    if settings.file or not path.exists():
        return settings
    if declared := {name: value for name, value in settings.record.items() if name != "folds"}:
        raise DatasetError(
            f"{path} is a split of the dataset, but `splits` declares another one: {_shown(declared)}. Move that file "
            "away to have the split made as declared; or take the declaration away to use the file; or name the one "
            "that counts as `splits.file`."
        )
    return replace(settings, file=path)


def _read(prepared: PreparedFolder, settings: SplitSettings, raw: RawRecord) -> tuple[Any, SplitsRecord]:
    """Returns the split that is there and its record; None: there is none, no generations: it is the user's own.

    Where the file is gone, the split is what its record says. Where there is no record, but the file is what nnU-Net
    would have written for its own cases, it counts as made with nnU-Net's settings.
    """
    found = read_splits(prepared.folder)
    record = read_record(prepared.folder)
    if found is None:
        return record.splits(), record
    known = record.until(found)
    if known.generations or not is_splits(found):
        return found, known
    cases = [case for split in found for case in split["val"]]
    if len(set(cases)) == len(cases) and default_split_of(cases, len(found)) == found:
        return found, _adopted(prepared, found, SplitSettings(len(found)), ())
    if settings.file and make_splits(settings, raw) == found:
        return found, _adopted(prepared, found, settings, raw.cases)
    return found, known


def _adopted(
    prepared: PreparedFolder, found: Sequence[Split], settings: SplitSettings, cases: Sequence[str]
) -> SplitsRecord:
    written = datetime.fromtimestamp((prepared.folder / SPLITS_FILE).stat().st_mtime, UTC)
    made_at = written.isoformat(timespec="seconds")
    made = settings.record
    return SplitsRecord().followed_by(found, made_at=made_at, origin="made", settings=made, groups={}, cases=cases)


def _users_own(path: Path, found: Any, settings: SplitSettings, raw: RawRecord) -> Splits:
    if settings.file:
        raise DatasetError(
            f"{path} is neither what {settings.file} holds, nor was it made by this project. Delete it to have "
            "that in its place; to keep it, remove `splits.file`, or the file in nnUNet_raw."
        )
    try:
        folds = check_splits(found, raw.cases, settings.n_folds, path)
    except DatasetError as error:
        raise DatasetError(f"{error}\n{NOT_WRITTEN_OVER}") from None
    return Splits(folds, "the user's own", SplitsRecord(), settings)


def _say_left_out(path: Path, folds: Sequence[Split], raw: RawRecord, progress: Progress) -> None:
    covered = coverage(folds, raw.cases)
    if covered.left_out:
        progress.warn(f"{path}: {covered.in_words()}")


def _change(record: SplitsRecord, settings: SplitSettings, raw: RawRecord) -> _Change | None:
    """Returns what changed since the last generation; None: nothing, or there is none."""
    if not record.generations:
        return None
    last, before = record.generations[-1], record.known_cases
    added, removed = sorted(set(raw.cases) - before), sorted(before - set(raw.cases))
    cases = [
        f"{len(some)} {'case was' if len(some) == 1 else 'cases were'} {verb}: {first_offenders(some)}"
        for some, verb in ((added, "added"), (removed, "removed"))
        if some
    ]
    groups = groups_of(settings, raw)
    regrouped = sorted(case for case, group in last.groups.items() if groups.get(case, group) != group)
    was, declared = (_shown(made) for made in (last.settings, settings.record))
    words = ""
    if was != declared:
        words = f"it was made with {was} and is declared with {declared}"
    elif regrouped and not settings.file:
        words = f"these cases have other groups now: {first_offenders(regrouped)}"
    elif settings.file and not cases and json_sha256(make_splits(settings, raw)) != last.splits_sha256:
        words = f"{settings.file.name} holds another split now"
    return _Change("; ".join(cases), words) if cases or words else None


def _shown(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items())


def _superseded(
    trained: Sequence[TrainedFold], found: Sequence[Split] | None, wanted: Sequence[Split]
) -> list[TrainedFold]:
    """Returns the trained folds that belong to the split that is there; those of a still older one are lost already."""
    if found is None:
        return [fold for fold in trained if fold.splits_hash not in (None, json_sha256(list(wanted)))]
    return [fold for fold in trained if fold.splits_hash in (None, json_sha256(list(found)))]


def _why(change: _Change | None) -> str:
    return "; ".join(filter(None, [change.settings, change.cases])) if change else "neither it nor its record is there"


def _protect_others(
    prepared: PreparedFolder,
    change: _Change | None,
    found: Sequence[Split] | None,
    wanted: Sequence[Split],
) -> None:
    """Refuses a change of the split that folds in another project's results were trained on, whatever is asked here."""
    users = {
        results: belonging
        for results, folds in folds_of_others(prepared).items()
        if (belonging := _superseded(folds, found, wanted))
    }
    if not users:
        return
    path = prepared.folder / SPLITS_FILE
    named = " ".join(f"In {results}: {cost_sentence(folds)}" for results, folds in users.items())
    notes = ", ".join(str(notes_of(prepared, results)) for results in users)
    raise DatasetError(
        f"{path} is not changed, though {_why(change)}: another project, whose results lie elsewhere, trained on it. "
        f"{named} With another split these folds would be of no use there, so that no word of this project changes it. "
        "Declare the split as it is there; or give this project an nnUNet_preprocessed of its own (with nnUNet_raw and "
        "nnUNet_results, in its .env); or, where nobody needs those folds any more, delete what notes them: "
        f"{notes}."
    )


def _protect(
    path: Path,
    superseded: Sequence[TrainedFold],
    running: Sequence[str],
    change: _Change | None,
    *,
    consent: bool,
    progress: Progress,
) -> None:
    """Refuses a change of the split that supersedes trained folds without its user's word, or while one trains."""
    why = _why(change)
    if running:
        raise DatasetError(
            f"{path} would change ({why}) while folds train on it: {first_offenders(running)}. nnU-Net reads it once "
            "more to validate. Wait for them, or end them."
        )
    if not superseded:
        return
    cost = (
        f"{cost_sentence(superseded)} With another split each of them has other cases to train or validate on, so all "
        "of them are superseded, and trained again when they are next materialized."
    )
    if consent:
        progress.warn(f"{path} is changed: {why}. {cost}")
        return
    if change and not change.settings:
        ways = (
            "To keep each case in the fold that validates it and deal the new ones to the folds, set `on_new_cases: "
            "extend` in the dataset's `splits`; to split all cases anew, `on_new_cases: renew`. For one run only, set "
            "`on_change` in its config. Or restore the cases."
        )
    else:
        ways = "Restore what it was made with; or, to split all cases anew, set `on_change: renew` in the run's config."
    raise DatasetError(f"{path} is not changed, though {why}. {cost}\n{ways}")


def _note_groups(prepared: PreparedFolder, groups: Mapping[str, str]) -> None:
    """Keeps the groups for the start of folds, also beside a split that was not made by them."""
    record = read_record(prepared.folder)
    if record.groups != groups:
        write_record(prepared.folder, replace(record, groups=groups))
