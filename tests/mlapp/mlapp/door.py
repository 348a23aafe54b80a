"""The door for events by HTTP: a CloudEvent is POSTed to any path, as a KafkaSource, a Trigger or `almanac source` does."""

import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from mlapp.hint import Claim, Malformed, Verdict, from_http
from mlapp.trouble import WrongUse

LARGEST = 1 << 20  # bytes of an event
PATIENCE = 30  # seconds that a request may take to arrive


class Door:
    """A server in a thread of its own. `receive` is called with each event, by several threads."""

    def __init__(self, listen: str, receive: Callable[[Claim | None], Verdict], health: Callable[[], str]) -> None:
        host, colon, port = listen.rpartition(":")
        if not colon or not _number(port):
            raise WrongUse(f"--listen {listen!r} is not host:port, such as 127.0.0.1:9080")

        class Handler(_Handler):
            pass

        Handler.receive, Handler.health = staticmethod(receive), staticmethod(health)
        try:
            self._server = ThreadingHTTPServer((host.strip("[]"), int(port)), Handler)
        except (OSError, OverflowError) as failed:
            raise WrongUse(f"--listen {listen}: {failed}; choose another port, or 0 for any free one") from failed
        self._thread = threading.Thread(target=self._server.serve_forever, name="http", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Say where events are taken."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def close(self) -> None:
        """Take no more events."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _number(text: str) -> bool:
    """Say whether a text is a number of digits that int() takes: neither \u00b2 nor so many that it refuses."""
    return text.isascii() and text.isdigit() and len(text) <= 20


class _Handler(BaseHTTPRequestHandler):
    receive: Callable[[Claim | None], Verdict]
    health: Callable[[], str]
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE

    def do_GET(self) -> None:
        if self.path == "/healthz":
            self._answer(HTTPStatus.OK, self.health())
        else:
            self._answer(HTTPStatus.NOT_FOUND, "POST a CloudEvent here; GET /healthz says which release is trained on")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not _number(length) or int(length) > LARGEST:
            self.close_connection = True
            self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"an event has a Content-Length of {LARGEST} at most")
            return
        body = self.rfile.read(int(length))
        try:
            verdict = self.receive(from_http(dict(self.headers.items()), body))
        except Malformed as wrong:
            verdict = Verdict(HTTPStatus.BAD_REQUEST, str(wrong))
        self._answer(verdict.status, verdict.why)

    def _answer(self, status: HTTPStatus, text: str) -> None:
        body = b"" if status == HTTPStatus.NO_CONTENT else text.encode() + b"\n"
        self.send_response(status)
        if status != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Write no line for each request: what is received is told by the application."""
