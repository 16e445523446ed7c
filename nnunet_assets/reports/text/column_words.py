"""What a column of numbers is, in a few words with its unit, by its name: `hd95_mm_mean` is a mean in millimetres.

Names are those of the CSV files. What a name does not say is not made up.
"""

import re

STATISTICS = {
    "mean": "mean",
    "sd": "standard deviation (n − 1)",
    "median": "median",
    "q1": "first quartile",
    "q3": "third quartile",
    "ci95_low": "lower end of the 95 % interval of the mean",
    "ci95_high": "upper end of the 95 % interval of the mean",
    "minimum": "smallest",
    "maximum": "largest",
    "difference": "difference of the means",
}
OVER = {
    "pooled": "over the cases of all folds",
    "over_folds": "over the fold means",
    "test": "of the test set",
    "cv": "of the validation cases",
    "behind": "of what it is behind the best",
}
UNITS = {
    "_mm": "in mm",
    "_ml": "in ml",
    "_bytes": "in bytes",
    "_seconds": "in seconds",
    "_gb": "in GB",
    "_voxels": "in voxels",
    "_hours": "in hours",
}
SHARES = ("dice", "iou", "nsd", "nsd_surface", "sensitivity", "precision", "first_share", "p", "p_corrected")
WORDS = {
    "fold": "nnU-Net's name of the fold",
    "case": "name of the case",
    "label": "name of the label, or the mean over all of them",
    "level": "a label, or the mean of the foreground",
    "metric": "what was measured",
    "experiment": "name within the dataset",
    "missing_folds": "the folds that are not finished, separated by spaces",
    "findings": "codes of what stands out in the case, separated by commas",
    "rank": "of the pooled mean, 1 is the best",
    "rank_low": "best rank in 95 % of the halves of the cases",
    "rank_high": "worst rank in 95 % of the halves of the cases",
    "first_share": "part of the halves in which it is the first",
    "n_worst": "cases at the worst value of the metric",
    "mean_difference": "difference of the pooled means, left minus right",
    "effect": "difference divided by the sum of both errors, from −1 to 1",
    "p": "probability of such a difference without any",
    "p_corrected": "the same, corrected by Bonferroni",
    "noise_floor": "difference that seeds alone make",
    "n_defined_in_one": "cases in which one of the two is undefined",
    "behind": "Dice by which its mean is behind the best",
    "n_defined": "cases in which Dice is defined",
    "gain": "Dice that the step adds to the mean",
    "n_better": "patients who get better",
    "n_worse": "patients who get worse",
}


def column_description(name: str) -> str | None:
    """Returns what a column is: `mean over the cases of fold_3, between 0 and 1`; None: its name says nothing more."""
    words = [WORDS[name]] if name in WORDS else [*_statistic(name), *_counted(name)]
    unit = next((text for ending, text in UNITS.items() if re.search(rf"{ending}(_|/|$)", name)), None)
    if unit is None and any(re.search(rf"(^|_){share}(_|$)", name) for share in SHARES):
        unit = "between 0 and 1"
    text = ", ".join([" ".join(words), *([unit] if unit else [])] if words else [unit] if unit else [])
    return text or None


def _statistic(name: str) -> list[str]:
    if found := re.fullmatch(r"mean_(fold_\w+)", name):
        return [f"mean over the cases of {found[1]}"]
    parts = {word for word in STATISTICS if re.search(rf"(^|_){word}(_|$)", name)}
    over = [text for word, text in OVER.items() if re.search(rf"(^|_){word}(_|$)", name)]
    return [STATISTICS[word] for word in STATISTICS if word in parts][-1:] + over if parts else []


def _counted(name: str) -> list[str]:
    what = {"n_cases": "cases", "n_folds": "folds", "n": "cases"}
    found = re.search(r"(^|_)(n_cases|n_folds|n)(_defined)?(_|$)", name)
    if not found:
        return []
    return [f"number of {what[found[2]]}" + (" in which it is defined" if found[3] else "")]
