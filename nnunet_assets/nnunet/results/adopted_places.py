"""Which folds were adopted where they lie, outside the project's results: MLflow has them, and no folder names them.

The list lies in the project's data folder. With it `sync` sends what waits of them, and a summary that is read from
MLflow is compared with them too.
"""

from pathlib import Path

from nnunet_assets.core.files.json_file import load_json, write_json_atomically
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.nnunet.results.results_folder import experiment_of

PLACES_FILE = "adopted_elsewhere.json"


def remember_place(data: Path, fold_folder: Path) -> None:
    """Adds a fold to the list, as its newest; one that is not there any more leaves it."""
    places = [place for place in adopted_places(data) if place != fold_folder]
    write_json_atomically(data / PLACES_FILE, [str(place) for place in (*places, fold_folder)])


def adopted_places(data: Path) -> list[Path]:
    """Returns the folds that are still there, the newest last; none where there is no list that can be read."""
    try:
        found = load_json(data / PLACES_FILE)
    except (OSError, ValueError):
        return []
    places = [Path(place) for place in found if isinstance(place, str)] if isinstance(found, list) else []
    return [place for place in places if _is_there(place)]


def _is_there(place: Path) -> bool:
    try:
        return place.is_dir()
    except OSError:  # a drive that fails, or a folder that may not be looked into any more
        return False


def place_of_fold(data: Path, experiment: Experiment, fold: str) -> Path | None:
    """Returns where a fold was adopted outside the project's results; None: nowhere."""
    fitting = [place for place in adopted_places(data) if place.name == fold]
    return next((place for place in reversed(fitting) if experiment_of(place.parent) == experiment), None)
