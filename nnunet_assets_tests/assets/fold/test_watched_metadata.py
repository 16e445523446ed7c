"""What the fold's page shows of a training that was watched, and which pictures stay off it."""

import base64
import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import dagster as dg
import pytest

from nnunet_assets.assets.fold.watched_metadata import shows_pictures, watched_metadata
from nnunet_assets.core.fold.journal import Record
from nnunet_assets.core.training.panel_files import panel_path
from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets.core.training.watch import Watch
from nnunet_assets.settings import Settings

NORMS = {"gradient_norm_mean": 2.0, "gradient_norm_max": 9.0, "gradient_spikes": 0.0}
TIMES = {"iteration_seconds": 0.5, "wait_seconds": 0.125}


def trained(folder: Path, *epochs: dict[str, float], comment: str | None = None) -> Any:
    records = [Record("epoch", number, number, values) for number, values in enumerate(epochs)]
    options = TrainingOptions(watch=Watch(comment=comment))
    return SimpleNamespace(
        request=SimpleNamespace(options=options), finished=SimpleNamespace(folder=folder), records=records
    )


def test_a_fold_that_nobody_watched_shows_nothing_of_it(tmp_path: Path) -> None:
    assert watched_metadata(trained(tmp_path, {"train_loss": 0.5}), with_pictures=True) == {}


def test_curve_spikes_times_and_comment_are_shown(tmp_path: Path) -> None:
    fold = trained(tmp_path, {**NORMS, **TIMES}, {**NORMS, **TIMES, "gradient_spikes": 3.0}, comment="A first try.")

    shown = watched_metadata(fold, with_pictures=True)

    assert list(shown) == ["comment", "gradient_norm", "gradient_spikes", "iteration_time"]
    assert shown["comment"].value == "A first try."
    assert shown["gradient_spikes"].value == "3 (epochs 1)"
    assert shown["iteration_time"].value == "0.500 s, 0.125 s of it waiting for the batch"
    assert str(shown["gradient_norm"].value).startswith("![gradient norm](data:image/png;base64,")


@pytest.mark.parametrize("with_pictures", [True, False])
def test_the_last_panels_are_shown_where_pictures_may(tmp_path: Path, *, with_pictures: bool) -> None:
    from PIL import Image

    for epoch, colour in ((0, "red"), (10, "blue")):
        panel_path(tmp_path, epoch).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (800, 200), colour).save(panel_path(tmp_path, epoch))

    shown = watched_metadata(trained(tmp_path), with_pictures=with_pictures)

    assert shown["panels_folder"].value == str(panel_path(tmp_path, 0).parent)
    if not with_pictures:
        assert list(shown) == ["panels_folder"]
        return
    (encoded,) = str(shown["panels"].value).split("base64,")[1:]
    picture = Image.open(io.BytesIO(base64.b64decode(encoded.rstrip(")"))))
    assert picture.size == (640, 160)
    pixel = picture.getpixel((0, 0))
    assert isinstance(pixel, tuple)
    assert pixel[2] > 200 > pixel[0]


@pytest.mark.parametrize(
    ("url", "is_shared", "expected"),
    [
        (None, False, True),
        ("postgresql+psycopg2://me@localhost:5432/dagster", False, True),
        ("postgresql+psycopg2://me@db.example.org:5432/dagster", False, False),
        ("postgresql+psycopg2://me@db.example.org:5432/dagster", True, True),
    ],
)
def test_pictures_go_into_a_database_elsewhere_by_the_users_word_alone(
    tmp_path: Path, url: str | None, *, is_shared: bool, expected: bool
) -> None:
    settings = replace(Settings.from_environment(tmp_path, environment={}), share_files=is_shared)
    if url is None:
        with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
            assert shows_pictures(instance, settings) is expected
    else:
        storage = SimpleNamespace(event_log_storage=SimpleNamespace(postgres_url=url))
        assert shows_pictures(cast(dg.DagsterInstance, storage), settings) is expected
