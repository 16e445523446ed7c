"""The digest of scores: the same however nnU-Net's file looks, another wherever a score is."""

import json
import math
import random
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnunet_assets.core.validation.score_digest import COUNTS, SCORES, file_name_of, scores_digest

NAN = float("nan")


def file_of(entries: list[dict[str, Any]], **how: Any) -> bytes:
    return json.dumps({"foreground_mean": {}, "mean": {}, "metric_per_case": entries}, **how).encode()


def entry(case: str, metrics: dict[str, Any], folder: str = "/a/fold_0/validation/") -> dict[str, Any]:
    return {"prediction_file": f"{folder}{case}.nii.gz", "reference_file": f"/gt/{case}.nii.gz", "metrics": metrics}


numbers = st.one_of(st.just(NAN), st.floats(0, 1), st.integers(0, 1))
metrics_of_a_label = st.fixed_dictionaries(
    {**dict.fromkeys(SCORES, numbers), **dict.fromkeys(COUNTS, st.integers(0, 10**9))}
)
case_ids = st.text(st.characters(codec="utf-8", exclude_characters="/\\\0", exclude_categories=["Cs"]), min_size=1)
evaluations = st.dictionaries(
    case_ids, st.fixed_dictionaries({"1": metrics_of_a_label, "(1, 2)": metrics_of_a_label}), min_size=1, max_size=4
)
FOLDERS = (
    "/a/fold_0/validation/",
    "/moved/elsewhere/fold_0/validation/",
    "C:\\data\\fold_0\\validation\\",
    "C:/data\\fold_0\\validation\\",
    "\\\\server\\share\\fold_0\\validation\\",
    "//server/share\\fold_0\\validation\\",
    "fold_0\\validation\\",
    "",
)


@settings(max_examples=60, deadline=None)
@given(
    cases=evaluations, seed=st.integers(0, 2**32), folder=st.sampled_from(FOLDERS), indent=st.sampled_from([None, 4])
)
def test_paths_order_and_format_do_not_matter(
    cases: dict[str, Any], seed: int, folder: str, indent: int | None
) -> None:
    written = file_of([entry(case, metrics) for case, metrics in cases.items()])
    shuffle = random.Random(seed)

    def in_any_order(values: dict[str, Any]) -> dict[str, Any]:
        return {key: values[key] for key in shuffle.sample(list(values), len(values))}

    def as_another_version_writes(value: Any) -> Any:
        if isinstance(value, float) and math.isnan(value):
            return None  # JSON knows no NaN
        return float(value) if isinstance(value, int) and shuffle.random() < 0.5 else value

    again = []
    for case in shuffle.sample(list(cases), len(cases)):
        labels = {
            key.replace(", ", ","): in_any_order({name: as_another_version_writes(v) for name, v in values.items()})
            for key, values in cases[case].items()
        }
        again.append(in_any_order(entry(case, in_any_order(labels), folder)))
    assert scores_digest(file_of(again, indent=indent)) == scores_digest(written) is not None


@settings(max_examples=60, deadline=None)
@given(cases=evaluations, data=st.data())
def test_any_other_score_label_case_or_count_is_another_digest(cases: dict[str, Any], data: st.DataObject) -> None:
    entries = [entry(case, metrics) for case, metrics in cases.items()]
    before = scores_digest(file_of(entries))
    changed = deepcopy(entries)
    one = data.draw(st.sampled_from(changed))
    label = data.draw(st.sampled_from(["1", "(1, 2)"]))
    kind = data.draw(st.sampled_from(["number", "undefined", "label", "case", "gone", "twice"]))
    name = data.draw(st.sampled_from([*SCORES, *COUNTS]))
    value = one["metrics"][label][name]
    if kind == "number":
        # The smallest change that a float can have.
        one["metrics"][label][name] = 0.5 if math.isnan(value) else float(value) + max(abs(float(value)), 1) * 2.3e-16
    elif kind == "undefined":
        one["metrics"][label][name] = 0.5 if math.isnan(value) else NAN
    elif kind == "label":
        one["metrics"]["3"] = one["metrics"].pop(label)
    elif kind == "case":
        one["prediction_file"] = one["prediction_file"].replace(".nii.gz", "_other.nii.gz")
    elif kind == "gone":
        changed.remove(one)
    else:
        changed.append(one)
    assert scores_digest(file_of(changed)) != before


def test_cases_that_change_their_scores_with_each_other_are_another_digest() -> None:
    low, high = ({"1": {"Dice": dice, "IoU": dice}} for dice in (0.25, 0.5))
    assert scores_digest(file_of([entry("a", low), entry("b", high)])) != scores_digest(
        file_of([entry("a", high), entry("b", low)])
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"metric_per_case": 3}',
        b'{"metric_per_case": [3]}',
        b'{"metric_per_case": [{"prediction_file": 3, "metrics": {}}]}',
        b'{"metric_per_case": [{"prediction_file": "a", "metrics": {"1": {"Dice": 0.5}}}]}',
        b'{"metric_per_case": [{"prediction_file": "a", "metrics": {"1": {"Dice": true, "IoU": 0.5}}}]}',
        b'{"metric_per_case": [{"prediction_file": "a", "metrics": {"1": {"Dice": "0.5", "IoU": 0.5}}}]}',
        b'{"metric_per_case": [{"prediction_file": "a", "metrics": {"1": {"Dice": 1' + b"0" * 400 + b', "IoU": 1}}}]}',
        b'{"metric_per_case": ' + b"[" * 100_000,
    ],
)
def test_what_is_no_evaluation_has_no_digest(content: bytes) -> None:
    assert scores_digest(content) is None


def test_the_digest_names_its_scheme_and_stays_what_it_is() -> None:
    # Folds on disk hold it: who changes the formula gives the scheme another name.
    content = file_of([entry("a", {"1": {"Dice": 0.5, "IoU": 1 / 3, "TP": 7}, "(1, 2)": {"Dice": NAN, "IoU": NAN}})])
    assert scores_digest(content) == "scores-1:568e1ef360898eefa7f5e63ef158b2c90549684891250c4bf0786ffcf347ea6a"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/a/validation/case.nii.gz", "case.nii.gz"),
        ("C:\\a\\validation\\case.nii.gz", "case.nii.gz"),
        ("c:/a/validation\\case.nii.gz", "case.nii.gz"),
        ("D:/a/validation/case.nii.gz", "case.nii.gz"),
        ("\\\\server\\share\\validation\\case.nii.gz", "case.nii.gz"),
        ("//server/share/validation\\case.nii.gz", "case.nii.gz"),
        ("\\\\?\\C:\\a\\validation\\case.nii.gz", "case.nii.gz"),
        ("validation\\case.nii.gz", "case.nii.gz"),
        ("/mnt/c/results\\fold_0\\validation\\case.nii.gz", "case.nii.gz"),
        ("case.nii.gz", "case.nii.gz"),
        ("/a/validation/a\\b:c.nii.gz", "a\\b:c.nii.gz"),  # a name that Linux allows
    ],
)
def test_the_name_of_a_file_by_a_path_of_any_system(path: str, name: str) -> None:
    assert file_name_of(path) == name
