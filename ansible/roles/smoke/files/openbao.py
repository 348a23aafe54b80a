"""Keeps, reads and forgets a secret, computes a pseudonym twice, and has a certificate made: openbao.py URL NAME, logins as JSON on standard input."""
import base64
import json
import ssl
import sys
import urllib.error
import urllib.request

url, name = sys.argv[1:]
logins = json.load(sys.stdin)
trusting = ssl.create_default_context(cafile="/etc/almanac/tls/openbao/ca.pem")


def ask(method, path, token="", body=None):
    """The data of an answer."""
    request = urllib.request.Request(url + "/v1/" + path, method=method, data=json.dumps(body).encode() if body is not None else None)
    if token:
        request.add_header("X-Vault-Token", token)
    try:
        with urllib.request.urlopen(request, timeout=20, context=trusting) as answer:
            said = answer.read()
    except urllib.error.HTTPError as error:
        sys.exit("%s %s: %d %s" % (method, path, error.code, error.read().decode().strip()))
    return json.loads(said) if said else {}


def enter(who):
    """A token."""
    return ask("POST", "auth/approle/login", body=logins[who])["auth"]["client_token"]


def fails(what):
    """Ends with a sentence if something is not as it should be."""
    sys.exit(what + ": look at the audit log of OpenBao")


keeper = enter("ansible")
path = "almanac/%s/word" % name
ask("POST", "kv/data/" + path, keeper, {"data": {"word": name}})
try:
    if ask("GET", "kv/data/" + path, keeper)["data"]["data"] != {"word": name}:
        fails("a secret is not read as it was kept")
finally:
    ask("DELETE", "kv/metadata/" + path, keeper)
    ask("POST", "auth/token/revoke-self", keeper)

function = enter("process")
text = {"input": base64.b64encode(name.encode()).decode()}
first, again = (ask("POST", "transit/hmac/almanac-pseudonym", function, text)["data"]["hmac"] for _ in range(2))
if first != again or not first.startswith("vault:v"):
    fails("one name has two pseudonyms")
if "BEGIN CERTIFICATE" not in ask("POST", "pki/issue/process", function, {"common_name": "almanac-process", "ttl": "5m"})["data"]["certificate"]:
    fails("no certificate is made")
ask("POST", "auth/token/revoke-self", function)
