"""The process, its record of calls, its accounts and its control API."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
import unittest
from pathlib import Path
from typing import Any

import boto3

from harness import ACCOUNT, OTHER, BackendCase

DEFAULT_ACCOUNT = "123456789012"


class Process(unittest.TestCase):
    def test_only_loopback(self) -> None:
        backend = Path(__file__).with_name("backend.py")
        result = subprocess.run(
            [sys.executable, str(backend), "--host", "0.0.0.0"],
            capture_output=True,
            text=True,
            timeout=30,
        )
        self.assertEqual(result.returncode, 2)
        self.assertIn("not a loopback address", result.stderr)


class Http(BackendCase):
    def connection(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", self.backend.port)
        self.addCleanup(connection.close)
        return connection

    def test_a_connection_is_kept(self) -> None:
        connection = self.connection()
        sockets = set()
        for _ in range(3):
            connection.request("GET", "/_control/health")
            answer = json.loads(connection.getresponse().read())
            self.assertEqual(answer["status"], "ok")
            sockets.add(connection.sock)
        self.assertEqual(len(sockets), 1)

    def test_what_is_not_served_is_said(self) -> None:
        s3 = self.backend.client("s3", self.session)
        self.refused(501, "NotImplemented", s3.list_buckets)
        self.refused(
            501,
            "NotImplemented",
            self.iam.simulate_principal_policy,
            PolicySourceArn=f"arn:aws:iam::{ACCOUNT}:role/role",
            ActionNames=["iam:GetRole"],
        )

    def test_control_refuses_what_it_does_not_know(self) -> None:
        for status, method, path, body in (
            (404, "GET", "none", None),
            (404, "PUT", "faults", {}),
            (404, "GET", "calls/1", None),
            (400, "GET", "state", None),
            (400, "GET", "state?account=1", None),
            (400, "POST", "credentials", {"account": ACCOUNT}),
            (400, "POST", "permute", {"account": ACCOUNT, "seed": "one"}),
            (400, "POST", "faults", []),
        ):
            with self.subTest(path):
                self.control_refused(status, method, path, body)


class Accounts(BackendCase):
    def identity(self, session: boto3.Session) -> tuple[str, str]:
        answer = self.backend.client("sts", session).get_caller_identity()
        return answer["Account"], answer["Arn"]

    def test_issued_credentials_are_of_their_account(self) -> None:
        self.assertEqual(
            self.identity(self.session),
            (ACCOUNT, f"arn:aws:sts::{ACCOUNT}:assumed-role/operator/backend"),
        )
        self.assertEqual(self.identity(self.backend.session(OTHER))[0], OTHER)

    def test_assume_role_leads_into_another_account(self) -> None:
        sts = self.backend.client("sts", self.session)
        issued = sts.assume_role(
            RoleArn=f"arn:aws:iam::{OTHER}:role/access", RoleSessionName="session"
        )["Credentials"]
        session = boto3.Session(
            issued["AccessKeyId"],
            issued["SecretAccessKey"],
            issued["SessionToken"],
            region_name="us-east-1",
        )
        arn = f"arn:aws:sts::{OTHER}:assumed-role/access/session"
        self.assertEqual(self.identity(session), (OTHER, arn))
        accounts = [(call["action"], call["account"]) for call in self.calls()]
        expected = [("AssumeRole", ACCOUNT), ("GetCallerIdentity", OTHER)]
        self.assertEqual(accounts, expected)

    def test_a_header_beats_credentials(self) -> None:
        def look_into_other(params: dict[str, Any], **_: Any) -> None:
            params["headers"]["x-moto-account-id"] = OTHER

        events = self.iam.meta.events
        events.register("before-call.iam", look_into_other)
        self.create_role()
        self.assertEqual(len(self.state(OTHER)["roles"]), 1)
        self.assertEqual(self.state()["roles"], [])
        self.assertEqual(self.calls()[-1]["account"], OTHER)

    def test_unknown_credentials_are_of_the_default_account(self) -> None:
        session = boto3.Session("AKIAEXAMPLE", "secret", region_name="us-east-1")
        self.assertEqual(self.identity(session)[0], DEFAULT_ACCOUNT)

    def test_permissions_can_be_enforced(self) -> None:
        session = boto3.Session("AKIAEXAMPLE", "secret", region_name="us-east-1")
        iam = self.backend.client("iam", session)
        iam.list_roles()
        self.addCleanup(self.enforce_permissions_after, 1_000_000_000)
        self.enforce_permissions_after(0)
        self.refused(403, "InvalidClientTokenId", iam.list_roles)

    def test_organizations(self) -> None:
        organizations = self.backend.client("organizations", self.session)
        organizations.create_organization(FeatureSet="ALL")
        member = organizations.create_account(AccountName="m", Email="m@example.com")
        status = member["CreateAccountStatus"]
        listed = organizations.list_accounts(MaxResults=20)["Accounts"]
        self.assertIn(status["AccountId"], [account["Id"] for account in listed])
        call = self.calls()[-1]
        self.assertEqual(
            (call["service"], call["action"], call["params"]),
            ("organizations", "ListAccounts", {"MaxResults": 20}),
        )


class Record(BackendCase):
    def test_what_a_record_says(self) -> None:
        before = time.time()
        self.create_role(Tags=[{"Key": "k", "Value": "v"}])
        call = self.calls()[-1]
        self.assertTrue(before <= call["time"] <= call["endTime"] <= time.time())
        key = self.session.get_credentials().access_key
        self.assertEqual(call["accessKeyId"], key)
        self.assertIn("Botocore", call["userAgent"])
        self.assertEqual(
            (call["account"], call["service"], call["action"], call["status"]),
            (ACCOUNT, "iam", "CreateRole", 200),
        )
        self.assertEqual(call["params"]["RoleName"], "role")
        self.assertEqual(call["params"]["Tags.member.1.Key"], "k")
        self.assertNotIn("Action", call["params"])
        self.assertTrue(call["applied"])
        self.assertIsNone(call["fault"])
        self.assertIsNone(call["errorCode"])

    def test_refusals_are_recorded(self) -> None:
        self.refused(404, "NoSuchEntity", self.iam.get_role, RoleName="role")
        call = self.calls()[-1]
        self.assertEqual((call["status"], call["errorCode"]), (404, "NoSuchEntity"))

    def test_selection_and_clearing(self) -> None:
        self.iam.list_roles()
        last = self.control("GET", "calls")["lastSeq"]
        other = self.backend.client("iam", self.backend.session(OTHER))
        other.list_roles()
        self.iam.list_roles()
        self.assertEqual(
            [c["seq"] for c in self.calls(since=last)], [last + 1, last + 2]
        )
        self.assertEqual([c["seq"] for c in self.calls(account=OTHER)], [last + 1])
        self.control("DELETE", "calls")
        self.assertEqual(self.calls(), [])
        self.iam.list_roles()
        self.assertEqual([c["seq"] for c in self.calls()], [last + 3])


class Reset(BackendCase):
    def test_one_account_keeps_its_credentials(self) -> None:
        self.create_role()
        other = self.backend.client("iam", self.backend.session(OTHER))
        self.control("POST", f"reset?account={OTHER}")
        self.assertEqual(len(self.state()["roles"]), 1)
        self.control("POST", f"reset?account={ACCOUNT}")
        self.assertEqual(self.state()["roles"], [])
        self.create_role()
        self.assertEqual(len(self.state()["roles"]), 1)
        self.assertEqual(other.list_roles()["Roles"], [])

    def test_all(self) -> None:
        self.create_role()
        self.control("POST", "faults", {"kind": "throttle", "account": OTHER})
        self.control("POST", "reset")
        self.assertEqual(self.state()["roles"], [])
        self.assertEqual(self.control("GET", "faults"), {"faults": []})
        self.assertEqual(self.calls(), [])
        identity = self.backend.client("sts", self.session).get_caller_identity()
        self.assertEqual(identity["Account"], DEFAULT_ACCOUNT)


if __name__ == "__main__":
    unittest.main()
