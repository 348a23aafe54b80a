"""Events are believed only as far as the API bears them out."""

import json
import socket
import urllib.error
import urllib.request

import pytest
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from conftest import Published

from mlapp.api import API, Access
from mlapp.app import App, Task
from mlapp.door import Door
from mlapp.hint import TYPE, Judge, Malformed, from_http, from_kafka
from mlapp.store import Store
from mlapp.topic import Brokers
from mlapp.trouble import WrongUse
from mlapp.version import Version


def event(data, kind=TYPE):
    return CloudEvent(
        {"id": "released/1", "source": "/almanac/deliver", "type": kind, "specversion": "1.0", "datacontenttype": "application/json"}, data
    )


@pytest.mark.parametrize("mode", [to_binary_event, to_structured_event])
def test_an_event_is_read_in_both_modes(mode):
    message = mode(event(Published(2).event()))
    claim = from_http({k.title(): v for k, v in message.headers.items()}, message.body)
    assert (claim.dataset, claim.version, claim.id) == ("flights", Version("2001-02", 1, "training"), "released/1")


def test_an_event_is_read_from_a_record():
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"x"),
        ("ce_source", b"/a"),
        ("ce_type", TYPE.encode()),
        ("content-type", b"application/json"),
        ("z", None),
    ]
    assert str(from_kafka(headers, json.dumps(Published(2).event()).encode()).version) == "training-2001-02.1"
    with pytest.raises(Malformed):
        from_kafka([], b"")


MALFORMED = {
    "no version": {"version": "2"},
    "a version of another window": {"window": "2001-03"},
    "a version of another revision": {"revision": 7},
    "a version of another name": {"name": "other"},
    "a revision of more digits than a number has": {"version": "training-2001-02." + 5000 * "1"},
}


@pytest.mark.parametrize("what", MALFORMED)
def test_an_event_with(what):
    with pytest.raises(Malformed):
        from_http(*_binary(event(Published(2).event(**MALFORMED[what]))))


@pytest.mark.parametrize("data", [None, "text", [], {"dataset": "flights"}])
def test_an_event_with_other_data(data):
    with pytest.raises(Malformed):
        from_http(*_binary(event(data)))


def _binary(e):
    message = to_binary_event(e)
    return message.headers, message.body


# What an event says beside the truth, and how it is answered when training-2001-01.1 is trained on and training-2001-02.1 is there.
VERDICTS = {
    "the truth": ({}, TYPE, 202),
    "another data set": ({"dataset": "births"}, TYPE, 204),
    "another kind of event": ({}, "dev.almanac.stored.v1", 204),
    "what is trained on": ({"version": "training-2001-01.1", "window": "2001-01"}, TYPE, 204),
    "what is older": ({"version": "training-2000-12.9", "window": "2000-12", "revision": 9}, TYPE, 204),
    "what is not there": ({"version": "training-2001-03.1", "window": "2001-03"}, TYPE, 503),
    "another digest": ({"content": "00"}, TYPE, 422),
    "other rows": ({"rows": 1}, TYPE, 422),
    "other bytes": ({"bytes": 1}, TYPE, 422),
}


@pytest.mark.parametrize("what", VERDICTS)
def test_an_event_that_says(what, server):
    changes, kind, status = VERDICTS[what]
    server.releases = [Published(1), Published(2)]
    judge = Judge(API(Access(server.url)), "flights", "training", lambda: Version("2001-01", 1, "training"))
    verdict = judge.judge(from_http(*_binary(event(server.releases[1].event(**changes), kind))))
    assert (verdict.status, verdict.version is not None) == (status, status == 202), verdict.why


def test_an_event_of_an_outdated_release(server):
    server.releases = [Published(2)]
    server.stale = {"training-2001-02.1": {"cause": "a day was restated"}}
    verdict = Judge(API(Access(server.url)), "flights", "training", lambda: None).judge(from_http(*_binary(event(server.releases[0].event()))))
    assert verdict.status == 204
    assert "restated" in verdict.why


@pytest.mark.parametrize("status", [400, 401, 403, 418, 500])
def test_an_event_when_the_api_refuses(status, server, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(server, "answer", lambda request: server.send(request, status, b'{"detail": "not for you"}'))
    lines = []
    app = App(API(Access(server.url)), Store(tmp_path), Task("flights", "training", None, 0, 0.01, 1, 0.0), lines.append)
    door = Door("127.0.0.1:0", lambda claim: app._receive(claim, "http"), lambda: "")  # noqa: SLF001
    try:
        assert _answer(door.url, *_binary(event(Published(2).event()))) == (503, lines[0].removeprefix("event by http is refused: ") + "\n")
        assert "not for you" in lines[0]
        assert "Traceback" not in capfd.readouterr().err
    finally:
        door.close()


@pytest.mark.parametrize("length", ["\u00b2", "\u0663", "-1", "1" * 5000, "many"])
def test_an_event_whose_length_is_no_number(length, capfd):
    door = Door("127.0.0.1:0", lambda _: pytest.fail("it was read"), lambda: "")
    try:
        with socket.create_connection(door.url.removeprefix("http://").rsplit(":", 1)) as to:
            to.sendall(f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode("utf-8" if length == "\u0663" else "latin-1"))
            assert to.makefile("rb").readline().split()[1] == b"413"
        assert "Traceback" not in capfd.readouterr().err
    finally:
        door.close()


def test_the_door(server):
    server.releases = [Published(2)]
    judge = Judge(API(Access(server.url)), "flights", "training", lambda: None)
    door = Door("127.0.0.1:0", judge.judge, lambda: "well")
    try:
        headers, body = _binary(event(server.releases[0].event()))
        assert _post(door.url, headers, body) == 202
        assert _post(door.url, {}, b"what?") == 400
        assert _post(door.url, {}, b"x" * ((1 << 20) + 1)) == 413
        assert urllib.request.urlopen(door.url + "/healthz").read() == b"well\n"
        with pytest.raises(WrongUse, match="choose another port"):
            Door(door.url.removeprefix("http://"), judge.judge, lambda: "")
    finally:
        door.close()


def _answer(url, headers, body):
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(urllib.request.Request(url, body, headers))
    return refused.value.code, refused.value.read().decode()


def _post(url, headers, body):
    try:
        return urllib.request.urlopen(urllib.request.Request(url, body, headers)).status
    except urllib.error.HTTPError as refused:
        return refused.code
    except urllib.error.URLError:
        return 413  # the door was closed while the rest was sent


@pytest.mark.parametrize("listen", ["9080", "localhost", "127.0.0.1:x", "127.0.0.1:99999"])
def test_a_door_that_cannot_be(listen):
    with pytest.raises(WrongUse, match="--listen"):
        Door(listen, lambda _: None, lambda: "")


def test_how_kafka_is_reached(tmp_path):
    secret = tmp_path / "password"
    secret.write_text("word\r\nmore")
    assert Brokers("b:1", "t", "g").settings()["security.protocol"] == "PLAINTEXT"
    assert Brokers("b:1", "t", "g", certificate=tmp_path).settings()["security.protocol"] == "SSL"
    settings = Brokers("b:1", "t", "g", ca=tmp_path, user="mlapp", password_file=secret).settings()
    assert (settings["security.protocol"], settings["sasl.password"]) == ("SASL_SSL", "word")
    with pytest.raises(WrongUse, match="--kafka-password-file"):
        Brokers("b:1", "t", "g", user="mlapp").settings()
