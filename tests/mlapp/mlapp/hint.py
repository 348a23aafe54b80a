"""Released events, as hints: what they claim is compared with the API before anything is done."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event

from mlapp.api import API, NotFound
from mlapp.trouble import Trouble, WrongUse
from mlapp.version import Version

TYPE = "dev.almanac.released.v1"


class Malformed(Exception):
    """What came is no CloudEvent, or no released event of the known form."""


@dataclass(frozen=True)
class Claim:
    """What a released event says."""

    id: str
    dataset: str
    name: str
    version: Version
    content: str  # SHA-256 of the content part of the manifest
    rows: int
    size: int  # bytes


@dataclass(frozen=True)
class Verdict:
    """What becomes of an event: an HTTP status, why, and the release that it is about, if that is new."""

    status: HTTPStatus
    why: str
    version: Version | None = None

    @property
    def again(self) -> bool:
        """Say whether the same event may fare better later."""
        return self.status == HTTPStatus.SERVICE_UNAVAILABLE


def from_http(headers: Mapping[str, str], body: bytes) -> Claim | None:
    """Read an event in binary or structured mode; None if it is not about a release."""
    return _claim(lambda: from_http_event(HTTPMessage({k.lower(): v for k, v in headers.items()}, body)))


def from_kafka(headers: list[tuple[str, bytes | None]], value: bytes) -> Claim | None:
    """Read an event of a Kafka record."""
    return _claim(lambda: from_kafka_event(KafkaMessage({k.lower(): v for k, v in headers if v is not None}, None, value)))


def _claim(decode: Callable[[], BaseCloudEvent]) -> Claim | None:
    try:
        event = decode()
    except Exception as wrong:  # the SDK lets the errors of all its decoders through
        raise Malformed(f"it is no CloudEvent: {wrong}") from wrong
    if event.get_type() != TYPE:
        return None
    data: Any = event.get_data()
    try:
        claim = Claim(event.get_id(), data["dataset"], data["name"], Version.parse(data["version"]), data["content"], data["rows"], data["bytes"])
    except (KeyError, TypeError, WrongUse) as wrong:
        raise Malformed(f"its data are not those of {TYPE}: {wrong!r}") from wrong
    said = (claim.version.name, claim.version.window, claim.version.revision)
    if said != (claim.name, data.get("window"), data.get("revision")):
        raise Malformed(f"its version {claim.version} is not that of its name, window and revision")
    return claim


class Judge:
    """Decides what an event is good for. It may be used by several threads."""

    def __init__(self, api: API, dataset: str, name: str, trained: Callable[[], Version | None]) -> None:
        self._api, self._dataset, self._name, self._trained = api, dataset, name, trained

    def judge(self, claim: Claim | None) -> Verdict:
        """Compare a claim with what the API serves. Events of others and those that say nothing new are done with."""
        if claim is None or (claim.dataset, claim.name) != (self._dataset, self._name):
            return Verdict(HTTPStatus.NO_CONTENT, "it is about something else")
        trained = self._trained()
        if trained is not None and claim.version <= trained:
            return Verdict(HTTPStatus.NO_CONTENT, f"{trained} is trained on already")
        try:
            served = self._api.release(claim.dataset, claim.version)
        except NotFound as missing:
            return Verdict(HTTPStatus.SERVICE_UNAVAILABLE, f"the API does not know {claim.version}, or not yet: {missing}")
        except Trouble as refused:  # such as a token that has ended: once somebody has mended that, the same event fares better
            return Verdict(HTTPStatus.SERVICE_UNAVAILABLE, f"the API does not tell about {claim.version}: {refused}")
        said = {"content_sha256": claim.content, "rows": claim.rows, "bytes": claim.size}
        if wrong := {k: v for k, v in said.items() if served.get(k) != v}:
            return Verdict(HTTPStatus.UNPROCESSABLE_ENTITY, f"it claims {wrong} of {claim.version}, the API serves another")
        if stale := served.get("stale"):
            return Verdict(HTTPStatus.NO_CONTENT, f"{claim.version} is outdated: {stale.get('cause')}")
        return Verdict(HTTPStatus.ACCEPTED, f"{claim.version} is new", claim.version)
