"""One of the processes that train a fold together: `python -m nnunet_assets.nnunet.rank_process`, by `run_ranks`."""

from nnunet_assets.nnunet.fold_process import train_as_rank
from nnunet_assets.nnunet.ranks import rank_main

if __name__ == "__main__":
    rank_main(train_as_rank)
