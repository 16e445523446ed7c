"""What rests on the same is looked at once."""

from pathlib import Path

from nnunet_assets.core.progress import Silent
from nnunet_assets.core.verification.findings import Finding
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.verification.walk import Walk


def test_who_asks_again_gets_what_was_found(tmp_path: Path) -> None:
    walk = Walk(Settings.from_environment(tmp_path, {}).roots, frozenset(), Silent(), False)
    finding, looks = Finding("inputs", "split", "holds", "It is."), []

    def look() -> list[Finding]:
        looks.append(1)
        return [finding]

    found = [walk.once(what, look) for what in ("split", "split", "plans")]
    assert (found, len(looks)) == ([[finding]] * 3, 2)
