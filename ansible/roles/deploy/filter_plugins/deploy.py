"""What deploy.yml says of schedules and of objects on a cluster."""
import re

FIELDS = [("second", 0, 59), ("minute", 0, 59), ("hour", 0, 23), ("day of the month", 1, 31), ("month", 1, 12), ("day of the week", 0, 6)]
NAMES = {"month": "jan feb mar apr may jun jul aug sep oct nov dec".split(), "day of the week": "sun mon tue wed thu fri sat".split()}
WORDS = {"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"}


def number(text, name, first):
    """A number or name of a field, or None."""
    if text.lower() in NAMES.get(name, []):
        return NAMES[name].index(text.lower()) + first
    return int(text) if text.isdigit() else None


def fault_of(field, name, first, last):
    """What is wrong with a field of a schedule, or nothing."""
    for part in field.split(","):
        span, _, step = part.partition("/")
        ends = [number(end, name, first) for end in span.split("-")]
        if step and not (step.isdigit() and int(step) > 0) or part.endswith("/"):
            return 'the %s "%s" has no whole number behind the /' % (name, part)
        if span in ("*", "?"):
            continue
        if None in ends or len(ends) > 2 or ends != sorted(ends) or ends[0] < first or ends[-1] > last:
            return 'the %s "%s" is not from %d to %d' % (name, part, first, last)
    return ""


def schedule_fault(text):
    """What is wrong with a schedule, as Knative's PingSource takes it: five fields of cron, or six with seconds; or nothing."""
    words = text.split()
    if len(words) == 1 and words[0] in WORDS:
        return ""
    if len(words) not in (5, 6):
        return "it has %d fields, not five or six" % len(words)
    for field, (name, first, last) in zip(words, FIELDS[-len(words):]):
        fault = fault_of(field, name, first, last)
        if fault:
            return fault
    return ""


def unready(objects):
    """Sentences about those objects that do not say of their present form that they are ready."""
    said = []
    for each in objects:
        status, name = each.get("status") or {}, "%s %s" % (each["kind"], each["metadata"]["name"])
        conditions = {c["type"]: c for c in status.get("conditions") or []}
        ready = conditions.get("Ready", {})
        if status.get("observedGeneration", 0) < each["metadata"].get("generation", 0):
            said.append("%s: Knative has not looked at it yet" % name)
        elif ready.get("status") != "True":
            why = [ready] + [c for c in conditions.values() if c.get("status") == "False" and c is not ready]
            told = list(dict.fromkeys(re.sub(r"\s+", " ", " ".join(filter(None, [c.get("reason"), c.get("message")]))) for c in why))
            said.append("%s: %s" % (name, "; ".join(filter(None, told)) or "it does not say why"))
    return said


def stuck(pods):
    """Sentences about those containers of pods that do not run, and say why."""
    said = []
    for pod in pods:
        for container in (pod.get("status") or {}).get("containerStatuses") or []:
            state = container.get("state") or {}
            why = state.get("waiting") or state.get("terminated") or {}
            if why.get("reason") not in (None, "Completed", "ContainerCreating", "PodInitializing"):
                said.append("Pod %s: %s" % (pod["metadata"]["name"], re.sub(r"\s+", " ", " ".join(filter(None, [why["reason"], why.get("message")])))))
    return said


def unwanted(held, wanted):
    """Objects that are held and that none of the wanted ones is, nor another object's."""
    names = {(w["kind"], w["metadata"]["name"]) for w in wanted}
    return [h for h in held if (h["kind"], h["metadata"]["name"]) not in names and not h["metadata"].get("ownerReferences")]


def older_than(text, least):
    """Whether a version such as 1.23.0 is older than another. What is no version is not."""
    found = re.match(r"v?(\d+)\.(\d+)", text or "")
    return bool(found) and tuple(map(int, found.groups())) < tuple(map(int, least.split(".")[:2]))


class FilterModule:
    """Makes the functions known to Ansible."""

    def filters(self):
        """By name."""
        return {"schedule_fault": schedule_fault, "unready": unready, "stuck": stuck, "unwanted": unwanted, "older_than": older_than}
