"""What a researcher may declare of an ensemble: experiments of one dataset whose probabilities are averaged."""

from typing import Annotated

from pydantic import AfterValidator, Field

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.declarations.fields import Configuration, DatasetName, Device, Owners
from nnunet_assets.declarations.sections.registered import RegisteredDeclaration


def _two_or_more(members: list[str]) -> list[str]:
    if len(members) < 2:
        raise ValueError(f"an ensemble has two members or more, not {len(members)}; name another experiment")
    if repeated := next((member for member in members if members.count(member) > 1), None):
        raise ValueError(f"{repeated!r} is listed more than once")
    return members


class EnsembleConfig(RegisteredDeclaration):
    """An ensemble: the mean of the probabilities of several experiments on the same cases, scored like one."""

    dataset: DatasetName
    name: Configuration
    """The ensemble's name; its results lie in ensembles/NAME, beside the models of the dataset."""
    members: Annotated[list[Annotated[str, Field(min_length=1)]], AfterValidator(_two_or_more)]
    """Declared experiments of the dataset, each in as many of its words as tell it from the others: 2d, short 2d."""
    keep_probabilities: bool = False
    """Leave the probabilities of the members on the disk, from where other ensembles read them; they are large."""
    device: Device = "auto"
    """Where the members predict. auto: a GPU where there is one, else the CPU."""
    owners: Owners = []
    """Who answers for the ensemble: e-mail addresses or team:NAME."""
    description: str = ""
    """What the ensemble is for, shown in the web UI."""

    @property
    def identity(self) -> Experiment:
        """What its results are called, which are read like those of an experiment."""
        return Experiment.ensemble(self.dataset, self.name)
