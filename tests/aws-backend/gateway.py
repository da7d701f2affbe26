"""The way of an AWS call: recorded, perhaps disturbed, applied by moto."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from botocore.model import OperationNotFoundError

import account_states
from calls import AwsCall, HttpRequest, HttpResponse, parse_call
from errors import error_code, error_response
from faults import ERROR_KINDS, FaultTable, ParkingLot, Rule
from identity import account_of_key, caller_arn
from permissions import Permissions
from recorder import Record, Recorder

LOG = logging.getLogger("aws-backend")

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Any]

MOTO_API: Final = "moto_api"
"""The name of moto's own API among its services."""

_ERRORS = {
    "throttle": (400, "Throttling", "Rate exceeded"),
    "error500": (500, "InternalFailure", "The request processing has failed."),
    "error503": (503, "ServiceUnavailable", "The service is unavailable."),
    "no_such_entity": (404, "NoSuchEntity", "The entity cannot be found."),
    "access_denied": (403, "AccessDenied", ""),
    "expired_token": (
        403,
        "ExpiredToken",
        "The security token included in the request is expired",
    ),
    "error": (400, "", ""),
}
_JSON_CODES = {
    "Throttling": "TooManyRequestsException",
    "AccessDenied": "AccessDeniedException",
    "ExpiredToken": "ExpiredTokenException",
}


class Gateway:
    """Takes requests that are not for the control API."""

    def __init__(
        self,
        apps: Mapping[str, WsgiApp],
        recorder: Recorder,
        faults: FaultTable,
        lot: ParkingLot,
        permissions: Permissions,
    ) -> None:
        self._apps = apps
        self._permissions = permissions
        self._recorder = recorder
        self._faults = faults
        self._lot = lot
        self.moto_lock = threading.RLock()
        """Held by whoever reads or changes the state of moto."""

    def handle(self, request: HttpRequest) -> HttpResponse | None:
        """The answer, or None if the connection is to be cut."""
        call = parse_call(request)
        if request.path.startswith("/moto-api/"):
            return self._guarded(call, lambda: self._run_moto(MOTO_API, request))
        account = account_of_key(
            call.access_key, request.headers.get("x-moto-account-id")
        )
        record = self._recorder.begin(call, account)
        response = None
        try:
            response = self._disturbed(request, call, record)
        finally:
            code = error_code(response) if response else None
            self._recorder.finish(record, response.status if response else None, code)
        return response

    def _disturbed(
        self, request: HttpRequest, call: AwsCall, record: Record
    ) -> HttpResponse | None:
        rule = self._faults.take(call, record.account)
        if rule is None:
            return self._apply(request, call, record)
        record.fault = {"id": rule.id, "kind": rule.kind}
        if rule.kind in ERROR_KINDS:
            return self._error(rule, call, record)
        if rule.kind == "cut_before":
            return None
        if rule.kind == "cut_after":
            self._apply(request, call, record)
            return None
        return self._waited(rule, request, call, record)

    def _waited(
        self, rule: Rule, request: HttpRequest, call: AwsCall, record: Record
    ) -> HttpResponse | None:
        response = None
        if rule.kind == "hold_after":
            response = self._apply(request, call, record)
        verdict = self._lot.park(rule, call, record.account, record.seq)
        timed_out_hang = rule.kind == "hang" and verdict is None
        if timed_out_hang or (verdict and not verdict.apply):
            return None
        if response is None:
            response = self._apply(request, call, record)
        return None if verdict and not verdict.answer else response

    def _apply(
        self, request: HttpRequest, call: AwsCall, record: Record
    ) -> HttpResponse:
        if call.service not in self._apps:
            message = f"The service {call.service or 'of this request'} is not served."
            return error_response(call, 501, "NotImplemented", message)
        record.applied = True
        # In one go: nothing changes between the check and the call.
        with self.moto_lock:
            response = self._guarded(
                call, lambda: self._permitted(request, call, record.account)
            )
            self._permissions.note_session(call, response)
        return response

    def _permitted(
        self, request: HttpRequest, call: AwsCall, account: str
    ) -> HttpResponse:
        """Runs moto if the caller may make the call."""
        if inactive := account_states.refusal(call, account):
            return inactive
        refusal = self._permissions.refusal(call, account)
        if refusal is None:
            return self._run_moto(call.service, request)
        if call.is_json:
            return error_response(call, 400, "AccessDeniedException", refusal)
        return error_response(call, 403, "AccessDenied", refusal)

    def _guarded(self, call: AwsCall, run: Callable[[], HttpResponse]) -> HttpResponse:
        """Runs moto; whatever it raises becomes an answer."""
        try:
            return run()
        except OperationNotFoundError:
            message = f"Could not find operation {call.action}"
            return error_response(call, 400, "InvalidAction", message)
        except NotImplementedError as error:
            return error_response(call, 501, "NotImplemented", str(error))
        except Exception as error:
            LOG.exception("%s:%s failed", call.service, call.action)
            return error_response(call, 500, "InternalFailure", repr(error))

    def _error(self, rule: Rule, call: AwsCall, record: Record) -> HttpResponse:
        status, code, message = _ERRORS[rule.kind]
        if rule.kind == "access_denied":
            message = self._denial(call, record.account)
        if call.is_json:
            status = min(status, 400) if status < 500 else status
            code = _JSON_CODES.get(code, code)
        return error_response(
            call,
            rule.status or status,
            rule.code or code,
            message if rule.message is None else rule.message,
        )

    def _denial(self, call: AwsCall, account: str) -> str:
        with self.moto_lock:
            caller = caller_arn(call.access_key, account)
        action = f"{call.service}:{call.action}"
        return (
            f"User: {caller} is not authorized to perform: {action} on resource: "
            f"{call.resource()} because no identity-based policy allows the "
            f"{action} action"
        )

    def _run_moto(self, service: str, request: HttpRequest) -> HttpResponse:
        """Runs the application of a service on a request, one at a time."""
        answer: dict[str, Any] = {}

        def start_response(
            status: str, headers: list[tuple[str, str]], _info: Any = None
        ) -> Callable[[bytes], None]:
            answer["status"] = int(status.split(" ", 1)[0])
            answer["headers"] = headers
            return lambda _data: None

        with self.moto_lock:
            chunks = self._apps[service](_environ(request), start_response)
            try:
                body = b"".join(chunks)
            finally:
                if close := getattr(chunks, "close", None):
                    close()
        return HttpResponse(answer["status"], answer["headers"], body)


def _environ(request: HttpRequest) -> dict[str, Any]:
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": request.path,
        "QUERY_STRING": request.query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_TYPE": request.headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(request.body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in request.headers.items():
        if name not in ("content-type", "content-length"):
            environ["HTTP_" + name.upper().replace("-", "_")] = value
    return environ
