"""How good predictions are, and how much of that is chance.

Intervals are bootstrapped: whole groups of flights (an airport's day) are drawn, since those of one group are not independent of each other. The same
draws serve all that is compared, so that a difference has an interval of its own, narrower than those of its sides.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mlapp.flights import Floats, Whole

DRAWS = 1000
AT_ONCE = 100  # draws; bounds the memory
LEVEL = 0.95
BINS = 10


@dataclass(frozen=True)
class Interval:
    """A figure, and the bounds between which it lies with 95 %."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Draws:
    """Figures of the flights as they are, first, and of each draw after it: (1 + DRAWS,)."""

    auc: Floats
    brier: Floats


def draw(predicted: Floats, late: Whole, groups: Whole, seed: int) -> Draws:
    """Compute AUC and Brier score over the flights and over draws of their groups. The same seed and groups give the same draws."""
    if late.min() == late.max():
        raise ValueError("the flights are all late, or none is")
    n = int(groups.max()) + 1
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=DRAWS)
    counts = np.vstack([np.ones((1, n), dtype=counts.dtype), counts])
    weights = (c[:, groups].astype(np.float64) for c in np.split(counts, range(AT_ONCE, len(counts), AT_ONCE)))
    parts = [(auc(predicted, late, w), _brier(predicted, late, w)) for w in weights]
    return Draws(np.concatenate([a for a, _ in parts]), np.concatenate([b for _, b in parts]))


def auc(predicted: Floats, late: Whole, weights: Floats) -> Floats:
    """Compute the area under the ROC curve for each row of weights (D, N): how often a late flight has the higher prediction; ties count half."""
    order = np.argsort(predicted, kind="stable")
    score = predicted[order]
    ties = np.flatnonzero(np.r_[True, score[1:] != score[:-1]])
    sorted_weights, sorted_late = weights[:, order], late[order]
    positive = np.add.reduceat(sorted_weights * sorted_late, ties, axis=1)
    negative = np.add.reduceat(sorted_weights * (1 - sorted_late), ties, axis=1)
    below = np.cumsum(negative, axis=1) - negative / 2
    with np.errstate(invalid="ignore"):  # a draw without late flights has no area
        areas: Floats = (positive * below).sum(axis=1) / (positive.sum(axis=1) * negative.sum(axis=1))
    return areas


def _brier(predicted: Floats, late: Whole, weights: Floats) -> Floats:
    scores: Floats = weights @ (predicted - late) ** 2 / weights.sum(axis=1)
    return scores


def interval(figures: Floats) -> Interval:
    """Make an interval of a figure and its draws."""
    low, high = np.nanquantile(figures[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(figures[0]), float(low), float(high))


def calibration(predicted: Floats, late: Whole) -> tuple[list[dict[str, Any]], float]:
    """Compare in ten bins of equally many flights what was predicted with what came; and sum up the differences (expected calibration error)."""
    bins = np.array_split(np.argsort(predicted, kind="stable"), BINS)
    table = [{"flights": len(b), "predicted": float(predicted[b].mean()), "observed": float(late[b].mean())} for b in bins if len(b)]
    return table, sum(abs(b["predicted"] - b["observed"]) * b["flights"] for b in table) / len(late)


def summary(predicted: Floats, late: Whole, draws: Draws) -> dict[str, Any]:
    """Say all that is to be said of predictions alone."""
    table, error = calibration(predicted, late)
    clipped = np.clip(predicted, 1e-12, 1 - 1e-12)
    log_loss = -np.where(late == 1, np.log(clipped), np.log1p(-clipped)).mean()
    return {
        "auc": asdict(interval(draws.auc)),
        "brier": asdict(interval(draws.brier)),
        "log_loss": float(log_loss),
        "calibration_error": error,
        "calibration": table,
    }
