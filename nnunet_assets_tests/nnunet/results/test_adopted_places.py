from pathlib import Path

import pytest

from nnunet_assets.nnunet.results.adopted_places import adopted_places, remember_place


def test_a_place_that_may_not_be_looked_into_any_more_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_place, closed = tmp_path / "a" / "fold_0", tmp_path / "b" / "fold_0"
    for place in (open_place, closed):
        place.mkdir(parents=True)
        remember_place(tmp_path, place)
    assert adopted_places(tmp_path) == [open_place, closed]
    is_dir = Path.is_dir

    def refused(self: Path) -> bool:
        if self == closed:
            raise PermissionError(13, "Permission denied", str(self))
        return is_dir(self)

    monkeypatch.setattr(Path, "is_dir", refused)
    assert adopted_places(tmp_path) == [open_place]
