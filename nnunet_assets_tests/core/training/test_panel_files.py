"""The pictures of a fold by epoch."""

from pathlib import Path

from nnunet_assets.core.training.panel_files import forget_panels, panel_files, panel_path


def test_pictures_are_found_in_the_order_of_their_epochs_and_nothing_else(tmp_path: Path) -> None:
    assert panel_files(tmp_path) == {}
    for epoch in (10, 2, 12345):
        panel_path(tmp_path, epoch).parent.mkdir(parents=True, exist_ok=True)
        panel_path(tmp_path, epoch).touch()
    (panel_path(tmp_path, 0).parent / "epoch_0003.png.tmp").touch()
    (panel_path(tmp_path, 0).parent / "epoch_x.png").touch()
    assert panel_files(tmp_path) == {epoch: panel_path(tmp_path, epoch) for epoch in (2, 10, 12345)}


def test_those_of_epochs_that_are_trained_again_are_gone(tmp_path: Path) -> None:
    forget_panels(tmp_path, 0)
    for epoch in (0, 10, 20):
        panel_path(tmp_path, epoch).parent.mkdir(parents=True, exist_ok=True)
        panel_path(tmp_path, epoch).touch()
    forget_panels(tmp_path, 10)
    assert list(panel_files(tmp_path)) == [0]
