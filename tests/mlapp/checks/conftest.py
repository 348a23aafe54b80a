"""A small API that serves releases which it makes, and what it is told to do wrong."""

import io
import json
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import rfc8785

TOKEN = "let-me-in"
SCHEMA = pa.schema(
    [
        pa.field("flight_time", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        pa.field("destination", pa.string(), nullable=False),
        pa.field("distance", pa.int64(), nullable=False),
        pa.field("hour", pa.int64(), nullable=False),
        pa.field("known_week", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("route_late_share", pa.float64()),
        pa.field("late", pa.bool_(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
    ]
)
NAMES = {"timestamp[us, tz=UTC]": "timestamp[us, UTC]", "double": "float64"}


def rows(month, n=4000, signal=2.0, change=None):
    """Make flights of a month of 2001, which are late by their hour and destination."""
    random = np.random.default_rng(month)
    start, end = datetime(2001, month, 1, tzinfo=UTC), datetime(2001, month + 1, 1, tzinfo=UTC)
    minutes = np.sort(random.integers(0, int((end - start).total_seconds() // 60), n))
    time = [start + timedelta(minutes=int(m)) for m in minutes]
    hour, to = np.array([t.hour for t in time]), random.integers(0, 5, n)
    chance = 1 / (1 + np.exp(-signal * ((hour - 12) / 12 + (to - 2) / 2) + 1))
    midnight = [t.replace(hour=0, minute=0) for t in time]
    table = {
        "flight_time": time,
        "origin": random.choice(["DFW", "ORD"], n),
        "destination": np.array(["ATL", "BOS", "JFK", "LAX", "SEA"])[to],
        "distance": 500 + 300 * to,
        "hour": hour,
        "known_week": [t - timedelta(days=t.weekday() + (7 if t.weekday() else 14)) for t in midnight],
        "route_late_share": np.where(random.random(n) < 0.01, None, chance),
        "late": random.random(n) < chance,
        "split": ["train" if t < end - timedelta(days=7) else "test" for t in time],
    }
    return pa.table(table | (change(table) if change else {}), schema=SCHEMA)


class Published:
    """One release: manifest.json and files, as Almanac lays them out."""

    def __init__(self, month, revision=1, **how):
        self.version = f"training-2001-{month:02}.{revision}"
        self.files, entries = {}, []
        table = rows(month, **how)
        for split in ("test", "train"):
            part = table.filter(pc.equal(table["split"], split))
            sink = io.BytesIO()
            pq.write_table(part, sink)
            data = sink.getvalue()
            digest = sha256(data).hexdigest()
            self.files[digest] = data
            entries.append({"path": f"data/{digest}.parquet", "bytes": len(data), "rows": part.num_rows, "sha256": digest, "split": split})
        counts = Counter({e["split"]: e["rows"] for e in entries})
        n = table.num_rows
        sheet = {"read": n + 3, "stored": n, "quarantined": 2, "duplicate": 1, "filtered": 0, "hash": "00"}
        self.content = {
            "format": "almanac-release/1",
            "dataset": "flights",
            "release": "training",
            "version": self.version,
            "revision": revision,
            "window": {"key": f"2001-{month:02}", "start": f"2001-{month:02}-01T00:00:00Z", "end": f"2001-{month + 1:02}-01T00:00:00Z"},
            "rows": {"total": n, "splits": dict(counts)},
            "files": entries,
            "schema": [{"name": f.name, "type": NAMES.get(str(f.type), str(f.type)), "nullable": f.nullable} for f in SCHEMA],
            "split": "split",
            "inputs": [{"table": "rows", "windows": [{"window": "2001", "rows": n, "sheet": {"2001-01-01": sheet}}]}],
        }
        self.seal()

    def seal(self):
        """Write the manifest of what the content says now."""
        self.digest = sha256(rfc8785.dumps(self.content)).hexdigest()
        self.manifest = rfc8785.dumps({"content": self.content, "content_sha256": self.digest, "provenance": {"attempt": 1}}) + b"\n"

    @property
    def item(self):
        """Describe the release as the API does."""
        size = sum(f["bytes"] for f in self.content["files"])
        return {"version": self.version, "content_sha256": self.digest, "rows": self.content["rows"]["total"], "bytes": size}

    def event(self, **changes):
        """Make the data of its released event."""
        said = {"name": "training", "window": self.content["window"]["key"], "revision": self.content["revision"], "dataset": "flights"}
        item = self.item
        return said | {"version": self.version, "content": self.digest, "rows": item["rows"], "bytes": item["bytes"], "inputs": "00"} | changes


class Server:
    """Serves releases. `cut` says after how many bytes the next answers of files break off; requests are noted."""

    def __init__(self):
        self.releases, self.stale, self.cut, self.seen, self.token = [], {}, [], [], ""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.answer(self)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request):
        self.seen.append((request.path, dict(request.headers)))
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            self.send(request, 401, b'{"detail": "no token"}')
            return
        base = "/v1/datasets/flights/releases"
        path = request.path.partition("?")[0]
        if path == base:
            self.send(request, 200, json.dumps({"releases": [r.item for r in self.releases]}).encode())
            return
        if path == base + "/latest" and self.releases:
            self.send(request, 307, b"", {"Location": f"{base}/{self.releases[-1].version}"})
            return
        found = next((r for r in self.releases if path.startswith(f"{base}/{r.version}")), None)
        if found is None:
            self.send(request, 404, b'{"detail": "there is no such release"}')
            return
        rest = path.removeprefix(f"{base}/{found.version}")
        if rest == "":
            self.send(request, 200, json.dumps(found.item | {"stale": self.stale.get(found.version)}).encode())
        elif rest == "/manifest":
            self.send(request, 200, found.manifest, {"ETag": f'"{sha256(found.manifest).hexdigest()}"'})
        else:
            self.file(request, found.files[rest.removeprefix("/files/").removesuffix(".parquet")])

    def file(self, request, data):
        status, headers = 200, {"ETag": '"x"'}
        if (wanted := request.headers.get("Range")) is not None:
            first = int(wanted.removeprefix("bytes=").removesuffix("-"))
            status, headers = 206, {"Content-Range": f"bytes {first}-{len(data) - 1}/{len(data)}"}
            data = data[first:]
        self.send(request, status, data, headers, self.cut.pop(0) if self.cut else None)

    def send(self, request, status, body, headers=(), cut=None):
        request.send_response(status)
        request.send_header("Content-Length", str(len(body)))
        for name, value in dict(headers).items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body[:cut])
        if cut is not None:
            request.close_connection = True


@pytest.fixture
def server():
    s = Server()
    yield s
    s.close()
