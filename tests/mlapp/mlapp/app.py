"""The application: it learns from a release, waits for the next, and learns anew."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

from mlapp import lesson, model, release
from mlapp.api import API, NotFound
from mlapp.door import Door
from mlapp.flights import Flights
from mlapp.hint import Claim, Judge, Verdict
from mlapp.show import show
from mlapp.store import FORMAT, Store
from mlapp.topic import Brokers, Topic
from mlapp.trouble import NotGoodEnough, Unreachable
from mlapp.version import Version

T = TypeVar("T")

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0  # seconds between tries while the API does not answer
LONGEST_DEAFNESS = 0.5  # seconds until a signal is seen


@dataclass(frozen=True)
class Task:
    """What to learn from, and how to judge it."""

    dataset: str
    name: str
    release: Version | None  # to begin with; None for the newest
    history: int  # earlier releases that are trained on too
    margin: float
    seed: int
    patience: float  # seconds that the API may not answer


class Wake:
    """An event that says something new. Whoever brought it may wait until it is dealt with."""

    def __init__(self, version: Version, way: str, event: str) -> None:
        self.version, self.way, self.event = version, way, event
        self.done = threading.Event()


class App:
    """Holds the folder of one application. It may be interrupted anywhere by an exception: what is kept in the folder is whole."""

    def __init__(self, api: API, store: Store, task: Task, say: Callable[[str], None]) -> None:
        self._api, self._store, self._task, self._say = api, store, task, say
        self._wakes: queue.SimpleQueue[Wake | Exception] = queue.SimpleQueue()
        self._ending = threading.Event()
        state = store.state()
        self._trained = Version.parse(state["release"]) if state else None
        self._judge = Judge(api, task.dataset, task.name, lambda: self._trained)

    def once(self) -> None:
        """Learn from the release that is asked for, if that is not done already."""
        version = self._patiently(self._first)
        if self._trained is not None and version <= self._trained:
            self._say(f"{self._trained} is trained on already; nothing is to do")
            return
        self._patiently(lambda: self._learn(version, {"way": "start"}))

    def run(self, listen: str, brokers: Brokers | None) -> None:
        """Learn once, then from each release that an event tells of. Doors are open from the beginning: what comes meanwhile waits."""
        doors: list[Door | Topic] = []
        try:
            if listen:
                door = Door(listen, lambda claim: self._receive(claim, "http"), lambda: f"trained on {self._trained}")
                doors.append(door)
                self._say(f"takes events at {door.url}")
            if brokers:
                doors.append(Topic(brokers, lambda claim: self._receive(claim, "kafka"), self._wakes.put, self._say, self._task.patience))
                self._say(f"takes events from {brokers.topic} at {brokers.servers}")
            self.once()
            while True:
                # Python runs no handler of a signal that came just before a call into C, and a wait without end would never be interrupted then.
                with contextlib.suppress(queue.Empty):
                    self._handle(self._wakes.get(timeout=LONGEST_DEAFNESS))
        finally:
            self._ending.set()
            for one in doors:
                one.close()

    def _receive(self, claim: Claim | None, way: str) -> Verdict:
        """Judge an event and pass it on if it is new. One by Kafka waits for its end, so that it is committed after that."""
        verdict = self._judge.judge(claim)
        if verdict.version is None or claim is None:
            if verdict.status >= HTTPStatus.BAD_REQUEST:
                self._say(f"event by {way} is refused: {verdict.why}")
            return verdict
        wake = Wake(verdict.version, way, claim.id)
        self._wakes.put(wake)
        if way == "kafka":
            while not wake.done.wait(0.2):
                if self._ending.is_set():
                    return Verdict(HTTPStatus.SERVICE_UNAVAILABLE, "the application ends")
        return verdict

    def _handle(self, wake: Wake | Exception) -> None:
        if isinstance(wake, Exception):
            raise wake
        if self._trained is None or wake.version > self._trained:
            # Where several came in a row, only the newest is worth a lesson.
            newest = self._patiently(lambda: self._api.latest(self._task.dataset, self._task.name))
            self._patiently(lambda: self._learn(newest, {"way": wake.way, "event": wake.event}))
        wake.done.set()

    def _first(self) -> Version:
        newest = self._api.latest(self._task.dataset, self._task.name)
        wanted = self._task.release
        return newest if wanted is None or self._trained is not None else wanted

    def _learn(self, version: Version, woken: dict[str, Any]) -> None:
        task, store = self._task, self._store
        self._say(f"{version} is new ({' '.join(woken.values())}): downloads, verifies and trains")
        newest = self._fetch(version)
        history = [self._fetch(v) for v in self._history(version)]
        learnt, trained, held_out = lesson.learn(newest, history, task.seed)
        report, faults = lesson.judge(learnt, trained, held_out, task.seed)
        before, worse = self._beside(learnt, held_out)
        content = newest.manifest.content
        report |= {
            "dataset": task.dataset,
            "release": str(version),
            "content_sha256": newest.manifest.digest,
            "releases": [str(r.manifest.version) for r in (*history, newest)],
            "woken": woken,
            "verified": {"files": len(content["files"]), "rows": content["rows"]["total"], "bytes": newest.size},
            "before": before,
            "faults": faults + worse,
        }
        store.write_json(f"reports/{version}.json", report)
        store.write_json("report.json", report)
        self._say(show(report))
        if report["faults"]:
            raise NotGoodEnough(f"the model of {version} is not good enough: {'; '.join(report['faults'])}. The model of {self._trained} stays")
        model.save(learnt, store.model(str(version)))
        store.write_json("state.json", {"format": FORMAT, "dataset": task.dataset, "release": str(version), "content_sha256": newest.manifest.digest})
        self._trained = version
        self._say(f"{version} is trained on")

    def _fetch(self, version: Version) -> release.Release:
        return release.fetch(self._api, self._task.dataset, version, self._store.release(str(version)))

    def _history(self, version: Version) -> list[Version]:
        """List the last revision of each window before that of a version, oldest first."""
        windows = {v.window: v for v in self._api.releases(self._task.dataset, self._task.name) if v.window < version.window}
        return list(windows.values())[-self._task.history :] if self._task.history else []

    def _beside(self, learnt: model.Model, held_out: Flights) -> tuple[dict[str, Any] | None, list[str]]:
        if self._trained is None:
            return None, []
        before = model.load(self._store.model(str(self._trained)))
        if isinstance(before, str):
            return {"release": str(self._trained), "skipped": before}, []
        found, worse = lesson.compare(before, learnt, held_out, self._task.margin, self._task.seed)
        return found | {"release": str(self._trained)}, worse

    def _patiently(self, do: Callable[[], T]) -> T:
        """Try again while the API does not answer, or has no release yet."""
        began, pause = time.monotonic(), FIRST_PAUSE
        while True:
            try:
                return do()
            except Unreachable as failed:
                if time.monotonic() - began > self._task.patience:
                    raise
                waits = "waits for a release" if isinstance(failed, NotFound) else "tries again"
                self._say(f"{failed}; {waits}")
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
