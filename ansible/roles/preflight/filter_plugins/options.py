"""What the roles may be told, as their argument_specs say it."""
import difflib
import glob
import os

import yaml


def role_options(roles):
    """The options of each role below a folder, by the role's name: those of all its entry points together."""
    found = {}
    for path in sorted(glob.glob(os.path.join(roles, "*", "meta", "argument_specs.yml"))):
        with open(path, encoding="utf-8") as file:
            specs = yaml.safe_load(file)["argument_specs"]
        options = {}
        for entry in specs.values():
            options.update(entry.get("options") or {})
        found[os.path.basename(os.path.dirname(os.path.dirname(path)))] = options
    return found


def unknown_options(names, options):
    """Sentences about those variables that are named like a role's but are none of its options."""
    known = set().union(*options.values())
    prefixes = tuple(role + "_" for role in list(options) + ["almanac"])
    said = []
    for name in sorted(names):
        if name in known or not name.startswith(prefixes):
            continue
        near = difflib.get_close_matches(name, known, n=1)
        said.append("%s is not an option of any role%s" % (name, ": did you mean %s?" % near[0] if near else "."))
    return said


def option_specs(names, options):
    """The specifications of those options that are given, none of which is required here."""
    merged = {}
    for each in options.values():
        merged.update(each)
    return {name: {k: v for k, v in merged[name].items() if k != "required"} for name in names if name in merged}


class FilterModule:
    """Makes the functions known to Ansible."""

    def filters(self):
        """By name."""
        return {"role_options": role_options, "unknown_options": unknown_options, "option_specs": option_specs}
