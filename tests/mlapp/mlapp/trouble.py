"""What can go wrong, each with the exit code that says so."""


class Trouble(Exception):
    """Ends the program with a message that says what to do."""

    code = 1


class Stopped(Trouble):
    """A signal asked for the end."""

    code = 0


class NotGoodEnough(Trouble):
    """The model is no better than the baselines, or worse than the one before it."""


class WrongUse(Trouble):
    """Options, or a data set, that this application cannot work with."""

    code = 2


class NotVerified(Trouble):
    """A release is not what its manifest says."""

    code = 3


class Unreachable(Trouble):
    """A server does not answer, or not as its documents say. Trying again may help."""

    code = 4
