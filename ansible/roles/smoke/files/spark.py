"""Runs SQL by Spark Connect over HTTP/2: spark.py HOST PORT QUERY WANTED..., and wants each answer to have a text. What drops something is run in any case."""
import os
import re
import subprocess
import sys
import tempfile
import urllib.parse
import uuid

host, port, *steps = sys.argv[1:]
session = str(uuid.uuid4())
with open("/etc/almanac/spark-token/environment", encoding="utf-8") as file:
    token = file.read().strip().split("=", 1)[1]


def field(number, content):
    """A field of bytes of a message, as protocol buffers have it."""
    content = content.encode() if isinstance(content, str) else content
    size, length = b"", len(content)
    while True:
        size += bytes([length & 127 | (128 if length > 127 else 0)])
        length >>= 7
        if not length:
            return bytes([number << 3 | 2]) + size + content


def run(query):
    """What is wrong with the answer of a query, and the answer."""
    relation = field(10, field(1, query))
    request = field(1, session) + field(2, field(1, "smoke")) + field(3, field(1, relation))
    with tempfile.TemporaryDirectory() as made:
        with open(os.path.join(made, "request"), "wb") as sent:
            sent.write(b"\0" + len(request).to_bytes(4, "big") + request)
        done = subprocess.run(
            ["curl", "--silent", "--show-error", "--http2", "--max-time", "300", "--cacert", "/etc/almanac/tls/spark-connect-tls/ca.pem", "--config", "-",
             "--header", "content-type: application/grpc", "--header", "te: trailers", "--data-binary", "@" + os.path.join(made, "request"),
             "--dump-header", os.path.join(made, "headers"), "--output", os.path.join(made, "answer"),
             "https://%s:%s/spark.connect.SparkConnectService/ExecutePlan" % (host, port)],
            input=('header = "authorization: Bearer %s"' % token).encode(), capture_output=True, check=False)
        if done.returncode:
            return done.stderr.decode().strip(), b""
        with open(os.path.join(made, "headers"), encoding="utf-8") as headers:
            said = headers.read()
        with open(os.path.join(made, "answer"), "rb") as answer:
            body = answer.read()
    status = re.search(r"(?mi)^grpc-status: *(\d+)", said)
    if not status or status.group(1) != "0":
        message = re.search(r"(?mi)^grpc-message: *(.*)$", said)
        return urllib.parse.unquote(message.group(1).strip() if message else said), body
    return "", body


pairs = list(zip(steps[::2], steps[1::2]))
for query, wanted in pairs:
    wrong, body = run(query)
    if not wrong and wanted.encode() not in body:
        wrong = "the answer has no " + wanted
    if wrong:
        for undone, _ in pairs:
            if undone.startswith("DROP "):
                run(undone)
        sys.exit("%s: %s" % (query, wrong[:1000]))
