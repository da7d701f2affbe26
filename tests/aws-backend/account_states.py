"""What the state of an account in its organization keeps callers from."""

from __future__ import annotations

import re

from calls import AwsCall, HttpResponse
from errors import error_response
from honest_organizations import organization_of
from identity import caller_arn

_ACCOUNT_OF_ARN = re.compile(r"arn:[\w-]+:iam::(\d{12}):")


def state_of(account: str) -> str | None:
    """The state of an account; None outside an organization."""
    organization = organization_of(account)
    if organization is None:
        return None
    return str(organization.get_account_by_id(account).state)


def refusal(call: AwsCall, caller: str) -> HttpResponse | None:
    """Refuses to assume a role in an account that is not active. The caller
    holds the gateway's lock."""
    if call.service != "sts" or not call.action.startswith("AssumeRole"):
        return None
    arn = str(call.params.get("RoleArn", ""))
    found = _ACCOUNT_OF_ARN.match(arn)
    if found is None or state_of(found.group(1)) in (None, "ACTIVE"):
        return None
    message = f"Not authorized to perform sts:{call.action}"
    if call.action == "AssumeRole":
        message = (
            f"User: {caller_arn(call.access_key, caller)} is not authorized to "
            f"perform: sts:AssumeRole on resource: {arn}"
        )
    return error_response(call, 403, "AccessDenied", message)
