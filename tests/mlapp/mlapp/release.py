"""A release: its manifest, its files, and the proof that they are what the manifest says.

Nothing is taken on trust but SHA-256: the digest of the content part of the manifest is computed over its canonical JSON (RFC 8785), and
that of each file over its bytes.
"""

import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import rfc8785

from mlapp.api import API
from mlapp.store import sync, write
from mlapp.trouble import NotVerified
from mlapp.version import Version

FORMAT = "almanac-release/1"


@dataclass(frozen=True)
class Manifest:
    """The content part of a manifest whose digest was checked."""

    version: Version
    digest: str
    content: dict[str, Any]

    @property
    def window(self) -> tuple[datetime, datetime]:
        """The time of the release: [start, end)."""
        window = self.content["window"]
        return datetime.fromisoformat(window["start"]), datetime.fromisoformat(window["end"])


@dataclass(frozen=True)
class Release:
    """A release that was verified: its manifest and all its rows, in the order of the files."""

    manifest: Manifest
    table: pa.Table
    size: int  # bytes of its files


def read_manifest(text: bytes, dataset: str, version: Version) -> Manifest:
    """Check a manifest by itself: digest, version, sums of rows, and that every row that was read is accounted for."""
    try:
        document = json.loads(text)
        content, claimed = document["content"], document["content_sha256"]
        digest = sha256(rfc8785.dumps(content)).hexdigest()
        if digest != claimed:
            raise NotVerified(f"{version}: the content of manifest.json has the SHA-256 {digest}, its content_sha256 says {claimed}")
        if content["format"] != FORMAT:
            raise NotVerified(f"{version}: manifest.json is of format {content['format']!r}, and this program knows {FORMAT!r}")
        named = f"{content['release']}-{content['window']['key']}.{content['revision']}"
        if (content["dataset"], content["version"], named) != (dataset, str(version), str(version)):
            raise NotVerified(f"{version}: manifest.json is that of {content['dataset']} {content['version']}")
        _sums(version, content)
        for table in content["inputs"]:
            for window in table["windows"]:
                _balance(version, table["table"], window)
    except (ValueError, KeyError, TypeError) as wrong:
        raise NotVerified(f"{version}: manifest.json is not of the form of a manifest: {wrong!r}") from wrong
    return Manifest(version, digest, content)


def _sums(version: Version, content: dict[str, Any]) -> None:
    rows: Counter[str] = Counter()
    for file in content["files"]:
        rows[file.get("split", "")] += file["rows"]
        if file["path"] != f"data/{file['sha256']}.parquet":
            raise NotVerified(f"{version}: {file['path']} is not named by its SHA-256 {file['sha256']}")
    if len({file["path"] for file in content["files"]}) != len(content["files"]):
        raise NotVerified(f"{version}: manifest.json names a file twice")
    if rows.total() != content["rows"]["total"] or ("split" in content and dict(rows) != content["rows"].get("splits", {})):
        raise NotVerified(f"{version}: the files of manifest.json have {dict(rows)} rows, its counts are {content['rows']}")


def _balance(version: Version, table: str, window: dict[str, Any]) -> None:
    sheet = window.get("sheet")
    if sheet is None:
        return
    for day, n in sheet.items():
        if n["read"] != n["stored"] + n["quarantined"] + n["duplicate"] + n["filtered"]:
            raise NotVerified(f"{version}: not every row of {table} {window['window']}, day {day}, is accounted for: {n}")
    if sum(n["stored"] for n in sheet.values()) != window["rows"]:
        raise NotVerified(f"{version}: the sheet of {table} {window['window']} has another sum than its {window['rows']} rows")


def fetch(api: API, dataset: str, version: Version, folder: Path) -> Release:
    """Give a verified release from its copy in the folder, and download first what is missing of it there.

    A file whose digest is wrong is taken once more, since a copy may be an old one's remainder; then it is a NotVerified.
    """
    (folder / "data").mkdir(parents=True, exist_ok=True)
    text = api.manifest(dataset, version)
    manifest = read_manifest(text, dataset, version)
    write(folder / "manifest.json", lambda file: file.write(text))
    for file in manifest.content["files"]:
        path, part = folder / file["path"], folder / (file["path"] + ".part")
        if path.exists() and not _differs(path, file):
            continue
        for last in (False, True):
            if part.exists() and part.stat().st_size > file["bytes"]:
                part.unlink()
            api.download(dataset, version, file["sha256"], file["bytes"], part)
            if not (wrong := _differs(part, file)):
                break
            part.unlink()
            if last:
                raise NotVerified(f"{version}: {file['path']} {wrong}; ask for: almanac releases verify {version}")
        part.replace(path)
        sync(path.parent)
    return read(folder, manifest)


def _differs(path: Path, file: dict[str, Any]) -> str:
    size = path.stat().st_size
    if size != file["bytes"]:
        return f"has {size} bytes, the manifest says {file['bytes']}"
    with path.open("rb") as data:
        digest = file_digest(data, "sha256").hexdigest()
    return "" if digest == file["sha256"] else f"has the SHA-256 {digest}, the manifest says {file['sha256']}"


def read(folder: Path, manifest: Manifest) -> Release:
    """Read all files of a copy, and compare rows, columns and splits with the manifest."""
    content = manifest.content
    tables = []
    for file in content["files"]:
        where = f"{manifest.version}: {file['path']}"
        if wrong := _differs(folder / file["path"], file):
            raise NotVerified(f"{where} {wrong}")
        try:
            table = pq.read_table(folder / file["path"], partitioning=None)
        except (pa.ArrowException, OSError) as broken:
            raise NotVerified(f"{where} cannot be read: {broken}") from broken
        if table.num_rows != file["rows"]:
            raise NotVerified(f"{where} has {table.num_rows} rows, the manifest says {file['rows']}")
        columns = [{"name": f.name, "type": _type(f.type), "nullable": f.nullable} for f in table.schema]
        if columns != content["schema"]:
            raise NotVerified(f"{where} has the columns {columns}, the manifest says {content['schema']}")
        if "split" in content and pc.unique(table[content["split"]]).to_pylist() != [file.get("split", "")][: file["rows"]]:
            raise NotVerified(f"{where} has rows of another split than {file.get('split', '')!r}")
        tables.append(table)
    if not tables:
        raise NotVerified(f"{manifest.version}: it has no files, so there is nothing to learn from")
    return Release(manifest, pa.concat_tables(tables), sum(file["bytes"] for file in content["files"]))


def _type(kind: pa.DataType) -> str:
    """Name a type as manifests do."""
    if pa.types.is_timestamp(kind):
        return "timestamp[us, UTC]" if kind.tz else "timestamp[us]"
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision}, {kind.scale})"
    names = {pa.float64(): "float64", pa.float32(): "float32", pa.date32(): "date"}
    return names.get(kind, str(kind))
