"""model.json, read strictly: what it says, and every way in which it is refused."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnunet_assets.core.files.typed_json import dataclass_to_json
from nnunet_assets.core.model import description_file
from nnunet_assets.core.model.description_file import contradictions
from nnunet_assets.core.model.model_description import ModelDescription
from nnunet_assets.core.model.package_files import read_description
from nnunet_assets.core.statistics.estimate import Interval
from nnunet_assets.errors import PackageError
from nnunet_assets_tests.core.model.descriptions import CASCADE, ENSEMBLE, NUMBER, SINGLE, member
from nnunet_assets_tests.raw_builders import write_json


@pytest.mark.parametrize("description", [SINGLE, CASCADE, ENSEMBLE], ids=lambda one: one.kind)
def test_a_description_comes_back_as_it_was_written(tmp_path: Path, description: ModelDescription) -> None:
    write_json(tmp_path / "model.json", dataclass_to_json(description))
    assert read_description(tmp_path / "model.json") == description


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schema_version": 2}, "has schema version 2, and this version of nnunet-assets reads 1"),
        ({"schema_version": None}, "schema version None"),
        ({"members": 3}, "members"),
        ({"kind": None}, "kind"),
        ({"surplus": 1}, "surplus is not known"),
        ({"kind": "ensemble"}, "kind 'ensemble' does not have 1 members"),
        ({"files": {}}, "not those of its members"),
        ({"numbers": {"dice": {"mean": "0.9", "interval": None, "n_cases": 1, "estimand": ""}}}, "numbers.dice.mean"),
    ],
)
def test_what_is_not_as_this_package_writes_it_is_refused(tmp_path: Path, changes: Any, said: str) -> None:
    write_json(tmp_path / "model.json", {**dataclass_to_json(SINGLE), **changes})
    with pytest.raises(PackageError, match=said) as caught:
        read_description(tmp_path / "model.json")
    assert str(tmp_path / "model.json") in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"nonsense", b"{", b"\xff", b'{"schema_version": NaN}', b"[" * 100_000]
)
def test_what_is_no_json_object_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.json").write_bytes(content)
    with pytest.raises(PackageError, match="cannot be read as the description of a model"):
        read_description(tmp_path / "model.json")


def test_a_folder_without_one_is_no_package_and_a_link_is_not_followed(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=r"is no package: it has no model\.json"):
        read_description(tmp_path / "model.json")
    write_json(tmp_path / "elsewhere.json", dataclass_to_json(SINGLE))
    (tmp_path / "model.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(PackageError, match="is a link"):
        read_description(tmp_path / "model.json")


def _with_member(**changes: Any) -> ModelDescription:
    return replace(SINGLE, members=(replace(SINGLE.members[0], **changes),))


@pytest.mark.parametrize(
    ("description", "said"),
    [
        (_with_member(path="../elsewhere"), "path '../elsewhere' is not that"),
        (_with_member(path="/tmp"), "path '/tmp' is not that"),
        (_with_member(trainer="../T"), "trainer '../T', which names none"),
        (_with_member(variant="a/b"), "variant 'a/b', which names none"),
        (_with_member(configuration="3d_fullres"), "by its own words"),
        (_with_member(folds=()), r"has the folds \[\]"),
        (_with_member(folds=("fold_0", "fold_0")), "has the folds"),
        (_with_member(folds=("fold_0", "../fold_1")), "has the folds"),
        (_with_member(checkpoint="../secret.pth"), "has the checkpoint"),
        (_with_member(checkpoint="weights.pkl"), "has the checkpoint"),
        (_with_member(weight=0.5), "not equal shares"),
        (_with_member(previous="."), r"the stage before .* is '\.'"),
        (replace(SINGLE, files={**SINGLE.files, "../secret": "0" * 64}), r"lead out of the package \(\.\./secret\)"),
        (replace(SINGLE, files={**SINGLE.files, "/etc/passwd": "0" * 64}), "lead out of the package"),
        (replace(SINGLE, files={**SINGLE.files, "a\\b": "0" * 64}), "lead out of the package"),
        (replace(SINGLE, files={**SINGLE.files, "plans.json": "0" * 63}), "plans.json is no SHA-256"),
        (replace(SINGLE, numbers={"dice": replace(NUMBER, mean=float("nan"))}), "number 'dice' is none"),
        (replace(SINGLE, numbers={"d": replace(NUMBER, interval=Interval(0.1, float("inf")))}), "number 'd' is none"),
        (replace(CASCADE, members=CASCADE.members[:1]), "kind 'cascade' does not have 1"),
        (replace(CASCADE, members=(member("3d_cascade_fullres", 1.0, "2d"), CASCADE.members[1])), "stage before"),
        (replace(CASCADE, members=(member("2d", 1.0), CASCADE.members[1])), "nothing needs members/"),
        (replace(ENSEMBLE, members=ENSEMBLE.members[::-1]), "not in the order of their names"),
        (replace(ENSEMBLE, members=(*ENSEMBLE.members, ENSEMBLE.members[0])), "two members have one path"),
        (
            replace(
                ENSEMBLE, members=(replace(ENSEMBLE.members[0], dataset="Dataset002_Other"), *ENSEMBLE.members[1:])
            ),
            "several datasets",
        ),
        (
            replace(ENSEMBLE, members=(replace(ENSEMBLE.members[0], weight=0.3), *ENSEMBLE.members[1:])),
            "not equal shares",
        ),
    ],
)
def test_a_contradiction_is_named(description: ModelDescription, said: str) -> None:
    text = "; ".join(contradictions(description))
    assert re.search(said, text), text


@given(st.text(max_size=30), st.sampled_from(["path", "trainer", "plans", "configuration", "checkpoint", "name"]))
def test_no_word_of_a_member_leads_elsewhere(word: str, key: str) -> None:
    changed = _with_member(**{key: word})
    assert word == getattr(SINGLE.members[0], key) or list(contradictions(changed))


def test_stages_in_a_circle_end() -> None:
    circle = (member("3d_cascade_fullres", 1.0, "3d_lowres"), member("3d_lowres", 0.0, "3d_cascade_fullres"))
    assert any("stage before" in text for text in contradictions(replace(CASCADE, members=circle)))


def test_a_large_description_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nnunet_assets.core.files.json_file.MOST_BYTES", 10)
    (tmp_path / "model.json").write_text(json.dumps(dataclass_to_json(SINGLE)))
    with pytest.raises(PackageError, match="no JSON file of more than"):
        read_description(tmp_path / "model.json")


@pytest.mark.parametrize(
    ("path", "leaves"),
    [
        ("a/b", False),
        ("..a/b", False),
        ("a/..", True),
        ("../a", True),
        ("/a", True),
        ("a\\b", True),
        ("C:a", True),
        ("ab:c", False),
        (".", True),
    ],
)
def test_a_path_that_may_lead_elsewhere_is_known(path: str, leaves: bool) -> None:
    assert description_file._leaves(path) is leaves


@pytest.mark.parametrize(
    ("description", "n"),
    [
        (SINGLE, 0),
        (CASCADE, 0),
        (ENSEMBLE, 0),
        (replace(SINGLE, kind="another"), 1),
        (replace(SINGLE, kind="cascade"), 2),
        (replace(CASCADE, kind="ensemble"), 1),
        (replace(ENSEMBLE, kind="cascade"), 1),
        (replace(CASCADE, kind="single"), 2),
    ],
)
def test_a_kind_has_its_own_number_of_members(description: ModelDescription, n: int) -> None:
    found = [one for one in contradictions(description) if "of kind" in one or "path" in one]
    assert bool(found) is (n > 0)
    if n:
        said = f"a model of kind {description.kind!r} does not have {len(description.members)} members"
        assert said in "; ".join(found)


def test_two_and_three_members_have_equal_shares() -> None:
    thirds = [replace(one, weight=1 / 3) for one in (*ENSEMBLE.members[:2], member("3d_fullres", 1 / 3))]
    assert not any("equal shares" in one for one in contradictions(replace(ENSEMBLE, members=tuple(thirds))))
    halves = [replace(one, weight=0.5) for one in thirds]
    assert any("equal shares" in one for one in contradictions(replace(ENSEMBLE, members=tuple(halves))))


@pytest.mark.parametrize("checkpoint", ["a.pth", "A-b_c.1.pth", f"{'x' * 64}.pth"])
def test_a_checkpoint_is_a_file_of_weights(checkpoint: str) -> None:
    assert not any("has the checkpoint" in one for one in contradictions(_with_member(checkpoint=checkpoint)))
    for other in (f"-{checkpoint}", f"{checkpoint}x", f"{'x' * 65}.pth", ".pth"):
        assert any("has the checkpoint" in one for one in contradictions(_with_member(checkpoint=other)))


@pytest.mark.parametrize(
    ("interval", "is_number"),
    [
        (None, True),
        (Interval(0.1, 0.2), True),
        (Interval(float("nan"), 0.2), False),
        (Interval(0.1, float("nan")), False),
    ],
)
def test_a_number_and_both_ends_of_its_interval_are_finite(interval: Interval | None, is_number: bool) -> None:
    found = list(contradictions(replace(SINGLE, numbers={"dice": replace(NUMBER, interval=interval)})))
    assert (found == []) is is_number
