"""One lesson: train on a release and those before it, test on its held-out time, and judge."""

from dataclasses import asdict
from typing import Any

from mlapp import measure
from mlapp.flights import FEATURES, Flights, flights, join
from mlapp.model import Model, hour_rule, rate_rule, train
from mlapp.release import Release
from mlapp.trouble import NotVerified, WrongUse


def learn(release: Release, history: list[Release], seed: int) -> tuple[Model, Flights, Flights]:
    """Train on the part of a release that is for that, and on all of earlier ones: the model, what it was trained on, and what to test it on."""
    trained = join([*(flights(r) for r in history), flights(release, "train")])
    held_out = flights(release, "test")
    for part, name in ((trained, "train on"), (held_out, "test on")):
        if len(part) == 0 or part.late.min() == part.late.max():
            raise WrongUse(f"{release.manifest.version} has no late flights, or none but late ones, to {name}")
    if trained.span[1] >= held_out.span[0]:
        raise NotVerified(f"{release.manifest.version}: flights to train on leave until {trained.span[1]}, to test on from {held_out.span[0]}")
    return train(trained, seed), trained, held_out


def judge(model: Model, trained: Flights, held_out: Flights, seed: int) -> tuple[dict[str, Any], list[str]]:
    """Measure a model beside the simple rules. It gives the figures, and why it is not good enough, if it is not."""
    predicted, groups = model.predict(held_out), held_out.groups
    draws = measure.draw(predicted, held_out.late, groups, seed)
    report: dict[str, Any] = {
        "trained": _of(trained) | {"features": list(FEATURES)},
        "tested": _of(held_out),
        "model": measure.summary(predicted, held_out.late, draws),
        "baselines": {},
    }
    faults = []
    if report["model"]["auc"]["low"] <= 0.5:
        faults.append("its AUC may as well be that of chance")
    for name, rule in (("rate", rate_rule), ("hour", hour_rule)):
        by_rule = rule(trained, held_out)
        base = measure.draw(by_rule, held_out.late, groups, seed)
        report["baselines"][name] = measure.summary(by_rule, held_out.late, base) | {
            "auc_gain": asdict(measure.interval(draws.auc - base.auc)),
            "brier_gain": asdict(measure.interval(base.brier - draws.brier)),
        }
        faults += [f"its {what} is no better than that of the {name} of late flights" for what in _lost(draws, base)]
    return report, faults


def _lost(draws: measure.Draws, base: measure.Draws) -> list[str]:
    return ["AUC"] * bool(draws.auc[0] <= base.auc[0]) + ["Brier score"] * bool(draws.brier[0] >= base.brier[0])


def compare(before: Model, model: Model, held_out: Flights, margin: float, seed: int) -> tuple[dict[str, Any], list[str]]:
    """Measure a model beside the one before it, on flights that neither has seen.

    It is worse if the interval of the difference of their AUC lies wholly below minus the margin.
    """
    if before.until >= held_out.span[0]:
        return {"skipped": f"the model before was trained on flights until {before.until}, which are tested on here"}, []
    groups = held_out.groups
    old, new = (measure.draw(m.predict(held_out), held_out.late, groups, seed) for m in (before, model))
    gain = measure.interval(new.auc - old.auc)
    found = {
        "auc": asdict(measure.interval(old.auc)),
        "brier": asdict(measure.interval(old.brier)),
        "auc_gain": asdict(gain),
        "brier_gain": asdict(measure.interval(old.brier - new.brier)),
        "margin": margin,
        "worse": gain.high < -margin,
    }
    return found, [f"its AUC is worse than that of the model before by {-gain.high:.4f} at least"] if gain.high < -margin else []


def _of(part: Flights) -> dict[str, Any]:
    first, last = part.span
    return {"flights": len(part), "late_share": float(part.late.mean()), "from": first.isoformat(), "to": last.isoformat()}
