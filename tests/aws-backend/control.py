"""The control API: how a test steers the backend and looks into it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any
from urllib.parse import parse_qs

from moto.core.exceptions import ServiceException

import state
from calls import HttpRequest, HttpResponse
from documents import Permuter
from faults import FaultTable, InvalidRule, Parked, ParkingLot, Rule, Verdict
from gateway import Gateway
from identity import issue_credentials
from permissions import Permissions
from recorder import Recorder

PREFIX = "/_control/"
MAX_PATIENCE = 60.0

Handler = Callable[["ControlRequest"], Any]

_ACCOUNT = re.compile(r"\d{12}")


class ControlError(Exception):
    """A control request that cannot be carried out."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class ControlRequest:
    """A control request after parsing."""

    query: dict[str, str]
    body: dict[str, Any]
    rest: str

    def text(self, name: str) -> str:
        """A string that the body must have."""
        value = self.body.get(name)
        if not isinstance(value, str) or not value:
            raise ControlError(400, f"{name} must be a string")
        return value

    def account(self, name: str = "account") -> str:
        """The account in the body."""
        return checked_account(self.text(name))

    def rights(self) -> dict[str, Any]:
        """The policies in the body: those of a key, and those of the roles that it
        assumes, by their names."""
        names = {"policies", "assumed"} & self.body.keys()
        given = {name: self.body[name] for name in names}
        assumed = given.get("assumed", {})
        if not isinstance(assumed, dict):
            raise ControlError(400, "assumed must be an object")
        for documents in (given.get("policies", []), *assumed.values()):
            if not isinstance(documents, list) or not all(
                isinstance(document, dict) for document in documents
            ):
                raise ControlError(400, "policies must be lists of documents")
        return given

    def query_account(self) -> str | None:
        """The account in the query string, None if there is none."""
        account = self.query.get("account")
        return checked_account(account) if account else None


def checked_account(account: str) -> str:
    """An account id of 12 digits, or an error."""
    if not _ACCOUNT.fullmatch(account):
        raise ControlError(400, f"not an account id: {account!r}")
    return account


class Control:
    """Routes control requests."""

    def __init__(
        self,
        gateway: Gateway,
        recorder: Recorder,
        faults: FaultTable,
        lot: ParkingLot,
        permuter: Permuter,
        permissions: Permissions,
    ) -> None:
        self._gateway = gateway
        self._recorder = recorder
        self._faults = faults
        self._lot = lot
        self._permuter = permuter
        self._permissions = permissions
        self._routes: dict[tuple[str, str], Handler] = {
            ("GET", "health"): self._health,
            ("GET", "faults"): self._list_faults,
            ("POST", "faults"): self._add_fault,
            ("DELETE", "faults"): self._delete_faults,
            ("GET", "calls"): self._list_calls,
            ("DELETE", "calls"): self._clear_calls,
            ("GET", "parked"): self._list_parked,
            ("POST", "release"): self._release,
            ("POST", "permute"): self._permute,
            ("POST", "role-last-used"): self._role_last_used,
            ("POST", "role-create-date"): self._role_create_date,
            ("POST", "credentials"): self._credentials,
            ("POST", "grant"): self._grant,
            ("POST", "strict-assume-role"): self._strict_assume_role,
            ("GET", "state"): self._state,
            ("POST", "reset"): self._reset,
        }

    def add(self, routes: Mapping[tuple[str, str], Handler]) -> None:
        """Takes further calls, by method and path."""
        self._routes.update(routes)

    def handle(self, request: HttpRequest) -> HttpResponse:
        """Answers a control request, always in JSON."""
        try:
            return _json(200, self._route(request))
        except ControlError as error:
            return _json(error.status, {"error": str(error)})
        except ServiceException as error:
            status = 404 if error.code == "NoSuchEntity" else 400
            return _json(status, {"error": str(error)})
        except (InvalidRule, TypeError, ValueError) as error:
            return _json(400, {"error": str(error)})

    def _route(self, request: HttpRequest) -> Any:
        path, rest = request.path.removeprefix(PREFIX), ""
        if request.method == "DELETE" and path.startswith("faults/"):
            path, _, rest = path.partition("/")
        route = self._routes.get((request.method, path))
        if route is None:
            raise ControlError(404, f"no such call: {request.method} {request.path}")
        body = json.loads(request.body or b"{}")
        if not isinstance(body, dict):
            raise ControlError(400, "the body must be a JSON object")
        query = {k: v[-1] for k, v in parse_qs(request.query).items()}
        return route(ControlRequest(query, body, rest))

    def _health(self, _: ControlRequest) -> dict[str, Any]:
        return {"status": "ok", "moto": version("moto")}

    def _add_fault(self, request: ControlRequest) -> dict[str, Any]:
        return {"id": self._faults.add(Rule.parse(request.body))}

    def _list_faults(self, _: ControlRequest) -> dict[str, Any]:
        return {"faults": [asdict(rule) for rule in self._faults.rules()]}

    def _delete_faults(self, request: ControlRequest) -> dict[str, Any]:
        account = request.query_account()

        def unwanted(rule: Rule) -> bool:
            if request.rest:
                return rule.id == request.rest
            return account in (None, rule.account)

        return self._drop_faults(unwanted, Verdict())

    def _drop_faults(
        self, unwanted: Callable[[Rule], bool], verdict: Verdict
    ) -> dict[str, Any]:
        """Drops rules and lets go the calls that wait for them, those of rules
        that are used up too."""
        deleted = self._faults.remove(unwanted)
        released = self._lot.release(lambda parked: unwanted(parked.rule), verdict)
        return {"deleted": deleted, "released": released}

    def _list_calls(self, request: ControlRequest) -> dict[str, Any]:
        since = int(request.query.get("since", "0"))
        return self._recorder.calls(request.query_account(), since)

    def _clear_calls(self, _: ControlRequest) -> dict[str, Any]:
        self._recorder.clear()
        return {}

    def _list_parked(self, request: ControlRequest) -> dict[str, Any]:
        patience = min(float(request.query.get("wait", "0")), MAX_PATIENCE)
        waiting = self._lot.waiting(request.query.get("rule"), patience)
        return {"parked": [parked.describe() for parked in waiting]}

    def _release(self, request: ControlRequest) -> dict[str, Any]:
        wanted = request.text("id")
        verdict = Verdict(
            apply=request.body.get("apply", True) is True,
            answer=request.body.get("answer", True) is True,
        )

        def chosen(parked: Parked) -> bool:
            if parked.id != wanted:
                return False
            if parked.rule.kind == "hold_after" and not verdict.apply:
                raise ControlError(400, f"{wanted} has taken effect already")
            return True

        if not self._lot.release(chosen, verdict):
            raise ControlError(404, f"no such parked call: {wanted}")
        return {}

    def _permute(self, request: ControlRequest) -> dict[str, Any]:
        account = request.body.get("account", "*")
        seed = request.body.get("seed")
        if seed is not None and not isinstance(seed, int):
            raise ControlError(400, "seed must be an integer or null")
        self._permuter.configure(account if account == "*" else request.account(), seed)
        return {}

    def _role_last_used(self, request: ControlRequest) -> dict[str, Any]:
        date = request.text("date") if request.body.get("date") else None
        with self._gateway.moto_lock:
            state.set_last_used(request.account(), request.text("role"), date)
        return {}

    def _role_create_date(self, request: ControlRequest) -> dict[str, Any]:
        with self._gateway.moto_lock:
            state.set_create_date(
                request.account(), request.text("role"), request.text("date")
            )
        return {}

    def _credentials(self, request: ControlRequest) -> dict[str, Any]:
        session = request.body.get("session", "backend")
        account, role = request.account(), request.text("role")
        rights = request.rights()
        with self._gateway.moto_lock:
            issued = issue_credentials(account, role, session)
            self._permissions.issue(issued.accessKeyId, account, role, rights)
        return asdict(issued)

    def _grant(self, request: ControlRequest) -> dict[str, Any]:
        key, rights = request.text("accessKeyId"), request.rights()
        with self._gateway.moto_lock:
            self._permissions.grant(key, rights)
        return {}

    def _strict_assume_role(self, request: ControlRequest) -> dict[str, Any]:
        account, strict = request.account(), request.body.get("strict") is True
        with self._gateway.moto_lock:
            self._permissions.set_strict(account, strict)
        return {}

    def _state(self, request: ControlRequest) -> dict[str, Any]:
        account = request.query_account()
        if account is None:
            raise ControlError(400, "account is missing")
        with self._gateway.moto_lock:
            return state.dump(account)

    def _reset(self, request: ControlRequest) -> dict[str, Any]:
        account = request.query_account()
        if account is not None:
            with self._gateway.moto_lock:
                state.reset_account(account)
            return {}
        self._drop_faults(lambda _: True, Verdict(apply=False, answer=False))
        with self._gateway.moto_lock:
            state.reset_everything()
            self._permissions.reset()
        self._permuter.configure("*", None)
        self._recorder.clear()
        return {}


def _json(status: int, body: Any) -> HttpResponse:
    headers = [("Content-Type", "application/json")]
    return HttpResponse(status, headers, json.dumps(body).encode())
