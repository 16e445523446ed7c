"""How raw cases are named by digests, and how names that the first scheme gave go on to hold.

The first scheme knew a case's images and label. The second adds the files beside them (`companion_files`), where there
are any: the sidecars of 3D TIFFs, detached data. A dataset that was looked at by the first scheme keeps its names for
as long as the files beside each case are those that were found when the second one first looked: plans, preprocessed
cases, folds and summaries that bear them stay up to date, and new ones may be compared with them. Where such a file
changes, the case's name is that of the second scheme, and they are stale.

On disk, in `raw.json`: `digest_scheme`, and `kept_names`, case to the digest of the files beside it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.nnunet.cases.case_check import CaseFacts, case_content

SCHEME = 2


def kept_names(
    former: Mapping[str, Any] | None, facts: Sequence[CaseFacts], dataset_json: Mapping[str, Any]
) -> dict[str, str]:
    """Returns the cases that keep the name of the first scheme, each with the digest of the files beside it.

    Args:
        former: The content of `raw.json` as it was before this look; None: there was none. By its `planned_spacings`,
            those of nnU-Net's fingerprint in the order of the cases, a case is seen whose spacing was changed before
            the second scheme first looked, and keeps no name.
        facts: The cases as they are now.
        dataset_json: What of dataset.json is part of the dataset's digest.
    """
    if former is None:
        return {}
    if former.get("digest_scheme", 1) >= SCHEME:
        return dict(former.get("kept_names", {}))
    names = former.get("case_hashes") or {}
    planned = former.get("planned_spacings") or []
    changed = {
        fact.case
        for fact, spacing in zip(facts, planned, strict=False)
        if len(planned) == len(facts) and not _is_of(fact, spacing)
    }
    is_whole = former.get("content_hash") == dataset_digest(dataset_json, {fact.case: _first(fact) for fact in facts})
    return {
        fact.case: digest
        for fact in facts
        if (digest := _beside(fact))
        and fact.case not in changed
        and (is_whole or names.get(fact.case) == json_sha256(_first(fact)))
    }


def _is_of(fact: CaseFacts, spacing_zyx: Sequence[float]) -> bool:
    """Tells whether a case has the spacing that nnU-Net's fingerprint has of it, or none is known of it now."""
    if fact.geometry is None:
        return True
    now = fact.geometry.spacing_mm[::-1]
    return len(now) != len(spacing_zyx) or bool(np.allclose(now, spacing_zyx))


def named_content(fact: CaseFacts, kept: Mapping[str, str]) -> dict[str, object]:
    """Returns what a case's digest is taken of, by the scheme that names it."""
    if fact.case in kept and kept[fact.case] == _beside(fact):
        return _first(fact)
    return case_content(fact.image_sha256, fact.label_sha256, fact.companions)


def dataset_digest(dataset_json: Mapping[str, Any], cases: Mapping[str, Mapping[str, object]]) -> str:
    """Returns the digest of a raw dataset, from what of dataset.json counts and what each case's is taken of."""
    return json_sha256({"dataset_json": dataset_json, "cases": cases})


def _first(fact: CaseFacts) -> dict[str, object]:
    return case_content(fact.image_sha256, fact.label_sha256)


def _beside(fact: CaseFacts) -> str | None:
    """Returns the digest of the files beside a case's; None: there are none."""
    beside = [[of, sha256] for of, _, sha256 in fact.companions if sha256]
    return json_sha256(beside) if beside else None
