"""The raw data against what the folds recorded: every file read again, or by the last look where that is to do."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunet_assets.core.dataset.dataset_json import DATASET_JSON, parse_dataset_json
from nnunet_assets.core.fold.commit import UNKNOWN
from nnunet_assets.core.verification.findings import Finding, Level, Verdict
from nnunet_assets.errors import DamagedFileError, NnunetAssetsError, first_offenders
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.prepared.raw_records import curated_roots, former_raw
from nnunet_assets.workflows.verification.walk import Walk

if TYPE_CHECKING:
    from nnunet_assets.nnunet.raw.raw_data import RawDataset

RAW_DATA = "raw data"

_OF_CASES = frozenset({"dataset", "numTraining"})
"""What such a copy may say otherwise: which cases there are."""


def raw_finding(walk: Walk, dataset: str, wanted: str) -> Finding:
    """Returns whether the raw data are those that folds were trained on.

    Args:
        walk: How far; where it is quick, the record of the last look is taken.
        dataset: `DatasetXXX_Name`.
        wanted: Digest that the folds recorded.
    """
    prepared = PreparedFolder(walk.roots, dataset)
    try:
        record = former_raw(prepared) or {}
    except (DamagedFileError, OSError):
        record = {}
    last = record.get("content_hash")
    if walk.is_quick or wanted == UNKNOWN:
        there = {last} if last else set()
        now = "the raw data, as they were looked at last"
        return input_finding(RAW_DATA, wanted, there, now, f"no record of them in {prepared.own}")
    try:
        found = _read_again(walk, prepared, record)
        is_same = found.content_hash == wanted and not _is_described_otherwise(prepared)
    except (NnunetAssetsError, OSError) as error:
        known = " As they were looked at last, they were those that the folds were trained on." * (last == wanted)
        sentence = f"The raw data of {dataset} cannot be read again: {error}{known}"
        return Finding("inputs", RAW_DATA, "unknown", sentence)
    if is_same:
        sentence = (
            f"The folds were trained on the raw data in {walk.roots.raw / dataset}: the images and labels of "
            f"{found.n_cases} cases were read again, and dataset.json."
        )
        return Finding("inputs", RAW_DATA, "holds", sentence)
    sentence = f"The folds were trained on something else than the raw data in {walk.roots.raw / dataset}"
    return Finding(
        "inputs", RAW_DATA, "changed", f"{sentence}: {_since_then(found, record, is_of_last_look=last == wanted)}"
    )


def input_finding(what: str, wanted: str, there: set[str], now: str, missing: str) -> Finding:
    """Returns whether something that folds were trained on is there still.

    Args:
        what: Raw data, plans, split.
        wanted: Its digest, as the folds recorded it.
        there: Digests of what is there now; empty: nothing is.
        now: What that is, for people.
        missing: What is not there, where nothing is.
    """
    level: Level = "inputs"
    verdict: Verdict = "unknown"
    if wanted == UNKNOWN:
        sentence = f"On which {what} the folds were trained was never recorded: they were trained elsewhere."
    elif not there:
        sentence = f"On which {what} the folds were trained cannot be compared any more: there is {missing}."
    elif wanted in there:
        verdict, sentence = "holds", f"The folds were trained on {now}."
    else:
        verdict, sentence = "changed", f"The folds were trained on something else than {now}: changed since."
    return Finding(level, what, verdict, sentence)


def _read_again(walk: Walk, prepared: PreparedFolder, record: Mapping[str, Any]) -> "RawDataset":
    # numpy and the readers, which wrong usage need not wait for.
    from nnunet_assets.nnunet.raw.raw_data import inspect_raw_dataset

    root = curated_roots(prepared).raw
    return inspect_raw_dataset(root, prepared.dataset, 1, walk.progress, former=record or None, trusted=walk.trusted)


def _is_described_otherwise(prepared: PreparedFolder) -> bool:
    """Says whether dataset.json says something else than the copy of it that nnU-Net was given, where it was."""
    place = Path(prepared.dataset, DATASET_JSON)
    own, copy = (parse_dataset_json(root / place).raw for root in (prepared.roots.raw, curated_roots(prepared).raw))
    return any(own.get(key) != copy.get(key) for key in {*own, *copy} - _OF_CASES)


def _since_then(found: "RawDataset", record: Mapping[str, Any], *, is_of_last_look: bool) -> str:
    """Returns what is different, where the last look saw what the folds were trained on; else that it is."""
    then = record.get("case_hashes") or {}
    if not is_of_last_look or not then:
        return "changed since."
    now = found.case_hashes
    changed = [case for case, digest in then.items() if case in now and now[case] != digest]
    gone, new = [case for case in then if case not in now], [case for case in now if case not in then]
    parts = [
        f"{len(names)} of {len(then)} cases {what} ({first_offenders(names)})"
        for names, what in ((changed, "changed since"), (gone, "gone"))
        if names
    ]
    parts += [f"{len(new)} new cases ({first_offenders(new)})"] if new else []
    return f"{'; '.join(parts) or 'dataset.json changed since'}."
