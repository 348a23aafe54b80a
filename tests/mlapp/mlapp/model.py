"""The model: boosted trees that say how likely a flight is late, and the two simple rules that they must beat."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import sklearn
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.preprocessing import OrdinalEncoder
from threadpoolctl import threadpool_limits

from mlapp.flights import FEATURES, PLACES, Flights, Floats
from mlapp.store import write

MOST_PLACES = 250  # that are told apart; the trees know up to 255 values of a category
SHRINK = 20  # flights of the whole that are mixed into each mean of few flights


@dataclass(frozen=True)
class Model:
    """A trained model. The same flights in the same order give the same model."""

    encoder: Any
    trees: Any
    until: datetime  # the last flight that it was trained on

    def predict(self, flights: Flights) -> Floats:
        """Say how likely each flight is late: (N,), from 0 to 1."""
        with threadpool_limits(1):
            return np.asarray(self.trees.predict_proba(_matrix(self.encoder.transform(flights.places), flights))[:, 1], dtype=np.float64)


def train(flights: Flights, seed: int) -> Model:
    """Train on flights of both kinds, late and not.

    One thread does it: those of OpenMP wait for each other by spinning, which took fifty times as long on a machine with other work.
    """
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, max_categories=MOST_PLACES)
    places = encoder.fit_transform(flights.places)
    trees = HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_iter=120,
        max_leaf_nodes=8,
        min_samples_leaf=300,
        l2_regularization=10.0,
        early_stopping=False,
        categorical_features=list(range(len(PLACES))),
        # A route that was late more often is never taken for a better one.
        monotonic_cst=[int(name == "route_late_share") for name in FEATURES],
        random_state=seed,
    )
    with threadpool_limits(1):
        trees.fit(_matrix(places, flights), flights.late)
    return Model(encoder, trees, flights.span[1])


def _matrix(places: Floats, flights: Flights) -> Floats:
    matrix: Floats = np.column_stack([places, flights.numbers])
    return matrix


def save(model: Model, path: Path) -> None:
    """Write a model whole or not at all."""
    kept = {"encoder": model.encoder, "trees": model.trees, "until": model.until, "features": FEATURES, "sklearn": sklearn.__version__}
    write(path, lambda file: joblib.dump(kept, file))


def load(path: Path) -> Model | str:
    """Read a model that save has written; or say why it cannot be used. It is a pickle, so read none that others wrote."""
    if not path.exists():
        return f"{path.name} is gone"
    kept = joblib.load(path)
    if kept["sklearn"] != sklearn.__version__:
        return f"it was made by scikit-learn {kept['sklearn']}, and this is {sklearn.__version__}"
    if kept["features"] != FEATURES:
        return f"it sees {', '.join(kept['features'])}, and now a model sees {', '.join(FEATURES)}"
    return Model(kept["encoder"], kept["trees"], kept["until"])


def rate_rule(trained: Flights, asked: Flights) -> Floats:
    """Say of each flight the share of all that were late."""
    return np.full(len(asked), trained.late.mean(), dtype=np.float64)


def hour_rule(trained: Flights, asked: Flights) -> Floats:
    """Say of each flight the share of those that were late of its airport and hour, drawn towards that of all where they are few."""
    airports, number = np.unique(np.concatenate([trained.places[:, 0], asked.places[:, 0]]).astype(str), return_inverse=True)
    cell = number * 24 + np.concatenate([trained.hour, asked.hour])
    ours, theirs = cell[: len(trained)], cell[len(trained) :]
    size = len(airports) * 24
    flights, late = np.bincount(ours, minlength=size), np.bincount(ours, weights=trained.late, minlength=size)
    shares: Floats = (late + SHRINK * trained.late.mean()) / (flights + SHRINK)
    given: Floats = shares[theirs]
    return given
