"""Events by Kafka: the topic of released facts, read by a consumer group of the application's own."""

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message

from mlapp.hint import Claim, Malformed, Verdict, from_kafka
from mlapp.trouble import Unreachable, WrongUse

POLL_SECONDS = 0.5
PROBE_SECONDS = 5.0
TRIES = 8  # of an event that may fare better later
LONGEST_LESSON = 30 * 60 * 1000  # milliseconds until the broker takes a member for dead that does not ask for more
_AFTER = re.compile(r" \(after .*")
FATAL = {KafkaError._AUTHENTICATION, KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED}  # noqa: SLF001


@dataclass(frozen=True)
class Brokers:
    """How Kafka is reached. With a CA, a certificate or a user connections are TLS, else plain."""

    servers: str
    topic: str
    group: str
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    user: str = ""
    password_file: Path | None = None

    def settings(self) -> dict[str, Any]:
        """Make the settings of the client."""
        secure = self.ca or self.certificate or self.user
        settings: dict[str, Any] = {
            "bootstrap.servers": self.servers,
            "group.id": self.group,
            "client.id": "mlapp",
            "log_level": 2,  # what matters of it comes as errors too
            "security.protocol": ("SASL_" if self.user else "") + ("SSL" if secure else "PLAINTEXT"),
            "enable.auto.commit": False,
            # A new group reads what is there: events that say nothing new do no harm.
            "auto.offset.reset": "earliest",
            "max.poll.interval.ms": LONGEST_LESSON,
            "allow.auto.create.topics": False,
        }
        for name, file in (("ssl.ca.location", self.ca), ("ssl.certificate.location", self.certificate), ("ssl.key.location", self.key)):
            if file:
                settings[name] = str(file)
        if self.user:
            if self.password_file is None:
                raise WrongUse("--kafka-user needs --kafka-password-file")
            try:
                password = self.password_file.read_text().partition("\n")[0].rstrip("\r")
            except OSError as failed:
                raise WrongUse(f"--kafka-password-file: {failed}") from failed
            settings |= {"sasl.mechanism": "SCRAM-SHA-512", "sasl.username": self.user, "sasl.password": password}
        return settings


class Topic:
    """Reads the topic in a thread of its own, an event at a time.

    `receive` is called with each event and may take as long as a lesson does; only then is the event committed. `failed` is called once, if reading
    cannot go on: at once where a broker refuses, and after the patience where none answers.
    """

    def __init__(
        self,
        brokers: Brokers,
        receive: Callable[[Claim | None], Verdict],
        failed: Callable[[Exception], None],
        say: Callable[[str], None],
        patience: float,
    ) -> None:
        self._brokers, self._receive, self._failed, self._say, self._patience = brokers, receive, failed, say, patience
        self._stop = threading.Event()
        self._told: list[str] = []  # since Kafka answered last, and since when
        self._since = 0.0
        try:
            self._consumer = Consumer(brokers.settings() | {"error_cb": self._tell})
            self._consumer.subscribe([brokers.topic])
        except KafkaException as wrong:
            raise WrongUse(f"--kafka {brokers.servers}: {wrong.args[0].str()}") from wrong
        self._thread = threading.Thread(target=self._run, name="kafka", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop after the event that is under way, and leave the group."""
        self._stop.set()
        self._thread.join()
        self._consumer.close()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                message = self._consumer.poll(POLL_SECONDS)
                if message is None:
                    self._probe()
                elif error := message.error():
                    self._tell(error)
                else:
                    self._told.clear()
                    if self._handled(message):
                        self._commit(message)
        except Exception as failed:  # noqa: BLE001 # the thread's owner ends the program by it
            self._failed(failed)

    def _tell(self, error: KafkaError) -> None:
        """Say what is wrong, once: the client goes on by itself."""
        if self._stop.is_set():
            return
        text = f"Kafka {self._brokers.servers}, topic {self._brokers.topic}: {_AFTER.sub('', error.str())}"
        if error.fatal() or error.code() in FATAL:
            raise Unreachable(text)
        if not self._told:
            self._since = time.monotonic()
        if text not in self._told:
            self._told.append(text)
            self._say(f"{text}; the client tries again")

    def _probe(self) -> None:
        """Find out whether Kafka answers again: a topic without events would not show it."""
        if not self._told or time.monotonic() - self._since < self._patience:
            return
        try:
            self._consumer.list_topics(self._brokers.topic, timeout=PROBE_SECONDS)
        except KafkaException as failed:
            raise Unreachable(f"{self._told[-1]}; it has not answered for {self._patience:.0f} s") from failed
        self._told.clear()

    def _handled(self, message: Message) -> bool:
        """Deal with an event; one that cannot be used is passed over. It is not handled if there was a stop before its end."""
        where = f"event at offset {message.offset()} of {message.topic()}"
        try:
            claim = from_kafka(_headers(message), message.value() or b"")
        except Malformed as wrong:
            self._say(f"{where} is passed over: {wrong}")
            return True
        for attempt in range(TRIES):
            verdict = self._receive(claim)
            if not verdict.again:
                break
            if self._stop.wait(min(0.2 * 2**attempt, 10)):
                return False
        if verdict.status >= HTTPStatus.BAD_REQUEST:
            self._say(f"{where} is passed over: {verdict.why}")
        return True

    def _commit(self, message: Message) -> None:
        try:
            self._consumer.commit(message=message, asynchronous=False)
        except KafkaException as failed:
            self._say(f"offset {message.offset()} of {message.topic()} is not committed, so its event may come again: {failed.args[0].str()}")


def _headers(message: Message) -> list[tuple[str, bytes | None]]:
    given = message.headers() or []
    pairs = given.items() if isinstance(given, dict) else given
    return [(k, v.encode() if isinstance(v, str) else v) for k, v in pairs]
