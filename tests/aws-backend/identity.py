"""Which account a caller belongs to, in the order that moto looks it up."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import moto.iam.models as iam_models
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.iam.models import AccessKey, IAMBackend
from moto.sts.models import sts_backends

_account_of_issued: dict[str, str] = {}


@dataclass(frozen=True)
class Credentials:
    """Credentials of an assumed role."""

    accessKeyId: str
    secretAccessKey: str
    sessionToken: str


def account_of_key(access_key: str | None, header: str | None = None) -> str:
    """The account by environment, then header, then key that was issued."""
    if fixed := os.environ.get("MOTO_ACCOUNT_ID"):
        return fixed
    return header or _account_of_issued.get(access_key or "", DEFAULT_ACCOUNT_ID)


def issue_credentials(account: str, role: str, session: str) -> Credentials:
    """Credentials as AssumeRole into `role` of `account` gives them."""
    assumed = sts_backends[account]["aws"].assume_role(
        region_name="us-east-1",
        role_session_name=session,
        role_arn=f"arn:aws:iam::{account}:role/{role}",
        policy="",
        duration=43200,
        external_id="",
    )
    return Credentials(
        assumed.access_key_id, assumed.secret_access_key, assumed.session_token
    )


def caller_arn(access_key: str | None, account: str) -> str:
    """The ARN that GetCallerIdentity gives for a key."""
    return sts_backends[account]["aws"].get_caller_identity(
        access_key or "", "us-east-1"
    )[1]


def forget_credentials() -> None:
    """Forgets every issued key."""
    _account_of_issued.clear()


def install() -> None:
    """Makes moto find the account of a key in an index instead of searching
    all accounts, which takes longer with each account."""

    def remember(name: str) -> None:
        original = getattr(IAMBackend, name)

        def remembering(self: IAMBackend, *args: Any, **kwargs: Any) -> AccessKey:
            key: AccessKey = original(self, *args, **kwargs)
            _account_of_issued[key.access_key_id] = self.account_id
            return key

        setattr(IAMBackend, name, remembering)

    remember("create_access_key")
    remember("create_temp_access_key")
    iam_models.get_account_id_from = account_of_key
