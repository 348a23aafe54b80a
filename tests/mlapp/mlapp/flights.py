"""Flights as numbers: what a model may see of a flight, and what it is asked.

The question is put when a flight leaves: will it arrive more than 15 minutes late? What is known then is where it goes, how far that is, the hour
in which it really left, and what earlier weeks were like. `delay` is the answer in another form and is never seen. Neither is what tells days apart
(`month_day`, `known_week`, and figures of a whole airport and week): a month has four or five of each, and a model learns them by heart.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mlapp.release import Release
from mlapp.trouble import NotVerified, WrongUse

PLACES = ("origin", "destination")
NUMBERS = ("hour", "distance", "route_late_share")
FEATURES = PLACES + NUMBERS
LABEL, TIME, SPLIT, KNOWN = "late", "flight_time", "split", "known_week"

# A week is over seven days after its Monday, and is known a day later, when its last day was collected.
KNOWN_AFTER = timedelta(days=8)

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Flights:
    """N flights in one order: places are texts (N, 2), numbers are (N, 3) with NaN for null, late is 0 or 1, and time is microseconds of UTC."""

    places: npt.NDArray[np.object_]
    numbers: Floats
    late: Whole
    time: Whole

    def __len__(self) -> int:
        return len(self.late)

    @property
    def hour(self) -> Whole:
        """Give the hour in which each flight left."""
        return self.numbers[:, NUMBERS.index("hour")].astype(np.int64)

    @property
    def groups(self) -> Whole:
        """Number the airport and day of each flight from 0: flights of one share weather and queues, and are not independent of each other."""
        _, airport = np.unique(self.places[:, 0].astype(str), return_inverse=True)
        _, day = np.unique(self.time // 86_400_000_000, return_inverse=True)
        _, group = np.unique(airport * (day.max(initial=0) + 1) + day, return_inverse=True)
        return group.astype(np.int64)

    @property
    def span(self) -> tuple[datetime, datetime]:
        """Give the times of the first flight and of the last."""
        return moment(int(self.time.min())), moment(int(self.time.max()))


def moment(micros: int) -> datetime:
    """Make a time of microseconds."""
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=micros)


def join(parts: list[Flights]) -> Flights:
    """Put flights one after another."""
    return Flights(*(np.concatenate([getattr(p, f) for p in parts]) for f in ("places", "numbers", "late", "time")))


def flights(release: Release, split: str | None = None) -> Flights:
    """Take the flights of a release, or of one of its splits, and check that none lies outside its time or uses a week that was not over."""
    table, version = release.table, release.manifest.version
    if missing := [c for c in (*FEATURES, LABEL, TIME, SPLIT, KNOWN) if c not in table.column_names]:
        raise WrongUse(f"{version} has no columns {', '.join(missing)}: this application learns from releases like training of flights")
    _check_times(release)
    if split is not None:
        table = table.filter(pc.equal(table[SPLIT], split))
    return Flights(
        np.column_stack([np.array(table[c].to_pylist(), dtype=object) for c in PLACES]),
        np.column_stack([table[c].cast(pa.float64()).to_numpy() for c in NUMBERS]),
        table[LABEL].cast(pa.int64()).to_numpy(),
        table[TIME].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy(),
    )


def _check_times(release: Release) -> None:
    table, version = release.table, release.manifest.version
    start, end = release.manifest.window
    times = table[TIME]
    first, last = pc.min_max(times).as_py().values()
    if not (first is not None and start <= first and last < end):
        raise NotVerified(f"{version}: its flights left from {first} to {last}, its window is [{start}, {end})")
    known = pc.add(table[KNOWN], pa.scalar(KNOWN_AFTER, pa.duration("us")))
    if early := pc.sum(pc.greater(known, pc.floor_temporal(times, unit="day"))).as_py():
        raise NotVerified(f"{version}: {early} flights use figures of a week that was not over a day before they left")
