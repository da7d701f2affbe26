"""Who the bearer of a web identity token is. The token's signature is not checked."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from moto.iam.models import iam_backends

from evaluate import Request

ACTION = "sts:AssumeRoleWithWebIdentity"


def identified(token: str, account: str, role_arn: str) -> Request | None:
    """The request of the token's bearer to assume a role, with what its trust policy may
    ask for; None if the account has no provider for the token's issuer and audience.

    https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
    """
    claims = _claims(token)
    issuer = str(claims.get("iss")).removeprefix("https://")
    arn = f"arn:aws:iam::{account}:oidc-provider/{issuer}"
    provider = iam_backends[account]["aws"].open_id_providers.get(arn)
    audiences = claims.get("aud", [])
    audiences = audiences if isinstance(audiences, list) else [audiences]
    known = [one for one in audiences if provider and one in provider.client_id_list]
    if not known:
        return None
    context = {
        f"{issuer}:aud".lower(): known,
        f"{issuer}:sub".lower(): [str(claims.get("sub"))],
    }
    return Request(ACTION, role_arn, context, frozenset({arn}))


def _claims(token: str) -> dict[str, Any]:
    """What a token says; nothing if it is no token."""
    try:
        payload = token.split(".")[1]
        padded = payload + "=" * (-len(payload) % 4)
        claims = json.loads(base64.urlsafe_b64decode(padded))
    except (IndexError, ValueError, binascii.Error):
        return {}
    return claims if isinstance(claims, dict) else {}
