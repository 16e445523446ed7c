"""Makes the ensemble of two experiments in a folder: `python -m nnunet_assets_tests.faults.one_ensemble FOLDER`."""

import os
import sys
from pathlib import Path

from nnunet_assets.nnunet.ensembles.ensembling import Wanted, make_ensembles
from nnunet_assets_tests.ensemble_builders import OTHER
from nnunet_assets_tests.training_builders import DATASET, EXPERIMENT, FOLDS, roots_in

NAME = "both"


def main() -> None:
    """Makes it, on the CPU."""
    wanted = [Wanted(NAME, (OTHER, EXPERIMENT))]
    roots = roots_in(Path(sys.argv[1]))
    made = make_ensembles(roots, DATASET, wanted, FOLDS, device="cpu", environment=dict(os.environ))
    print(made, flush=True)


if __name__ == "__main__":
    main()
