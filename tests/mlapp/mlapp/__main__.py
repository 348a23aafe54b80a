"""Command line: python -m mlapp."""

import argparse
import signal
import sys
from pathlib import Path

from mlapp.api import API, Access
from mlapp.app import App, Task
from mlapp.store import Store
from mlapp.topic import Brokers
from mlapp.trouble import Stopped, Trouble, WrongUse
from mlapp.version import Version

SIGNALS = (signal.SIGINT, signal.SIGTERM)
CODES = """exit codes:
  0  trained, or ended by a signal
  1  the model is no better than the simple rules, or worse than the one before
  2  wrong use
  3  a release is not what its manifest says
  4  a server does not answer"""


def main(arguments: list[str] | None = None) -> int:
    """Run the application. It gives the exit code."""
    options = _parser().parse_args(arguments)
    for sign in SIGNALS:
        signal.signal(sign, _stop)
    store = None
    try:
        access = Access(options.api, options.host_header, options.ca, options.cert, options.key, options.token_file)
        brokers = _brokers(options)
        if not options.once and not options.listen and brokers is None:
            raise WrongUse("--once, --listen or --kafka is needed: without the first it waits for events, by one of the others")
        store = Store(options.out)
        wanted = None if options.release == "latest" else Version.parse(options.release)
        task = Task(options.dataset, options.name, wanted, options.history, options.margin, options.seed, options.patience)
        app = App(API(access), store, task, lambda text: print(text, flush=True))
        if options.once:
            app.once()
        else:
            app.run(options.listen, brokers)
    except Trouble as trouble:
        print(f"mlapp: {trouble}", file=sys.stderr, flush=True)
        return trouble.code
    finally:
        if store is not None:
            store.close()
    return 0


def _stop(*_: object) -> None:
    for sign in SIGNALS:
        signal.signal(sign, signal.SIG_IGN)
    raise Stopped("ends; started again it goes on where it was")


def _brokers(options: argparse.Namespace) -> Brokers | None:
    if not options.kafka:
        return None
    return Brokers(
        options.kafka,
        options.kafka_topic,
        options.kafka_group,
        options.kafka_ca,
        options.kafka_cert,
        options.kafka_key,
        options.kafka_user,
        options.kafka_password_file,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mlapp",
        description="Learn from the releases of flights which flight will be late, and learn anew from each release that an event tells of.",
        epilog=CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--api", required=True, metavar="URL", help="of Almanac's HTTP API, such as http://127.0.0.1:8080")
    add("--host-header", default="", metavar="NAME", help="name of the service, where --api is a gateway such as Kourier")
    add("--ca", type=Path, metavar="FILE", help="PEM of who signs the API's certificate; the system's if absent")
    add("--cert", type=Path, metavar="FILE", help="PEM of the certificate to show (mTLS)")
    add("--key", type=Path, metavar="FILE", help="PEM of its key")
    add("--token-file", type=Path, metavar="FILE", help="bearer token, read for each request; else the variable ALMANAC_TOKEN, if set")
    add("--dataset", default="flights", help="(%(default)s)")
    add("--name", default="training", help="of the release in the pipeline (%(default)s)")
    add("--release", default="latest", metavar="VERSION", help="to begin with, such as training-2001-05.1; the newest if absent")
    add("--history", type=_natural, default=12, metavar="N", help="earlier releases that are trained on too (%(default)s)")
    add("--out", type=Path, default=Path("mlapp-out"), metavar="DIR", help="folder for releases, models, reports and the state (%(default)s)")
    add("--once", action="store_true", help="end after one lesson, or at once if that is done already")
    add("--listen", default="", metavar="HOST:PORT", help="take CloudEvents by HTTP POST, in binary or structured mode")
    add("--kafka", default="", metavar="HOST:PORT,…", help="take events from Kafka by these brokers")
    add("--kafka-topic", default="almanac.fact.released", metavar="TOPIC", help="(%(default)s)")
    add("--kafka-group", default="mlapp", metavar="GROUP", help="one for each folder of --out (%(default)s)")
    add("--kafka-ca", type=Path, metavar="FILE", help="PEM of who signs the brokers' certificates")
    add("--kafka-cert", type=Path, metavar="FILE", help="PEM of the certificate to show (mTLS)")
    add("--kafka-key", type=Path, metavar="FILE", help="PEM of its key")
    add("--kafka-user", default="", metavar="USER", help="log in by SCRAM-SHA-512")
    add("--kafka-password-file", type=Path, metavar="FILE", help="its first line is the password")
    add("--margin", type=_positive, default=0.01, metavar="AUC", help="by which a model may be worse than the one before (%(default)s)")
    add("--seed", type=_natural, default=2001, metavar="N", help="of all that is drawn (%(default)s)")
    add("--patience", type=_positive, default=300.0, metavar="SECONDS", help="that API or Kafka may not answer (%(default)s)")
    return parser


def _natural(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 on")
    return value


if __name__ == "__main__":
    sys.exit(main())
