"""Asks each service of a machine how it is: JSON in the first argument, JSON out."""
import datetime
import json
import os
import re
import subprocess
import sys


def run(argv, environment):
    """What a command says, and whether it ended well."""
    try:
        done = subprocess.run(["env", *environment, *argv], capture_output=True, text=True, errors="replace", timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return "no answer within 60 s", False
    return done.stdout + done.stderr, done.returncode == 0


def unit(name):
    """The state of a unit, since when it is in it, the memory that it has, and its command."""
    names = ["ActiveState", "ActiveEnterTimestamp", "MemoryCurrent", "ExecStart", "MainPID", "NRestarts"]
    said, _ = run(["systemctl", "show", "--timestamp=unix", "--property=" + ",".join(names), name], [])
    return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)


def version(service, state):
    """The version of a package of Debian, or that in the folder which the unit runs from."""
    if service.get("package"):
        said, good = run(["dpkg-query", "--show", "--showformat=${Version}", service["package"]], [])
        return re.sub(r"^\d+:|[-+].*$", "", said) if good else ""
    said, _ = run(["readlink", "--canonicalize", service.get("folder", "/")], [])
    found = re.search(service.get("version") or r"-(\d+\.[\w.]+)", said + "\n" + state.get("ExecStart", ""))
    return found.group(1).rstrip("./") if found else ""


def held(pid):
    """The files that a process holds open, whatever links to them have become since."""
    try:
        return [os.readlink("/proc/%s/fd/%s" % (pid, number)) for number in os.listdir("/proc/%s/fd" % pid)]
    except OSError:
        return []  # it has ended


def replaced(pid):
    """Whether the program of a process was replaced since it began."""
    try:
        return os.readlink("/proc/%s/exe" % pid).endswith(" (deleted)")
    except OSError:
        return False


def runs(service, state, said):
    """The version that runs, as the service itself tells it, or a file that it holds open; empty if neither does."""
    pid = state.get("MainPID", "0")
    for pattern, text in ((service.get("tells"), said), (service.get("holds"), "\n".join(held(pid)) if pid != "0" else "")):
        found = re.search(pattern, text) if pattern else None
        if found:
            return found.group(1)
    return ""


def ends(certificate):
    """The day on which a certificate ends."""
    said, good = run(["openssl", "x509", "-noout", "-enddate", "-in", certificate], ["LC_ALL=C"])
    if not good:
        return ""
    return datetime.datetime.strptime(said.strip(), "notAfter=%b %d %H:%M:%S %Y GMT").date().isoformat()


def health(service, state):
    """well, or why not; and what it said."""
    if service.get("unit") and state.get("ActiveState") != "active":
        return "its unit is " + state.get("ActiveState", "not there"), ""
    if not service.get("ask"):
        return "well", ""
    said, good = run(service["ask"], service.get("environment") or [])
    wanted = service.get("wants")
    if re.search(wanted, said) if wanted else good:
        return "well", said
    return " ".join(said.split())[-160:] or "it does not answer as it should", said


def look(service):
    """A row of the table."""
    state = unit(service["unit"]) if service.get("unit") else {}
    since = state.get("ActiveEnterTimestamp", "").lstrip("@")
    memory = state.get("MemoryCurrent", "")
    well, said = health(service, state)
    running, installed = runs(service, state, said), version(service, state)
    return {
        "name": service["name"],
        "role": service.get("role", ""),
        "version": running or installed,
        "runs": running,
        "installed": installed,
        "replaced": replaced(state.get("MainPID", "0")),
        "state": state.get("ActiveState", ""),
        "since": datetime.datetime.fromtimestamp(int(since), datetime.timezone.utc).strftime("%Y-%m-%d %H:%M") if since.isdigit() else "",
        "memory": str(int(memory) // 2**20) if memory.isdigit() and int(memory) < 2**60 else "",
        "restarts": state.get("NRestarts", ""),
        "health": well,
        "ends": ends(service["certificate"]) if service.get("certificate") else "",
    }


print(json.dumps([look(service) for service in json.loads(sys.argv[1]) if os.path.exists(service.get("beside", "/"))]))
