"""What somebody in a terminal does where a message says which asset to materialize: its words are Dagster's.

One message is read in the web UI and in the terminal. Here, at the terminal's border, the way without Dagster is added.
"""

import re

WAYS = {
    "raw_dataset": "`nnunet-assets check DATASET` does the same for raw_dataset",
    "preprocessed_plans": "`nnunet-assets train` prepares the data before it trains",
    "cv_summary": "`nnunet-assets compare DATASET` and `nnunet-assets accept EXPERIMENT` make summaries first",
    "cv_evaluation": "`nnunet-assets evaluate EXPERIMENT` does the same for cv_evaluation",
    "comparison": "`nnunet-assets compare DATASET` compares anew, and shows it here",
    "fold": "`nnunet-assets train` does the same for a fold",
}
_SENTENCE = re.compile(r"\b[Mm]aterialize\b([^.;:!?]*)")


def with_commands(message: str) -> str:
    """Returns a message with what does in a terminal what it says to materialize; any other as it is."""
    named = _SENTENCE.findall(message)
    if not named:
        return message
    words = {word for rest in named for word in re.findall(r"\w+", rest)}
    ways = [way for asset, way in WAYS.items() if asset in words]
    button = "Materialize is a button of the web UI, which `nnunet-assets dev` opens"
    return f"{message} ({'; '.join([button, *ways])}.)"
