"""A release is downloaded whole, and whatever is wrong with it is found."""

from datetime import timedelta

import pyarrow as pa
import pytest
from conftest import TOKEN, Published

from mlapp import release
from mlapp.api import API, Access
from mlapp.flights import flights
from mlapp.trouble import NotVerified, Unreachable, WrongUse
from mlapp.version import Version


def get(server, published, folder, **access):
    api = API(Access(server.url, **access))
    return release.fetch(api, "flights", Version.parse(published.version), folder)


def test_a_release_comes_whole(server, tmp_path):
    published = Published(1)
    server.releases = [published]
    got = get(server, published, tmp_path)
    assert got.table.num_rows == 4000
    assert got.manifest.digest == published.digest
    before = len(server.seen)
    get(server, published, tmp_path)
    assert [path for path, _ in server.seen[before:] if "/files/" in path] == [], "a copy that is there is not downloaded again"


def test_a_download_goes_on_where_it_broke_off(server, tmp_path):
    published = Published(1)
    server.releases, server.cut = [published], [1000, 2500]
    get(server, published, tmp_path)
    ranges = [h.get("Range") for path, h in server.seen if "/files/" in path]
    assert ranges == [None, "bytes=1000-", "bytes=3500-", None]


def test_a_download_goes_on_after_a_kill(server, tmp_path):
    published = Published(1)
    server.releases = [published]
    digest, data = next(iter(published.files.items()))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / f"{digest}.parquet.part").write_bytes(data[:777])
    get(server, published, tmp_path)
    assert [h.get("Range") for path, h in server.seen if digest in path] == ["bytes=777-"]


def test_the_remainder_of_something_else_is_thrown_away(server, tmp_path):
    published = Published(1)
    server.releases = [published]
    digest, data = next(iter(published.files.items()))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / f"{digest}.parquet.part").write_bytes(b"?" * (len(data) + 5))
    get(server, published, tmp_path)
    (tmp_path / "data" / f"{digest}.parquet").write_bytes(b"?" * len(data))
    assert get(server, published, tmp_path).table.num_rows == 4000


def test_a_download_that_gets_no_further_ends(server, tmp_path):
    published = Published(1)
    server.releases, server.cut = [published], [0] * 50
    with pytest.raises(Unreachable, match="stops after 0 of"):
        get(server, published, tmp_path)


def test_a_changed_byte_is_found(server, tmp_path):
    published = Published(1)
    server.releases = [published]
    digest = next(iter(published.files))
    data = bytearray(published.files[digest])
    data[len(data) // 2] ^= 1
    published.files[digest] = bytes(data)
    with pytest.raises(NotVerified, match=rf"data/{digest}\.parquet has the SHA-256"):
        get(server, published, tmp_path)


def test_a_changed_manifest_is_found(server, tmp_path):
    published = Published(1)
    published.manifest = published.manifest.replace(b'"total":4000', b'"total":4001')
    server.releases = [published]
    with pytest.raises(NotVerified, match=r"the content of manifest\.json has the SHA-256"):
        get(server, published, tmp_path)


# What a manifest may claim, with its digest right, and what is said of it.
CLAIMS = {
    "more rows in all": (lambda c: c["rows"].update(total=1), "its counts are"),
    "other splits": (lambda c: c["rows"].update(splits={"train": 4000}), "its counts are"),
    "more rows in a file": (
        lambda c: (
            c["files"][0].update(rows=5),
            c["rows"].update(total=5 + c["files"][1]["rows"], splits={"test": 5, "train": c["files"][1]["rows"]}),
        ),
        "rows, the manifest says 5",
    ),
    "a smaller file": (lambda c: c["files"][0].update(bytes=100), "bytes, the manifest says 100|has the SHA-256"),
    "another path": (lambda c: c["files"][0].update(path="../../etc/passwd"), "is not named by its SHA-256"),
    "a file twice": (lambda c: c["files"].append(c["files"][0]), "names a file twice"),
    "another column": (lambda c: c["schema"][3].update(type="int32"), "has the columns"),
    "a column that may be null": (lambda c: c["schema"][0].update(nullable=True), "has the columns"),
    "an open sheet": (lambda c: c["inputs"][0]["windows"][0]["sheet"]["2001-01-01"].update(read=1), "not every row of rows 2001, day 2001-01-01"),
    "another version": (lambda c: c.update(version="training-2001-02.1"), "is that of flights training-2001-02.1"),
    "another form": (lambda c: c.update(format="almanac-release/2"), "almanac-release/2"),
    "no window": (lambda c: c.pop("window"), "is not of the form"),
    "swapped splits": (
        lambda c: (
            c["files"][0].update(split="train"),
            c["files"][1].update(split="test"),
            c["rows"].update(splits={"train": c["files"][0]["rows"], "test": c["files"][1]["rows"]}),
        ),
        "rows of another split",
    ),
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_manifest_that_claims(claim, server, tmp_path):
    change, said = CLAIMS[claim]
    published = Published(1)
    change(published.content)
    published.seal()
    server.releases = [published]
    with pytest.raises(NotVerified, match=said):
        get(server, published, tmp_path)


def test_a_flight_outside_the_window_is_found(server, tmp_path):
    published = Published(1, change=lambda t: {"flight_time": [t["flight_time"][0] - timedelta(days=1), *t["flight_time"][1:]]})
    server.releases = [published]
    with pytest.raises(NotVerified, match="its window is"):
        flights(get(server, published, tmp_path))


def test_figures_of_a_week_that_was_not_over_are_found(server, tmp_path):
    published = Published(1, change=lambda t: {"known_week": [t["known_week"][0], t["flight_time"][1] - timedelta(days=3), *t["known_week"][2:]]})
    server.releases = [published]
    with pytest.raises(NotVerified, match="1 flights use figures of a week that was not over"):
        flights(get(server, published, tmp_path))


def test_a_release_of_another_kind_is_refused(server, tmp_path):
    published = Published(1)
    server.releases = [published]
    got = get(server, published, tmp_path)
    other = release.Release(got.manifest, got.table.drop_columns(["hour"]), got.size)
    with pytest.raises(WrongUse, match="has no columns hour"):
        flights(other)
    assert isinstance(got.table, pa.Table)


def test_the_token_and_the_name_of_the_service_are_sent(server, tmp_path):
    published, token = Published(1), tmp_path / "token"
    server.releases, server.token = [published], TOKEN
    with pytest.raises(WrongUse, match="401 no token; who may read"):
        get(server, published, tmp_path)
    token.write_text(TOKEN + "\n")
    get(server, published, tmp_path, token_file=token, host="serve.almanac.example.org")
    assert {h["Host"] for _, h in server.seen[1:]} == {"serve.almanac.example.org"}
