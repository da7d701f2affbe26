"""Reads one HTTP request as an AWS call: service, action, parameters, caller."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/[^/]*/([^/]*)/([^/]*)/aws4_request")
_SERVICE_OF_VERSION = {"2010-05-08": "iam", "2011-06-15": "sts"}
_SERVICE_OF_TARGET = {"AWSOrganizationsV20161128": "organizations"}


@dataclass(frozen=True)
class HttpRequest:
    """A request as it came in; header names are in lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class HttpResponse:
    """An answer that is complete before its first byte is sent."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def with_header(self, name: str, value: str) -> HttpResponse:
        """The same answer with one more header."""
        return HttpResponse(self.status, [*self.headers, (name, value)], self.body)


@dataclass(frozen=True)
class AwsCall:
    """What a request asks for, before it is known who asks."""

    service: str
    action: str
    params: dict[str, Any] = field(default_factory=dict)
    access_key: str | None = None
    region: str = "us-east-1"
    user_agent: str = ""

    @property
    def is_json(self) -> bool:
        """Whether the service speaks JSON; the others answer XML."""
        return self.service == "organizations"

    @property
    def is_read(self) -> bool:
        """Whether the action only reads."""
        return self.action.startswith(("Get", "List", "Describe"))

    def resource(self) -> str:
        """The resource as AWS names it in an AccessDenied message."""
        if role := self.params.get("RoleName"):
            return f"role {role}"
        for name in ("OpenIDConnectProviderArn", "RoleArn", "PolicyArn"):
            if arn := self.params.get(name):
                return str(arn)
        return "*"


def parse_call(request: HttpRequest) -> AwsCall:
    """Finds service, action and parameters of a request."""
    credential = _CREDENTIAL.search(request.headers.get("authorization", ""))
    target = request.headers.get("x-amz-target", "")
    if target:
        prefix, _, action = target.rpartition(".")
        service = _SERVICE_OF_TARGET.get(prefix, prefix)
        params = _json_params(request.body)
    else:
        form = request.query + "&" + request.body.decode("utf-8", "replace")
        params = dict(parse_qsl(form, keep_blank_values=True))
        action = params.pop("Action", "")
        service = _SERVICE_OF_VERSION.get(params.pop("Version", ""), "")
    if credential:
        service = credential.group(3)
    return AwsCall(
        service=service,
        action=action,
        params={k: v for k, v in params.items() if not k.startswith("X-Amz-")},
        access_key=credential.group(1) if credential else None,
        region=credential.group(2) if credential else "us-east-1",
        user_agent=request.headers.get("user-agent", ""),
    )


def _json_params(body: bytes) -> dict[str, Any]:
    try:
        params = json.loads(body or b"{}")
    except ValueError:
        return {}
    return params if isinstance(params, dict) else {}
