"""Versions of releases."""

import re
from dataclasses import dataclass, field

from mlapp.trouble import WrongUse

# A revision is short, as int() refuses what has thousands of digits, by an error of its own.
_FORM = re.compile(r"(?P<name>[a-z][a-z0-9_]*)-(?P<window>[0-9][0-9A-Z-]*)\.(?P<revision>[1-9][0-9]{0,8})")


@dataclass(frozen=True, order=True)
class Version:
    """A version of a release, <name>-<window>.<revision>. Those of one name are ordered by window, then by revision."""

    window: str
    revision: int
    name: str = field(compare=False)

    @classmethod
    def parse(cls, text: str) -> "Version":
        """Read a version. What is not one is a WrongUse."""
        found = _FORM.fullmatch(text)
        if found is None:
            raise WrongUse(f"{text!r} is not a version: they look like training-2001-01.1")
        return cls(found["window"], int(found["revision"]), found["name"])

    def __str__(self) -> str:
        return f"{self.name}-{self.window}.{self.revision}"
