"""Files of a fold that say anything at all: what is wrong is named by file and key, and nothing ends in a traceback."""

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nnunet_assets.errors import FoldError, NnunetAssetsError
from nnunet_assets.nnunet.adoption.adoption import adopt_fold
from nnunet_assets_tests import foreign_fold_builders
from nnunet_assets_tests.foreign_fold_builders import write_foreign_fold
from nnunet_assets_tests.hostile_code import PLANS
from nnunet_assets_tests.late_imports import Late

torch = Late("torch")

CASES = {"case_1": (0.8, 0.7), "case_2": (0.6, 0.5)}


def deep(n: Any) -> Any:
    value: list[Any] = []
    for _ in range(n):
        value = [value]
    return value


ODD = [None, [], {}, "", "x", "1", -1, 0, 1.5, 1e308, 10**30, 10**400, True, [None], {"a": None}, deep(100), "é\u2028"]
ODD += [float("nan"), float("inf"), [[1, 2], [3]], ["a", "b"], {"0": 0}, "../x", "9" * 5000]
JSON_FILES = ("plans.json", "dataset.json", "fold_0/debug.json", "fold_0/validation/summary.json")
IN_CHECKPOINT = ("init_args", "trainer_name", "current_epoch", "logging")


def places_in(value: Any, place: Any = ()) -> Iterator[Any]:
    yield place
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places_in(item, (*place, key))


def changed(value: Any, place: Any, odd: Any) -> Any:
    """Returns the value with something else in that place; `odd` None of a one-tuple: nothing at all."""
    if not place:
        return odd[0] if odd else {}
    value = deepcopy(value)
    holder = value
    for key in place[:-1]:
        holder = holder[key]
    if odd:
        holder[place[-1]] = odd[0]
    else:
        del holder[place[-1]]
    return value


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The folder of a model with a fold that can be adopted."""
    folder = tmp_path_factory.mktemp("foreign")
    places = {"dataset_name": foreign_fold_builders.DATASET, "plans_name": "nnUNetPlans"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(foreign_fold_builders, "PLANS", {**PLANS, **places})
        fold = write_foreign_fold(folder, 0, CASES)
    adopt_fold(fold)
    shutil.rmtree(fold / ".nnunet_assets")
    return fold.parent


def adopted_with(whole: Any, name: Any, content: Any) -> None:
    """Adopts a copy of the fold in which one file holds that."""
    place = whole.parents[1] / "copy" / whole.parent.name
    shutil.rmtree(place, ignore_errors=True)
    model = Path(shutil.copytree(whole, place / whole.name))
    if name == "checkpoint":
        torch.save(content, model / "fold_0" / "checkpoint_final.pth")
    else:
        (model / name).write_text(json.dumps(content))
    adopt_fold(model / "fold_0")


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_no_file_of_a_fold_ends_an_adoption_in_a_traceback(whole: Any, data: Any) -> None:
    name = data.draw(st.sampled_from([*JSON_FILES, "checkpoint", "checkpoint", "checkpoint"]))
    if name == "checkpoint":
        checkpoint = torch.load(whole / "fold_0" / "checkpoint_final.pth", weights_only=False)
        content = {key: checkpoint[key] for key in IN_CHECKPOINT}
    else:
        content = json.loads((whole / name).read_text())
    place = data.draw(st.sampled_from(list(places_in(content))))
    odd = data.draw(st.sampled_from([(), *((value,) for value in ODD)]))
    with suppress(NnunetAssetsError):
        adopted_with(whole, name, changed(content, place, odd))


@pytest.mark.parametrize(
    ("place", "odd", "problem"),
    [
        (("current_epoch",), ["1"], r"current_epoch is a list, not a whole number"),
        (("logging",), 1.5, r"logging is 1\.5, not an object"),
        (("logging", "ema_fg_dice"), 1e308, r"logging\.ema_fg_dice is 1e\+308, not a list"),
        (("logging", "epoch_end_timestamps", 1), "x", r"logging\.epoch_end_timestamps\.1 is 'x', no time"),
        (("logging", "epoch_end_timestamps", 1), 1e30, r"logging\.epoch_end_timestamps\.1 is 1e\+30, no time"),
        (("logging", "dice_per_class_or_region", 2), 0.5, r"dice_per_class_or_region\.2 is 0\.5, not a list"),
        (("init_args", "plans", "configurations"), None, r"init_args\.plans\.configurations is None, not an object"),
        (("init_args", "dataset_json", "labels"), [], r"init_args\.dataset_json\.labels is a list, not an object"),
        (("init_args", "dataset_json", "labels", "Anterior"), "one", r"labels\.Anterior is 'one', no value of voxels"),
        (("init_args", "dataset_json", "file_ending"), 3, r"dataset_json\.file_ending is 3, not a text"),
    ],
)
def test_what_a_checkpoint_holds_in_place_of_what_nnunet_writes_is_named(
    whole: Any, place: tuple[Any, ...], odd: float | str | list[Any] | None, problem: str
) -> None:
    checkpoint = torch.load(whole / "fold_0" / "checkpoint_final.pth", weights_only=False)
    content = changed({key: checkpoint[key] for key in IN_CHECKPOINT}, place, (odd,))
    with pytest.raises(
        FoldError, match=rf"checkpoint_final\.pth is damaged, or no checkpoint of nnU-Net v2: .*{problem}"
    ):
        adopted_with(whole, "checkpoint", content)
