"""One of the processes that train a fold together, started by `run_ranks`.

`python -m nnunet_assets.nnunet.training.rank_process`
"""

from nnunet_assets.core.fold.fold_request import FoldAttempt
from nnunet_assets.nnunet.training.fold_process import train_as_rank
from nnunet_assets.nnunet.training.ranks import rank_main

if __name__ == "__main__":
    rank_main(FoldAttempt, train_as_rank)
