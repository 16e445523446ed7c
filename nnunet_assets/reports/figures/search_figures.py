"""The figures of a search: its history, points by what they scored, which settings matter, and curves with their stops.

Scores that stand against each other are of equally many epochs; each axis that has a pseudo Dice says that it is one.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nnunet_assets.core.search.report import SearchReport
from nnunet_assets.core.text.amounts import count_text
from nnunet_assets.reports.figures.style import COLOURS, MARKERS, add_axes, in_style, new_figure, say_instead

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STATES: Mapping[str, int] = {"finished": 0, "stopped": 1, "failed": 3, "begun": 5}
"""State to the place of its colour and marker."""

PSEUDO_DICE = "pseudo Dice, moving average\n(random patches, no result)"


@in_style
def draw_history(report: SearchReport) -> "Figure":
    """Returns each trial's last score over the epochs that were spent by its begin, and the best one trained whole."""
    figure = new_figure(2.6)
    scored = [one for one in report.trials if one.score is not None]
    if not scored:
        return say_instead(figure, "No trial has a pseudo Dice yet.")
    (axes,) = add_axes(figure)
    spent, at = 0, {}
    for one in report.trials:
        spent += one.curve.n_epochs
        at[one.trial.number] = spent
    for state, place in STATES.items():
        of_state = [one for one in scored if one.trial.state == state]
        if of_state:
            axes.plot(
                [at[one.trial.number] for one in of_state],
                [one.score for one in of_state],
                color=COLOURS[place],
                marker=MARKERS[place],
                linestyle="",
                markersize=4,
                label=state,
            )
    whole = [one for one in scored if one.trial.state == "finished"]
    best = [max(one.score or 0.0 for one in whole[: n + 1]) for n in range(len(whole))]
    axes.step([at[one.trial.number] for one in whole], best, color=COLOURS[0], where="post", linewidth=0.8)
    axes.set(xlabel="epochs of all trials so far, in the order of their numbers", ylabel=PSEUDO_DICE)
    _legend_above(axes)
    return figure


@in_style
def draw_trial_curves(report: SearchReport) -> "Figure":
    """Returns the curve of each trial, its end marked by how it ended, and where trials are compared."""
    figure = new_figure(3.2)
    scored = [one for one in report.trials if one.score is not None]
    if not scored:
        return say_instead(figure, "No trial has a pseudo Dice yet.")
    (axes,) = add_axes(figure)
    for epochs in report.stopped_at:
        axes.axvline(epochs, color="0.8", linewidth=0.8, zorder=0)
    labelled: set[str] = set()
    for one in scored:
        state, place = one.trial.state, STATES[one.trial.state]
        n_epochs, scores = list(one.curve.scores), list(one.curve.scores.values())
        axes.plot(n_epochs, scores, color=COLOURS[place], linewidth=0.7, alpha=0.7)
        label = None if state in labelled else state
        labelled.add(state)
        axes.plot(
            n_epochs[-1:],
            scores[-1:],
            color=COLOURS[place],
            marker=MARKERS[place],
            markersize=4,
            linestyle="",
            label=label,
        )
    axes.set(xlabel="epochs trained", ylabel=PSEUDO_DICE)
    _legend_above(axes)
    return figure


@in_style
def draw_parallel(report: SearchReport) -> "Figure":
    """Returns the points of all trials, one line a trial over an axis a setting, darker where the score is better.

    The score is that after the number of epochs at which all trials are compared first; who has none there, or failed,
    is left out. A setting that is not part of a point interrupts its line.
    """
    figure = new_figure(3.2)
    at = report.compared_at
    whole = [one for one in report.trials if one.trial.state != "failed"]
    scored = [(one, one.curve.scores[at]) for one in whole if at in one.curve.scores]
    if len(scored) < 2:
        return say_instead(figure, f"Fewer than two trials have a pseudo Dice after {count_text(at, 'epoch')}.")
    (axes,) = add_axes(figure)
    names = [*report.settings, f"pseudo Dice\nafter {count_text(at, 'epoch')}"]
    scales = [_scale([one.trial.point.get(name) for one, _ in scored]) for name in report.settings]
    low, high = min(score for _, score in scored), max(score for _, score in scored)
    for one, score in sorted(scored, key=lambda pair: pair[1]):
        share = (score - low) / (high - low) if high > low else 1.0
        values = [
            scale.get(_key(one.trial.point.get(name))) for scale, name in zip(scales, report.settings, strict=True)
        ]
        heights = [float("nan") if value is None else value for value in values]
        axes.plot(range(len(names)), [*heights, share], color=COLOURS[0], alpha=0.15 + 0.85 * share, linewidth=1)
    for place, scale in enumerate(scales):
        for key, height in _labelled(scale):
            axes.annotate(
                _text(key), (place, height), textcoords="offset points", xytext=(3, 0), fontsize=6, va="center"
            )
    axes.annotate(f"{high:.3f}", (len(scales), 1), textcoords="offset points", xytext=(3, 0), fontsize=6)
    axes.annotate(f"{low:.3f}", (len(scales), 0), textcoords="offset points", xytext=(3, 0), fontsize=6)
    axes.set(xticks=range(len(names)), xticklabels=names, yticks=[], xlim=(-0.2, len(names) - 0.5))
    return figure


@in_style
def draw_importance(importance: Mapping[str, float], report: SearchReport) -> "Figure":
    """Returns how much of the differences each setting accounts for.

    Args:
        importance: Setting to its part, from 0 to 1; empty: nobody can tell.
        report: The search.
    """
    figure = new_figure(0.7 + 0.3 * max(1, len(importance)))
    if not importance:
        return say_instead(figure, "Too few trials to tell which settings matter.")
    (axes,) = add_axes(figure)
    names = sorted(importance, key=importance.__getitem__)
    epochs = count_text(report.compared_at, "epoch")
    axes.barh(names, [importance[name] for name in names], color=COLOURS[0], height=0.6)
    axes.set(xlabel=f"part of the importance, by pseudo Dice after {epochs}", xlim=(0, 1))
    return figure


def _legend_above(axes: Any) -> None:
    """Names the states where no point of a trial can lie under them."""
    axes.legend(frameon=False, ncols=4, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)


def _key(value: Any) -> Any:
    return str(value) if isinstance(value, list | bool) else value


def _scale(values: Sequence[Any]) -> dict[Any, float]:
    """Returns each value's height, from 0 to 1: numbers by their order of size, others by name."""
    kept = {_key(value) for value in values if value is not None}
    are_numbers = all(isinstance(value, int | float) for value in kept)
    ordered = sorted(kept) if are_numbers else sorted(kept, key=str)
    return {value: place / max(1, len(ordered) - 1) for place, value in enumerate(ordered)}


def _labelled(scale: Mapping[Any, float]) -> list[tuple[Any, float]]:
    """Returns all values of a short scale, and of a long one its ends and its middle."""
    items = list(scale.items())
    return items if len(items) <= 6 else [items[0], items[len(items) // 2], items[-1]]


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
