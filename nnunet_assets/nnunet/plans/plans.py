"""A plans file as one value: read once, and asked for what it says of its configurations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from nnunet_assets.core.dataset.configurations import next_stages, planned_in, resolved, with_inherited, without_own
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.json_file import read_json
from nnunet_assets.errors import PlanningError


@dataclass(frozen=True)
class Plans:
    """A plans file as it was when it was read.

    Attributes:
        file: Where it lies, or would lie, named after the plans.
        content: What it holds; None: there is none.
    """

    file: Path
    content: Mapping[str, Any] | None

    @classmethod
    def read(cls, file: Path) -> "Plans":
        """Returns what is there now.

        Raises:
            DamagedFileError: It is damaged.
        """
        return cls(file, read_json(file))

    @property
    def name(self) -> str:
        """The plans identifier."""
        return self.file.stem

    @property
    def digest(self) -> str | None:
        """The digest of the whole file; None: there is none."""
        return None if self.content is None else json_sha256(self.content)

    @property
    def planned_digest(self) -> str | None:
        """The digest without the configurations that a user added; None: there is no file."""
        return None if self.content is None else json_sha256(without_own(self.content))

    @cached_property
    def configurations(self) -> dict[str, dict[str, Any]]:
        """The plan of each configuration, with what it inherits from another one.

        One that inherits from what is not there, or from itself, is left out: `needed` says so.
        """
        return resolved(self._own, self.file)

    def needed(self, wanted: Sequence[str]) -> list[str]:
        """Returns the wanted configurations that the plans have, and those whose cases their validation reads.

        nnU-Net predicts for the next stage of a cascade while it validates `3d_lowres`, and fails after the whole
        training where that stage was never preprocessed.

        Raises:
            PlanningError: A wanted one inherits from what is not there, or in a circle.
        """
        needed = [configuration for configuration in wanted if configuration in self._own]
        for configuration in list(needed):
            plan = with_inherited(self._own, configuration, self.file)
            needed += [stage for stage in next_stages(plan) if stage in self._own]
        return list(dict.fromkeys(needed))

    def cases_folder(self, configuration: str) -> Path:
        """Returns where nnU-Net keeps the preprocessed cases, which plans may share."""
        plan = self.configurations.get(configuration, {})
        return self.file.parent / str(plan.get("data_identifier", f"{self.name}_{configuration}"))

    def refuse_foreign(self) -> None:
        """Passes where the file is of the dataset in whose folder it lies and has its own name in it, or is not there.

        Raises:
            PlanningError: It names another dataset or other plans, whose folders nnU-Net would read and write.
        """
        content = self.content or {}
        wanted = {"dataset_name": self.file.parent.name, "plans_name": self.name}
        if foreign := [name for name in wanted if content.get(name, wanted[name]) != wanted[name]]:
            found = ", ".join(f"{name} {content[name]!r} in place of {wanted[name]!r}" for name in foreign)
            raise PlanningError(
                f"{self.file} has {found}, so that nnU-Net would read and write other folders. Correct it; or bring "
                "plans of another dataset here with nnUNetv2_move_plans_between_datasets."
            )

    @property
    def _own(self) -> Mapping[str, Mapping[str, Any]]:
        """What the file holds of each configuration, without what it inherits; a `PlanningError` where it is odd."""
        return planned_in(self.content or {}, self.file)
