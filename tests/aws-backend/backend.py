"""Starts the AWS backend of the tests and the demo: IAM, STS and Organizations
on one address, with faults, a record of all calls and a control API."""

from __future__ import annotations

import argparse
import ipaddress
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

# moto reads this when it is loaded.
os.environ["MOTO_DISABLE_GLOBAL_CORS"] = "true"

from moto.moto_server.werkzeug_app import create_backend_app  # noqa: E402

import honest_iam  # noqa: E402
import honest_organizations  # noqa: E402
import identity  # noqa: E402
import organization_control  # noqa: E402
from calls import HttpRequest, HttpResponse  # noqa: E402
from control import PREFIX, Control  # noqa: E402
from documents import Permuter  # noqa: E402
from faults import FaultTable, ParkingLot  # noqa: E402
from gateway import MOTO_API, Gateway, WsgiApp  # noqa: E402
from http_server import Respond, Server  # noqa: E402
from permissions import Permissions  # noqa: E402
from recorder import Recorder  # noqa: E402

if TYPE_CHECKING:
    from moto.backends import SERVICE_NAMES

SERVICES: tuple[SERVICE_NAMES, ...] = ("iam", "sts", "organizations", MOTO_API)


def build(keep_calls: int, seen_actions: Path | None = None) -> Respond:
    """Puts the parts together."""
    permuter, recorder = Permuter(), Recorder(keep_calls)
    faults, lot = FaultTable(), ParkingLot()
    permissions = Permissions(seen_actions)
    identity.install()
    honest_iam.install(permuter)
    honest_organizations.install()
    apps: dict[str, WsgiApp] = {s: create_backend_app(s) for s in SERVICES}
    gateway = Gateway(apps, recorder, faults, lot, permissions)
    control = Control(gateway, recorder, faults, lot, permuter, permissions)
    control.add(organization_control.routes(gateway.moto_lock))

    def respond(request: HttpRequest) -> HttpResponse | None:
        if request.path.startswith(PREFIX):
            return control.handle(request)
        return gateway.handle(request)

    return respond


def is_loopback(host: str) -> bool:
    """Whether only this host reaches an address."""
    return host == "localhost" or ipaddress.ip_address(host).is_loopback


def write_atomically(path: Path, text: str) -> None:
    """Writes a file that is never seen half written."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="ascii")
    temporary.replace(path)


def exit_when_input_closes() -> None:
    """Ends the process when whoever started it ends, however that happens."""

    def watch() -> NoReturn:
        while sys.stdin.buffer.read(4096):
            pass
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument(
        "--isolated",
        action="store_true",
        help="allow any host: nobody else reaches this network",
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument(
        "--ready-file", type=Path, help="gets the port when the backend listens"
    )
    parser.add_argument(
        "--keep-calls", type=int, default=200_000, help="calls that are recorded"
    )
    parser.add_argument(
        "--seen-actions",
        type=Path,
        help="gets the actions that the operator took and its policies allowed",
    )
    parser.add_argument(
        "--exit-with-stdin",
        action="store_true",
        help="exit when standard input is closed",
    )
    options = parser.parse_args()
    # Whoever reaches the backend rules it.
    if not options.isolated and not is_loopback(options.host):
        parser.error(f"{options.host} is not a loopback address")
    return options


def main() -> None:
    """Serves until a signal comes."""
    options = arguments()
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    respond = build(options.keep_calls, options.seen_actions)
    server = Server((options.host, options.port), respond)
    if options.exit_with_stdin:
        exit_when_input_closes()
    if options.ready_file:
        write_atomically(options.ready_file, str(server.server_address[1]))
    server.serve_forever()


if __name__ == "__main__":
    main()
