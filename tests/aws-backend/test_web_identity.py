"""Sessions by web identity: the role's trust policy decides."""

from __future__ import annotations

import base64
import json
from typing import Any

from harness import ACCOUNT, PROVIDER_ARN, BackendCase


def token(**claims: Any) -> str:
    """As a cluster issues it; nobody looks at the signature."""
    usual = {"iss": "https://issuer.example", "aud": ["client"], "sub": "one"}
    parts = [{"alg": "none"}, {**usual, **claims}]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()) for part in parts]
    return ".".join([*(part.decode().rstrip("=") for part in encoded), "signature"])


class WebIdentity(BackendCase):
    def setUp(self) -> None:
        super().setUp()
        self.iam.create_open_id_connect_provider(
            Url="https://issuer.example", ClientIDList=["client"]
        )
        self.create_role("Bearer")
        self.sts = self.backend.client("sts", self.session)

    def assume(self, web_token: str, role: str = "Bearer") -> Any:
        return self.sts.assume_role_with_web_identity(
            RoleArn=f"arn:aws:iam::{ACCOUNT}:role/{role}",
            RoleSessionName="session",
            WebIdentityToken=web_token,
        )

    def refuses(self, web_token: str, role: str = "Bearer") -> None:
        self.refused(403, "AccessDenied", lambda: self.assume(web_token, role))

    def test_a_trusted_subject_gets_a_session_of_the_role(self) -> None:
        for good in (token(), token(aud="client"), token(aud=["x", "client"])):
            session = self.assume(good)["AssumedRoleUser"]["Arn"]
            self.assertEqual(
                session, f"arn:aws:sts::{ACCOUNT}:assumed-role/Bearer/session"
            )

    def test_nobody_else_does(self) -> None:
        others = [token(sub="x"), token(aud=["x"]), token(iss="https://x.example")]
        for bad in (*others, "a.b.c", "text"):
            with self.subTest(bad):
                self.refuses(bad)

    def test_the_provider_has_to_be_there(self) -> None:
        self.iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=PROVIDER_ARN)
        self.refuses(token())

    def test_where_the_account_is_strict_the_role_has_to_be_there(self) -> None:
        self.assume(token(), "None")
        strict = {"account": ACCOUNT, "strict": True}
        self.control("POST", "strict-assume-role", strict)
        self.refuses(token(), "None")
