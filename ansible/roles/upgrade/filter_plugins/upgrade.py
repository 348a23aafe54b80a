"""What an upgrade would do to a machine, and what speaks against it."""
import re


def number(version):
    """The numbers of a version, to compare."""
    return [int(part) for part in re.findall(r"\d+", version)]


def candidates(policy):
    """Installed and candidate version by package, as apt-cache policy tells them."""
    found = {}
    for name, installed, candidate in re.findall(r"(?m)^(\S+):\n +Installed: (\S+)\n +Candidate: (\S+)", policy):
        found[name] = {"installed": "" if installed == "(none)" else installed, "candidate": candidate}
    return found


def upgrade_rows(answers, machine, known, products, policy, named, begun):
    """A row for each service of a machine: what runs, what is wanted, and the step that leads there: upgrade, back, restart or none.

    begun are the services whose upgrade was begun and not ended."""
    packages = candidates(policy)
    rows = []
    for answer in answers:
        role = answer["role"]
        service = known[role]
        row = {"machine": machine, "role": role, "service": answer["name"], "product": service["product"], "health": answer["health"], "step": "",
               "begun": role in begun}
        if service["product"] == "debian":
            row["installed"] = answer["installed"]
            row["packages"] = ["%s=%s" % (name, named.get(name, packages[name]["candidate"])) for name in service["packages"] if name in packages]
            row["runs"] = ", ".join(packages[name]["installed"] for name in service["packages"][:1] if name in packages)
            row["wants"] = ", ".join(each.split("=", 1)[1] for each in row["packages"][:1])
            behind = any(packages[name]["installed"] != named.get(name, packages[name]["candidate"]) for name in service["packages"] if name in packages)
            row["step"] = "upgrade" if behind else "restart" if answer["replaced"] else ""
        else:
            row["runs"], row["installed"] = answer["runs"] or answer["installed"], answer["installed"]
            row["wants"] = products[service["product"]]["version"]
            if row["runs"] and row["runs"] != row["wants"]:
                row["step"] = "back" if number(row["runs"]) > number(row["wants"]) else "upgrade"
            elif row["installed"] and row["installed"] != row["wants"]:
                row["step"] = "upgrade"  # a run was killed after it had gone back and forth
        if row["begun"] and not row["step"]:
            row["step"] = "restart"
        rows.append(row)
    return rows


def upgrade_refusals(rows, step, products):
    """Sentences about rows of which an upgrade, or a way back, cannot be done."""
    said = []
    # What a run that was killed has left down is started by this one; what leans on it may be ill until then. Each is looked at again before it is touched.
    under_way = any(row["begun"] for row in rows)
    for row in rows:
        which = "%s of %s" % (row["service"], row["machine"])
        if not row["runs"]:
            said.append("%s is not there: site.yml makes it." % which)
            continue
        if row["health"] != "well" and not under_way:
            said.append("%s is not well (%s): mend that first; site.yml starts what does not run, and docs/runbooks tells of each alert what to look at."
                        % (which, row["health"]))
        product = products.get(row["product"])
        if not product or not row["step"]:
            continue
        words = {"which": which, "runs": row["runs"], "wants": row["wants"], "says": product["says"], "oldest": product["oldest"], "newest": product["newest"]}
        if row["step"] == "back" and not product["back"]:
            said.append("%(which)s runs %(runs)s, and the inventory names %(wants)s: nobody promises that an older %(says)s reads what a newer one has stored. Name %(runs)s "
                        "or a later one, or restore a backup of before onto empty machines (restore.yml)." % words)
        elif row["step"] == "back" and step != "back":
            said.append("%(which)s runs %(runs)s, and the inventory names %(wants)s, which is older. Name %(runs)s or a later one; or, if this is the way back from an upgrade "
                        "that was not finalized, say -e upgrade_step=back." % words)
        elif row["step"] == "upgrade" and step == "back" and row["runs"] != row["wants"]:
            said.append("%(which)s runs %(runs)s, which is older than what the inventory names, %(wants)s: put the versions of before into the inventory to go back." % words)
        elif number(row["runs"]) < number(str(product["oldest"])):
            said.append("%(which)s runs %(runs)s, and versions before %(oldest)s do not go to %(wants)s in one step: upgrade to a version between them first." % words)
        elif number(row["wants"])[:1] != number(row["runs"])[:1] and number(row["wants"])[0] > int(product["newest"]):
            said.append("%(which)s runs %(runs)s, and nothing is known here of %(says)s %(wants)s: this knows the ways to versions up to %(newest)s.x. Take a newer Almanac, "
                        "or name a version that it knows." % words)
        elif row["product"] == "hadoop" and number(row["wants"])[:1] != number(row["runs"])[:1]:
            said.append("%(which)s runs %(runs)s: HDFS goes to %(wants)s, another major version, by no rolling upgrade." % words)
    return said


def upgrade_kept(paths, machine, products, rows, keep):
    """A row for each version that lies on a machine, newest first: the one that runs, those that are kept, and those beyond their number, which are to be removed."""
    behind = {row["product"] for row in rows if row["step"] or row["health"] != "well"}
    kept = []
    for name, product in products.items():
        versions = sorted((path[len(product["beside"]):] for path in paths if path.startswith(product["beside"])), key=number, reverse=True)
        older = 0
        for version in versions:
            step = "kept"
            if version == product["version"]:
                step = "in use" if name not in behind else "brought"
            elif number(version) < number(product["version"]):
                older += 1
                step = "removed" if keep and older > keep and name not in behind else "kept"
            kept.append({"machine": machine, "service": product["says"], "version": version, "step": step, "path": product["beside"] + version})
    return kept


class FilterModule:
    """Makes the functions known to Ansible."""

    def filters(self):
        """By name."""
        return {"upgrade_rows": upgrade_rows, "upgrade_refusals": upgrade_refusals, "upgrade_kept": upgrade_kept}
