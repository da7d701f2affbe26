"""What the tests of the backend share: one process, its control API, clients."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

ACCOUNT = "111122223333"
OTHER = "444455556666"
MANAGEMENT = "999900000000"
MEMBER = "999900000001"
DELEGATED = "999900000002"
NOT_IN_USE = "AWSOrganizationsNotInUseException"
PROVIDER_ARN = f"arn:aws:iam::{ACCOUNT}:oidc-provider/issuer.example"


def trust(condition: dict[str, Any] | None = None) -> dict[str, Any]:
    """A trust policy for web identities, written as IAM would not."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Federated": [PROVIDER_ARN]},
                "Action": ["sts:AssumeRoleWithWebIdentity"],
                "Condition": condition
                or {
                    "StringEquals": {
                        "issuer.example:aud": ["client"],
                        "issuer.example:sub": ["one", "two"],
                    }
                },
            }
        ],
    }


class Backend:
    """A backend process."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        ready = Path(self._folder.name) / "port"
        self.process = subprocess.Popen(
            [
                sys.executable,
                str(Path(__file__).with_name("backend.py")),
                "--ready-file",
                str(ready),
                "--exit-with-stdin",
            ],
            stdin=subprocess.PIPE,
        )
        deadline = time.monotonic() + 30
        while not ready.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the backend did not start")
            time.sleep(0.02)
        self.port = int(ready.read_text())
        self.url = f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """Ends the process by closing its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10)
        self._folder.cleanup()

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """One control request; an error raises urllib's HTTPError."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.url}/_control/{path}", method=method, data=data
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)

    def session(self, account: str) -> boto3.Session:
        """Credentials of an account, handed out by the control API."""
        issued = self.control(
            "POST", "credentials", {"account": account, "role": "operator"}
        )
        return boto3.Session(
            issued["accessKeyId"],
            issued["secretAccessKey"],
            issued["sessionToken"],
            region_name="us-east-1",
        )

    def client(self, service: str, session: boto3.Session) -> Any:
        """A client that never retries, so that each fault is seen."""
        config = Config(
            retries={"total_max_attempts": 1}, read_timeout=30, tcp_keepalive=True
        )
        return session.client(service, endpoint_url=self.url, config=config)


class BackendCase(unittest.TestCase):
    """Tests on one backend that is reset before each of them."""

    backend: Backend

    @classmethod
    def setUpClass(cls) -> None:
        cls.backend = Backend()
        cls.addClassCleanup(cls.backend.stop)

    def setUp(self) -> None:
        self.control("POST", "reset")
        self.session = self.backend.session(ACCOUNT)
        self.iam = self.backend.client("iam", self.session)

    def control(self, method: str, path: str, body: Any = None) -> Any:
        return self.backend.control(method, path, body)

    def create_role(self, name: str = "role", **more: Any) -> dict[str, Any]:
        document = more.pop("document", json.dumps(trust(), indent=2))
        role: dict[str, Any] = self.iam.create_role(
            RoleName=name, AssumeRolePolicyDocument=document, **more
        )["Role"]
        return role

    def state(self, account: str = ACCOUNT) -> dict[str, Any]:
        state: dict[str, Any] = self.control("GET", f"state?account={account}")
        return state

    def calls(self, **query: Any) -> list[dict[str, Any]]:
        text = "&".join(f"{k}={v}" for k, v in query.items())
        found: list[dict[str, Any]] = self.control("GET", f"calls?{text}")["calls"]
        return found

    def enforce_permissions_after(self, calls: int) -> None:
        """Turns on moto's enforcement after so many calls."""
        request = urllib.request.Request(
            f"{self.backend.url}/moto-api/reset-auth",
            data=str(calls).encode(),
            headers={"Content-Type": "text/plain"},
        )
        urllib.request.urlopen(request, timeout=30).close()

    def refused(
        self, status: int, code: str, call: Callable[..., Any], **params: Any
    ) -> str:
        """Checks that AWS refuses a call, and returns the message."""
        with self.assertRaises(ClientError) as caught:
            call(**params)
        answer = caught.exception.response
        self.assertEqual(
            (answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]),
            (status, code),
        )
        return str(answer["Error"]["Message"])

    def control_refused(self, status: int, method: str, path: str, body: Any) -> None:
        """Checks that the control API refuses a request."""
        with self.assertRaises(urllib.error.HTTPError) as caught:
            self.control(method, path, body)
        with caught.exception as error:
            self.assertEqual(error.code, status)


class OrganizationCase(BackendCase):
    """Tests that have an organization."""

    def client(self, account: str) -> Any:
        return self.backend.client("organizations", self.backend.session(account))

    def organize(self, **more: Any) -> dict[str, Any]:
        """An organization with `a`, `b` in `a`, and two member accounts."""
        body = {
            "management": MANAGEMENT,
            "units": [{"name": "a", "parent": None}, {"name": "b", "parent": "a"}],
            "accounts": [{"id": MEMBER, "unit": "b"}, {"id": DELEGATED, "unit": None}],
            "delegatedAdministrators": [] if "accounts" in more else [DELEGATED],
            **more,
        }
        made: dict[str, Any] = self.control("POST", "organization", body)
        return made

    def change(self, call: str, **body: Any) -> Any:
        return self.control(
            "POST", f"organization/{call}", {"management": MANAGEMENT, **body}
        )

    def pages(self, call: Any, key: str, **params: Any) -> list[list[str]]:
        """The ids on all pages of a listing."""
        pages: list[list[str]] = []
        token: dict[str, str] = {}
        while True:
            answer = call(**params, **token)
            pages.append([item["Id"] for item in answer[key]])
            if "NextToken" not in answer:
                return pages
            token = {"NextToken": answer["NextToken"]}

    def accounts_in(self, parent: str) -> list[str]:
        pages = self.pages(
            self.client(MANAGEMENT).list_accounts_for_parent,
            "Accounts",
            ParentId=parent,
        )
        return [account for page in pages for account in page]
