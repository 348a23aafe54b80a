"""The application as a whole, over an API of the test's own."""

import json

import numpy as np
import pytest
from conftest import Published

from mlapp import lesson, model, release
from mlapp.__main__ import main
from mlapp.api import API, Access
from mlapp.store import Store
from mlapp.trouble import WrongUse
from mlapp.version import Version


def run(server, out, *more):
    return main(["--api", server.url, "--out", str(out), "--once", "--patience", "0", *more])


def report(out, name="report.json"):
    return json.loads((out / name).read_text())


def test_two_lessons(server, tmp_path, capsys):
    server.releases = [Published(1)]
    assert run(server, tmp_path) == 0
    first = report(tmp_path)
    assert first["before"] is None
    assert first["model"]["auc"]["low"] > first["baselines"]["hour"]["auc"]["value"] > 0.5
    assert run(server, tmp_path) == 0
    assert "nothing is to do" in capsys.readouterr().out
    server.releases.append(Published(2))
    assert run(server, tmp_path) == 0
    second = report(tmp_path)
    assert second["releases"] == ["training-2001-01.1", "training-2001-02.1"]
    assert second["before"]["release"] == "training-2001-01.1"
    assert not second["before"]["worse"]
    assert Store(tmp_path).state()["release"] == "training-2001-02.1"


def test_the_same_release_gives_the_same_model(server, tmp_path):
    server.releases = [Published(1)]
    for name in ("a", "b"):
        assert run(server, tmp_path / name) == 0
    assert report(tmp_path / "a") == report(tmp_path / "b")


def test_a_last_revision_replaces_those_before_it(server, tmp_path):
    server.releases = [Published(1), Published(1, 2), Published(2)]
    assert run(server, tmp_path) == 0
    assert report(tmp_path)["releases"] == ["training-2001-01.2", "training-2001-02.1"]
    assert run(server, tmp_path / "alone", "--history", "0", "--release", "training-2001-01.2") == 0
    assert report(tmp_path / "alone")["releases"] == ["training-2001-01.2"]


def test_a_model_that_learnt_nothing_is_not_good_enough(server, tmp_path, capsys):
    server.releases = [Published(1, signal=0.0)]
    assert run(server, tmp_path) == 1
    assert "not good enough" in capsys.readouterr().err
    assert Store(tmp_path).state() is None
    assert report(tmp_path)["faults"]


def test_a_model_that_is_worse_does_not_replace_the_one_before(server, tmp_path, capsys):
    server.releases = [Published(1)]
    assert run(server, tmp_path) == 0
    random = np.random.default_rng(5)

    def muddled(table):  # what is to be trained on has lost much of its sense
        train = np.array(table["split"]) == "train"
        return {"late": np.where(train & (random.random(len(train)) < 0.85), random.random(len(train)) < 0.4, table["late"])}

    server.releases.append(Published(2, change=muddled))
    assert run(server, tmp_path, "--history", "0") == 1
    assert "worse than that of the model before" in capsys.readouterr().err
    assert Store(tmp_path).state()["release"] == "training-2001-01.1"


def test_a_tampered_file_is_named(server, tmp_path, capsys):
    server.releases = [Published(1)]
    digest, data = next(iter(server.releases[0].files.items()))
    server.releases[0].files[digest] = data[:-5] + b"?" + data[-4:]
    assert run(server, tmp_path) == 3
    assert digest in capsys.readouterr().err


def test_wrong_use(server, tmp_path, capsys):
    assert main(["--api", server.url, "--out", str(tmp_path)]) == 2
    assert "--listen" in capsys.readouterr().err
    assert run(server, tmp_path, "--release", "newest") == 2
    assert main(["--api", "almanac:8080", "--once", "--out", str(tmp_path)]) == 2
    assert run(server, tmp_path) == 4  # there is no release
    assert "there is no such release" in capsys.readouterr().err


def test_a_folder_is_held_by_one(tmp_path):
    held = Store(tmp_path)
    with pytest.raises(WrongUse, match="in use by another process"):
        Store(tmp_path)
    held.close()
    (tmp_path / "state.json").write_text('{"format": "x"}')
    with pytest.raises(WrongUse, match="remove the folder"):
        Store(tmp_path).state()


def test_a_model_of_another_make_is_not_compared(server, tmp_path, monkeypatch):
    server.releases = [Published(1)]
    assert run(server, tmp_path) == 0
    monkeypatch.setattr(model.sklearn, "__version__", "9.9")
    server.releases.append(Published(2))
    assert run(server, tmp_path) == 0
    assert "was made by scikit-learn" in report(tmp_path)["before"]["skipped"]


def test_a_model_that_saw_the_held_out_time_is_not_compared(server, tmp_path):
    server.releases = [Published(1), Published(2)]
    assert run(server, tmp_path) == 0
    kept = model.load(tmp_path / "models" / "training-2001-02.1.joblib")
    early = lesson.flights(_release(server, tmp_path), "test")
    found, faults = lesson.compare(kept, kept, early, 0.01, 1)
    assert "which are tested on here" in found["skipped"]
    assert faults == []


def _release(server, folder):
    return release.fetch(API(Access(server.url)), "flights", Version.parse("training-2001-01.1"), folder / "releases" / "training-2001-01.1")
