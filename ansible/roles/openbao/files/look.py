"""Reads paths of OpenBao by one connection: look.py HOST PORT CA, token and paths as JSON on standard input. What is not there is null."""
import http.client
import json
import ssl
import sys

host, port, authority = sys.argv[1:]
asked = json.load(sys.stdin)
connection = http.client.HTTPSConnection(host, int(port), timeout=30, context=ssl.create_default_context(cafile=authority))
found = {}
for path in asked["paths"]:
    connection.request("GET", "/v1/" + path, headers={"X-Vault-Token": asked["token"]})
    answer = connection.getresponse()
    said = answer.read().decode()
    if answer.status == 200:
        found[path] = json.loads(said)["data"]
    elif answer.status in (400, 404):  # 400: a mount that is not there
        found[path] = None
    else:
        sys.exit("GET %s: %d %s" % (path, answer.status, said.strip()))
print(json.dumps(found))
