"""Almanac's HTTP API, as its /openapi.json describes it."""

import json
import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import urllib3

from mlapp.trouble import NotVerified, Unreachable, WrongUse
from mlapp.version import Version

CONNECT_SECONDS, READ_SECONDS = 5.0, 60.0
CHUNK = 1 << 18
RESUMES = 5  # how often in a row a transfer that got no further is tried again


class NotFound(Unreachable):
    """The API knows no such thing, or not yet."""


@dataclass(frozen=True)
class Access:
    """How the API is reached. The token's file is read for each request, so that a token can be replaced."""

    url: str
    host: str = ""
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    token_file: Path | None = None


class API:
    """A client of the API. It may be used by several threads."""

    def __init__(self, access: Access) -> None:
        parts = urlsplit(access.url)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            raise WrongUse(f"--api {access.url!r} is not the URL of an API, such as http://127.0.0.1:8080")
        self._access = access
        self._base = access.url.rstrip("/")
        retry = urllib3.Retry(total=5, backoff_factor=0.2, status_forcelist=[429, 502, 503, 504], redirect=False, raise_on_status=False)
        self._pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
            retries=retry,
            ca_certs=_path(access.ca),
            cert_file=_path(access.certificate),
            key_file=_path(access.key),
        )

    def latest(self, dataset: str, name: str) -> Version:
        """Ask for the newest release of a name. None yet is a NotFound."""
        path = f"/v1/datasets/{quote(dataset)}/releases/latest?name={quote(name)}"
        answer = self._get(path, expect=307)
        return Version.parse(answer.headers.get("Location", "").rsplit("/", 1)[-1])

    def releases(self, dataset: str, name: str) -> list[Version]:
        """List all releases of a name, oldest first."""
        versions: list[Version] = []
        path: str | None = f"/v1/datasets/{quote(dataset)}/releases?limit=1000&name={quote(name)}"
        while path:
            page = self._json(path)
            versions += [Version.parse(r["version"]) for r in page["releases"]]
            path = page.get("next")
        return sorted(versions)

    def release(self, dataset: str, version: Version) -> dict[str, Any]:
        """Describe a release. One that is not there is a NotFound."""
        return self._json(_at(dataset, version))

    def manifest(self, dataset: str, version: Version) -> bytes:
        """Give manifest.json byte for byte, after comparing it with the digest that came with it."""
        answer = self._get(_at(dataset, version) + "/manifest")
        if answer.headers.get("ETag", "").strip('"') != sha256(answer.data).hexdigest():
            raise NotVerified(f"{version}: manifest.json has another SHA-256 than its ETag says; something in between changes what is sent")
        return answer.data

    def download(self, dataset: str, version: Version, digest: str, size: int, to: Path) -> None:
        """Append what is missing of a file to what is there, until it has its size. Its digest is the caller's affair."""
        url = _at(dataset, version) + f"/files/{digest}.parquet"
        stuck = 0
        while (have := to.stat().st_size if to.exists() else 0) < size:
            failed = self._more(url, digest, size, to)
            got = to.stat().st_size - have if to.exists() else 0
            stuck = 0 if got > 0 else stuck + 1
            if stuck > RESUMES:
                raise Unreachable(f"{version}: {digest}.parquet stops after {have} of {size} bytes: {failed or 'the answer ends there'}")

    def _more(self, url: str, digest: str, size: int, to: Path) -> Exception | None:
        """Do one request for the rest of a file. A transfer that breaks off is no error: what came is kept."""
        have = to.stat().st_size if to.exists() else 0
        headers = {"Range": f"bytes={have}-", "If-Range": f'"{digest}"'} if have else {}
        answer = self._request(url, headers, preload=False)
        try:
            if answer.status not in {200, 206}:
                raise _unexpected(url, answer.status, answer.read(CHUNK))
            with to.open("ab" if answer.status == 206 else "wb") as file:
                while file.tell() <= size and (some := answer.read1(CHUNK)):  # whole chunks would be lost with a connection that breaks
                    file.write(some)
                file.flush()
                os.fsync(file.fileno())
        except urllib3.exceptions.HTTPError as broken:
            return broken
        finally:
            answer.close()
        return None

    def _json(self, path: str) -> dict[str, Any]:
        answer = self._get(path)
        try:
            value = json.loads(answer.data)
        except ValueError as wrong:
            raise Unreachable(f"GET {path}: the answer is not JSON ({wrong}); is --api Almanac's?") from wrong
        if not isinstance(value, dict):
            raise Unreachable(f"GET {path}: the answer is no JSON object; is --api Almanac's?")
        return value

    def _get(self, path: str, expect: int = 200) -> urllib3.BaseHTTPResponse:
        answer = self._request(path, {})
        if answer.status != expect:
            raise _unexpected(path, answer.status, answer.data)
        return answer

    def _request(self, path: str, headers: dict[str, str], *, preload: bool = True) -> urllib3.BaseHTTPResponse:
        headers = {"Accept": "*/*", **headers}
        if self._access.host:
            headers["Host"] = self._access.host
        if token := self._token():
            headers["Authorization"] = f"Bearer {token}"
        try:
            return self._pool.request("GET", self._base + path, headers=headers, redirect=False, preload_content=preload)
        except urllib3.exceptions.HTTPError as failed:
            raise Unreachable(f"GET {self._base}{path}: {failed}; is --api right, and does Almanac serve there?") from failed

    def _token(self) -> str:
        if self._access.token_file is None:
            return os.environ.get("ALMANAC_TOKEN", "")
        try:
            return self._access.token_file.read_text().strip()
        except OSError as failed:
            raise WrongUse(f"--token-file: {failed}") from failed


def _at(dataset: str, version: Version) -> str:
    return f"/v1/datasets/{quote(dataset)}/releases/{quote(str(version))}"


def _path(file: Path | None) -> str | None:
    return None if file is None else str(file)


def _unexpected(path: str, status: int, body: bytes) -> Unreachable | WrongUse:
    """Make an error of an answer, with the words of its problem detail (RFC 9457)."""
    try:
        text = json.loads(body)["detail"]
    except (ValueError, KeyError, TypeError):
        text = body[:200].decode(errors="replace").strip()
    match status:
        case 404:
            return NotFound(f"GET {path}: {text}")
        case 401 | 403:
            return WrongUse(f"GET {path}: {status} {text}; who may read is told by --token-file, or --cert and --key")
        case 400 | 406:
            return WrongUse(f"GET {path}: {text}")
    return Unreachable(f"GET {path}: answered {status} {text}")
