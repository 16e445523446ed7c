"""Under what conditions a fold was trained, and in what those of another day differ."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace

from nnunet_assets.core.fold.commit import FoldInputs


@dataclass(frozen=True)
class Change:
    """One thing that is not what it was.

    Attributes:
        what: `raw data`, `torch`, `device`, ...
        then: What it was.
        now: What it is; None: it is not there.
        is_decisive: Whether it makes another training: one that must not be compared with the first.
    """

    what: str
    then: str
    now: str | None
    is_decisive: bool

    def __str__(self) -> str:
        """The change for people; of a digest its first digits."""
        length = 12 if self.is_decisive else None
        return f"{self.what} was {self.then[:length]}, is {self.now[:length] if self.now else 'not there'}"


@dataclass(frozen=True)
class TrainingConditions:
    """What a training's result may depend on beside its settings.

    Attributes:
        inputs: What it is made from.
        versions: Package name to version.
        device: `cpu`, `mps` or the GPU's model; None: not known.
        host: The machine's name; None: not known.
    """

    inputs: FoldInputs
    versions: Mapping[str, str]
    device: str | None
    host: str | None

    def changes(self, now: "TrainingConditions") -> list[Change]:
        """Returns what differs, the decisive first; what is not known of the first is not compared."""
        then = {**self.versions, "device": self.device, "host": self.host}
        there = {**now.versions, "device": now.device, "host": now.host}
        others = [
            Change(what, value, there.get(what), is_decisive=False)
            for what, value in then.items()
            if value is not None and value != there.get(what)
        ]
        return [*self._changed_inputs(now.inputs), *others]

    def _changed_inputs(self, now: FoldInputs) -> Iterator[Change]:
        for field, value in asdict(now).items():
            for what in self.inputs.differences(replace(self.inputs, **{field: value})):
                yield Change(what, getattr(self.inputs, field), value, is_decisive=True)
