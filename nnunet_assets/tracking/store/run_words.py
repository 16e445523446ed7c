"""What users say of their runs: tags, a name and notes of their own, beside those that every run has."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from nnunet_assets.tracking.store import names

NOTES = "mlflow.note.content"
"""MLflow's own tag, which it shows as a run's description."""


@dataclass(frozen=True)
class RunWords:
    """What users say of their runs.

    Attributes:
        run_name: In place of what the experiment is; `{time}` stands for when the run is made. None: nothing.
        tags: By their keys.
        notes: Markdown.
    """

    run_name: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    notes: str = ""

    def all_tags(self) -> dict[str, str]:
        """Returns the tags, the notes among them."""
        return {**self.tags, **({NOTES: names.cut(self.notes, names.MAX_TAG_LENGTH)} if self.notes else {})}

    def name(self, default: str, first: str = "") -> str:
        """Returns what a run is called.

        Args:
            default: Where the user says nothing.
            first: What tells the run from others of the same words, such as `fold_0`; stands first, since MLflow cuts a
                name at its end.
        """
        if not self.run_name:
            return default
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
        return " ".join(filter(None, [first, self.run_name.replace("{time}", now)]))
