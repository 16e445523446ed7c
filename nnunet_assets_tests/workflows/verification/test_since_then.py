"""What is said of a result that was made anew."""

from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.workflows.verification.known_results import KnownResult, ResultKind
from nnunet_assets.workflows.verification.since_then import since_then

FILE = Path("cv_summary.json")


def result(kind: ResultKind, content: dict[str, Any], *, is_current: bool) -> KnownResult:
    return KnownResult(kind, "D/E", None, content, FILE, is_current)


def folds(**commits: str) -> dict[str, Any]:
    return {"folds": [{"fold": fold, "commit_sha256": commit} for fold, commit in commits.items()]}


@pytest.mark.parametrize(
    ("kind", "then", "now", "said"),
    [
        ("cv_summary", folds(fold_0="a"), folds(fold_0="b"), "fold_0 was trained or validated again."),
        (
            "cv_summary",
            folds(fold_0="a", fold_1="b", fold_2="c"),
            folds(fold_0="x", fold_1="y", fold_3="z"),
            "fold_0, fold_1 were trained or validated again and fold_3 was finished and fold_2 was taken away.",
        ),
        ("cv_summary", folds(fold_0="a"), folds(fold_0="a"), "it was made anew, and says something else."),
        (
            "comparison",
            {"made_from": {"a": "1"}},
            {"made_from": {"a": "2", "b": "1"}},
            "a was summarized anew and b came in.",
        ),
        ("comparison", {"made_from": {"a": "1"}}, {"made_from": {}}, "a was left out."),
        ("gap", {}, {"x": 1}, "it was made anew, and says something else."),
        ("best_configuration", {"made_of": {"a": "1"}}, {"made_of": {"b": "1"}}, "b came in and a was left out."),
        ("comparison", {"made_from": {}, "made_of": {"a": "1"}}, {"made_of": {"a": "2"}}, "a was summarized anew."),
        ("comparison", {}, {"made_from": {"a": "1", "b": "1"}}, "a, b came in."),
        ("comparison", {"made_from": {"a": "1", "b": "1"}}, {}, "a, b were left out."),
        (
            "comparison",
            {"made_from": {"a": "1", "b": "1"}},
            {"made_from": {"a": "2", "b": "2"}},
            "a, b were summarized anew.",
        ),
        ("cv_summary", {}, folds(fold_0="a", fold_1="b"), "fold_0, fold_1 were finished."),
        ("cv_summary", folds(fold_0="a", fold_1="b"), {"folds": []}, "fold_0, fold_1 were taken away."),
        ("cv_summary", folds(fold_0="a"), {"folds": [{"fold": "fold_0"}]}, "fold_0 was trained or validated again."),
        ("evaluation", folds(fold_0="a"), folds(fold_0="b"), "it was made anew, and says something else."),
    ],
)
def test_what_changed_is_named(kind: ResultKind, then: dict[str, Any], now: dict[str, Any], said: str) -> None:
    earlier = result(kind, then, is_current=False)
    sentence = since_then(earlier, [earlier, result(kind, now, is_current=True)])
    assert sentence.startswith("It held when it was made, of an earlier ")
    assert sentence.endswith(f"; since then {said}")


def test_a_result_that_was_taken_away_is_told() -> None:
    earlier = result("gap", {}, is_current=False)
    assert since_then(earlier, [earlier]).endswith("since then cv_summary.json was taken away.")


def test_it_is_held_against_the_current_one_of_its_own_file() -> None:
    earlier = result("cv_summary", folds(fold_0="a"), is_current=False)
    other = KnownResult("cv_summary", "D/E", None, folds(fold_0="x"), Path("another.json"), True)
    older = result("cv_summary", folds(fold_0="y"), is_current=False)
    now = result("cv_summary", folds(fold_0="a", fold_1="b"), is_current=True)
    assert since_then(earlier, [other, older, now]).endswith("since then fold_1 was finished.")
    assert "was taken away" in since_then(earlier, [other, older])
