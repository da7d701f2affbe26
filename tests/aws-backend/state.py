"""Reads and changes the state of moto for the control API. The caller holds
the gateway's lock."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

from moto.iam.models import OpenIDConnectProvider, Role, iam_backends
from moto.moto_api._internal.models import moto_api_backend
from moto.organizations.models import organizations_backends

from identity import forget_credentials


def dump(account: str) -> dict[str, Any]:
    """Everything that a test compares, in an order that does not vary."""
    iam = iam_backends[account]["aws"]
    roles = sorted(iam.get_roles(), key=lambda role: str(role.name))
    providers = sorted(iam.open_id_providers.values(), key=lambda p: str(p.url))
    return {
        "account": account,
        "roles": [_role(role) for role in roles],
        "oidcProviders": [_provider(provider) for provider in providers],
    }


def reset_everything() -> None:
    """Drops all state of moto, issued credentials too."""
    moto_api_backend.reset()
    organizations_backends.master_accounts.clear()
    forget_credentials()


def reset_account(account: str) -> None:
    """Drops the IAM state of one account; issued credentials stay valid."""
    for iam in list(iam_backends[account].values()):
        keys = iam.access_keys
        iam.reset()
        iam.access_keys = keys


def set_last_used(account: str, role_name: str, date: str | None) -> None:
    """Says when a role was last used, or that it never was."""
    role = iam_backends[account]["aws"].get_role(role_name)
    role.last_used = _parse(date) if date else None
    region: Any = "us-east-1" if date else None
    role.last_used_region = region


def set_create_date(account: str, role_name: str, date: str) -> None:
    """Says when a role was created."""
    iam_backends[account]["aws"].get_role(role_name).create_date = _parse(date)


def _parse(date: str) -> datetime:
    """moto keeps its dates in UTC without a zone."""
    parsed = datetime.fromisoformat(date.replace("Z", "+00:00"))
    if parsed.tzinfo is None:
        return parsed
    return parsed.astimezone(timezone.utc).replace(tzinfo=None)


def _tags(tags: list[dict[str, str]]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in sorted(tags, key=lambda t: t["Key"])}


def _role(role: Role) -> dict[str, Any]:
    return {
        "name": role.name,
        "id": role.id,
        "arn": role.arn,
        "path": role.path,
        "description": role.description or "",
        "maxSessionDuration": int(role.max_session_duration or 3600),
        "permissionsBoundary": role.permissions_boundary_arn,
        "trustPolicy": json.loads(role.assume_role_policy_document),
        "attachedPolicies": sorted(role.managed_policies),
        "inlinePolicies": {
            name: json.loads(document)
            for name, document in sorted(role.policies.items())
        },
        "tags": _tags(role.tags),
    }


def _provider(provider: OpenIDConnectProvider) -> dict[str, Any]:
    return {
        "arn": provider.arn,
        "url": provider.url,
        "clientIds": sorted(provider.client_id_list),
        "thumbprints": list(provider.thumbprint_list),
        "tags": _tags(provider.tag_list_type),
    }
