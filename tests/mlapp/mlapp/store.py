"""What the application keeps in its folder, so that it can be killed at any moment and go on."""

import fcntl
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from mlapp.trouble import WrongUse

FORMAT = "almanac-mlapp/1"


class Store:
    """A folder that one process has at a time.

    state.json names the release that was trained on last and is written after all else, so what it names is there, whole.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for part in ("models", "reports", "releases"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        self._lock = (folder / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as held:
            raise WrongUse(f"{folder} is in use by another process; end that, or choose another folder by --out") from held

    def close(self) -> None:
        """Let go of the folder."""
        self._lock.close()

    def state(self) -> dict[str, Any] | None:
        """Say what was trained on last; None if nothing was."""
        path = self.folder / "state.json"
        if not path.exists():
            return None
        try:
            state = json.loads(path.read_text())
            known = state["format"] == FORMAT
        except (ValueError, KeyError, TypeError) as wrong:
            raise WrongUse(f"{path} cannot be read ({wrong!r}); remove the folder to begin anew") from wrong
        if not known:
            raise WrongUse(f"{path} is of format {state['format']!r}, and this program knows {FORMAT!r}; remove the folder to begin anew")
        return dict(state)

    def release(self, version: str) -> Path:
        """Name the folder for the copy of a release."""
        return self.folder / "releases" / version

    def model(self, version: str) -> Path:
        """Name the file of a model."""
        return self.folder / "models" / f"{version}.joblib"

    def write_json(self, name: str, value: dict[str, Any]) -> None:
        """Write a file of the folder, whole or not at all."""
        text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n"
        write(self.folder / name, lambda file: file.write(text.encode()))


def write(path: Path, fill: Callable[[IO[bytes]], Any]) -> None:
    """Write a file whole or not at all, also when the power fails."""
    new = path.with_name(path.name + ".new")
    with new.open("wb") as file:
        fill(file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    sync(path.parent)


def sync(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
