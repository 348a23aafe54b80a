"""The figures are those that others compute, and noise is told from difference."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from mlapp import measure


def flights(n=3000, seed=1):
    random = np.random.default_rng(seed)
    chance = random.random(n)
    late = (random.random(n) < chance).astype(np.int64)
    return np.round(chance, 2), late, np.arange(n) % 40  # rounded, so that there are ties


def test_the_figures_are_those_of_scikit_learn():
    predicted, late, groups = flights()
    draws = measure.draw(predicted, late, groups, 1)
    found = measure.summary(predicted, late, draws)
    assert found["auc"]["value"] == pytest.approx(roc_auc_score(late, predicted), abs=1e-12)
    assert found["brier"]["value"] == pytest.approx(brier_score_loss(late, predicted), abs=1e-12)
    assert found["log_loss"] == pytest.approx(log_loss(late, np.clip(predicted, 1e-12, 1 - 1e-12)), abs=1e-9)


def test_weights_count_a_flight_as_often_as_they_say():
    predicted, late, _ = flights(200)
    weights = np.random.default_rng(2).integers(0, 3, (1, 200)).astype(np.float64)
    doubled = np.repeat(np.arange(200), weights[0].astype(int))
    assert measure.auc(predicted, late, weights)[0] == pytest.approx(roc_auc_score(late[doubled], predicted[doubled]), abs=1e-12)


def test_an_interval_covers_what_is_true_as_often_as_it_says():
    # Predictions that say nothing have an area of one half: 95 of 100 intervals should hold it.
    held = 0
    for seed in range(100):
        random = np.random.default_rng(seed)
        late, predicted = random.integers(0, 2, 400), random.random(400)
        found = measure.interval(measure.draw(predicted, late, np.arange(400), seed).auc)
        held += found.low <= 0.5 <= found.high
    assert 88 <= held <= 100


def test_flights_that_are_alike_widen_the_interval():
    random = np.random.default_rng(3)
    day = np.arange(3000) % 20
    late = (random.random(20) < 0.5).astype(np.int64)[day]  # whole days are late
    predicted = np.clip(late * 0.1 + random.random(3000), 0, 1)
    alone, together = (measure.interval(measure.draw(predicted, late, g, 1).brier) for g in (np.arange(3000), day))
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_calibration_sees_what_is_too_high():
    _, late, _ = flights()
    table, error = measure.calibration(np.full(len(late), 0.9), late)
    assert sum(b["flights"] for b in table) == len(late)
    assert error == pytest.approx(0.9 - late.mean(), abs=0.05)
