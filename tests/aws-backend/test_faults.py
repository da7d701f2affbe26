"""Faults do to a call what the network, a quota or a crash would do."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.parse
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from botocore.exceptions import ConnectionClosedError

from harness import ACCOUNT, OTHER, BackendCase, trust


class FaultCase(BackendCase):
    def setUp(self) -> None:
        super().setUp()
        self.pool = ThreadPoolExecutor(8)
        self.addCleanup(self.pool.shutdown)
        self.addCleanup(self.control, "POST", "reset")

    def fault(self, kind: str, **more: Any) -> str:
        """Adds a rule and returns its id."""
        return str(self.control("POST", "faults", {"kind": kind, **more})["id"])

    def parked(self, rule: str) -> dict[str, Any]:
        """Waits until a call of this rule is parked."""
        found = self.control("GET", f"parked?rule={rule}&wait=30")["parked"]
        self.assertEqual(len(found), 1)
        return dict(found[0])

    def create_in_background(self) -> Future[Any]:
        return self.pool.submit(self.create_role)

    def role_names(self) -> list[str]:
        return [role["name"] for role in self.state()["roles"]]


class Errors(FaultCase):
    def test_xml_errors(self) -> None:
        for kind, status, code in (
            ("throttle", 400, "Throttling"),
            ("error500", 500, "InternalFailure"),
            ("error503", 503, "ServiceUnavailable"),
            ("access_denied", 403, "AccessDenied"),
            ("no_such_entity", 404, "NoSuchEntity"),
            ("expired_token", 403, "ExpiredToken"),
        ):
            with self.subTest(kind):
                rule = self.fault(kind, count=1)
                self.refused(status, code, self.iam.list_roles)
                call = self.calls()[-1]
                self.assertEqual(call["fault"], {"id": rule, "kind": kind})
                self.assertEqual((call["status"], call["errorCode"]), (status, code))
                self.assertFalse(call["applied"])
        self.assertEqual(self.control("GET", "faults"), {"faults": []})

    def test_json_errors(self) -> None:
        organizations = self.backend.client("organizations", self.session)
        for kind, status, code in (
            ("throttle", 400, "TooManyRequestsException"),
            ("error500", 500, "InternalFailure"),
            ("access_denied", 400, "AccessDeniedException"),
            ("expired_token", 400, "ExpiredTokenException"),
        ):
            with self.subTest(kind):
                self.fault(kind, count=1, service="organizations")
                self.refused(status, code, organizations.list_accounts)

    def test_an_error_of_ones_own(self) -> None:
        self.fault("error", status=409, code="Concurrent", message="<again>", count=1)
        message = self.refused(409, "Concurrent", self.iam.list_roles)
        self.assertEqual(message, "<again>")

    def test_a_denial_reads_as_on_aws(self) -> None:
        self.fault("access_denied", action="GetRole")
        message = self.refused(403, "AccessDenied", self.iam.get_role, RoleName="r")
        self.assertEqual(
            message,
            f"User: arn:aws:sts::{ACCOUNT}:assumed-role/operator/backend is not "
            "authorized to perform: iam:GetRole on resource: role r because no "
            "identity-based policy allows the iam:GetRole action",
        )

    def test_not_yet_visible_is_about_reads_unless_told(self) -> None:
        rule = self.fault("no_such_entity")
        self.create_role()
        self.refused(404, "NoSuchEntity", self.iam.get_role, RoleName="role")
        self.control("DELETE", f"faults/{rule}")
        self.fault("no_such_entity", action=["PutRolePolicy", "TagRole"])
        self.iam.get_role(RoleName="role")
        self.refused(404, "NoSuchEntity", self.iam.tag_role, RoleName="role", Tags=[])

    def test_skip_and_count(self) -> None:
        self.fault("throttle", action="ListRoles", skip=2, count=2)
        outcomes = []
        for _ in range(6):
            self.iam.list_open_id_connect_providers()
            try:
                self.iam.list_roles()
                outcomes.append("ok")
            except self.iam.exceptions.ClientError:
                outcomes.append("throttled")
        self.assertEqual(outcomes, ["ok"] * 2 + ["throttled"] * 2 + ["ok"] * 2)

    def test_a_rule_is_about_what_it_names(self) -> None:
        self.fault("error500", params={"RoleName": "a"})
        self.fault("throttle", account=OTHER)
        self.refused(500, "InternalFailure", self.create_role, name="a")
        self.create_role("b")
        other = self.backend.client("iam", self.backend.session(OTHER))
        self.refused(400, "Throttling", other.list_roles)
        removed = self.control("DELETE", f"faults?account={OTHER}")
        self.assertEqual(removed, {"deleted": 1, "released": 0})
        other.list_roles()

    def test_the_first_rule_that_matches_wins(self) -> None:
        self.fault("error503", id="first", count=1)
        self.fault("throttle")
        self.refused(503, "ServiceUnavailable", self.iam.list_roles)
        self.refused(400, "Throttling", self.iam.list_roles)

    def test_a_rule_that_makes_no_sense_is_refused(self) -> None:
        for body in (
            {"kind": "none"},
            {"kind": "latency"},
            {"kind": "error"},
            {"kind": "throttle", "count": 0},
            {"kind": "throttle", "actoin": "GetRole"},
            {"kind": "hang", "seconds": "1"},
        ):
            with self.subTest(body):
                self.control_refused(400, "POST", "faults", body)


class Connections(FaultCase):
    def test_cut_before_leaves_no_trace(self) -> None:
        self.fault("cut_before", count=1)
        with self.assertRaises(ConnectionClosedError):
            self.create_role()
        self.assertEqual(self.role_names(), [])
        call = self.calls()[-1]
        self.assertEqual((call["status"], call["applied"]), (None, False))

    def test_cut_after_takes_effect(self) -> None:
        self.fault("cut_after", count=1)
        with self.assertRaises(ConnectionClosedError):
            self.create_role()
        self.assertEqual(self.role_names(), ["role"])
        call = self.calls()[-1]
        self.assertEqual((call["status"], call["applied"]), (None, True))

    def test_latency(self) -> None:
        self.fault("latency", seconds=0.3, count=1)
        start = time.monotonic()
        self.create_role()
        self.assertGreaterEqual(time.monotonic() - start, 0.3)
        self.assertEqual(self.role_names(), ["role"])

    def test_hang_ends_with_its_rule_or_its_time(self) -> None:
        rule = self.fault("hang", action="CreateRole")
        creation = self.create_in_background()
        self.parked(rule)
        self.assertEqual(self.role_names(), [], "others go on meanwhile")
        removed = self.control("DELETE", f"faults/{rule}")
        self.assertEqual(removed, {"deleted": 1, "released": 1})
        self.assertEqual(creation.result(30)["RoleName"], "role")
        self.fault("hang", seconds=0.1)
        with self.assertRaises(ConnectionClosedError):
            self.create_role("other")
        self.assertEqual(self.role_names(), ["role"])

    def test_a_killed_client_does_no_harm(self) -> None:
        rule = self.fault("hold_after", action="CreateRole", count=1)
        body = urllib.parse.urlencode(
            {
                "Action": "CreateRole",
                "Version": "2010-05-08",
                "RoleName": "role",
                "AssumeRolePolicyDocument": json.dumps(trust()),
            }
        )
        head = (
            "POST / HTTP/1.1\r\nHost: x\r\nX-Moto-Account-Id: "
            f"{ACCOUNT}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", self.backend.port)) as client:
            client.sendall((head + body).encode())
            parked = self.parked(rule)
        self.assertEqual(self.role_names(), ["role"])
        self.control("POST", "release", {"id": parked["id"]})
        with socket.create_connection(("127.0.0.1", self.backend.port)) as client:
            client.sendall(head.encode())
        self.iam.list_roles()


class Holds(FaultCase):
    def test_hold_before(self) -> None:
        rule = self.fault("hold_before", action="CreateRole", count=1)
        creation = self.create_in_background()
        parked = self.parked(rule)
        self.assertEqual(
            (parked["kind"], parked["account"], parked["action"]),
            ("hold_before", ACCOUNT, "CreateRole"),
        )
        self.assertEqual(self.role_names(), [])
        self.control("POST", "release", {"id": parked["id"]})
        self.assertEqual(creation.result(30)["RoleName"], "role")
        self.assertEqual(self.control("GET", "parked"), {"parked": []})
        self.control_refused(404, "POST", "release", {"id": parked["id"]})

    def test_hold_before_that_never_takes_effect(self) -> None:
        rule = self.fault("hold_before", count=1)
        creation = self.create_in_background()
        parked = self.parked(rule)
        self.control("POST", "release", {"id": parked["id"], "apply": False})
        with self.assertRaises(ConnectionClosedError):
            creation.result(30)
        self.assertEqual(self.role_names(), [])

    def test_hold_after(self) -> None:
        rule = self.fault("hold_after", action="CreateRole", count=1)
        creation = self.create_in_background()
        parked = self.parked(rule)
        self.assertEqual(self.role_names(), ["role"])
        self.assertFalse(creation.done())
        self.control_refused(
            400, "POST", "release", {"id": parked["id"], "apply": False}
        )
        self.control("POST", "release", {"id": parked["id"], "answer": False})
        with self.assertRaises(ConnectionClosedError):
            creation.result(30)

    def test_deleting_a_used_up_rule_releases_its_calls(self) -> None:
        rule = self.fault("hold_before", action="CreateRole", count=1)
        creation = self.create_in_background()
        self.parked(rule)
        removed = self.control("DELETE", f"faults/{rule}")
        self.assertEqual(removed, {"deleted": 0, "released": 1})
        self.assertEqual(creation.result(30)["RoleName"], "role")


class Concurrency(FaultCase):
    def test_calls_from_many_threads_all_take_effect_once(self) -> None:
        document = json.dumps(trust())
        start = threading.Barrier(8)

        def create(worker: int) -> None:
            start.wait(30)
            for number in range(20):
                self.iam.create_role(
                    RoleName=f"r{worker}-{number}", AssumeRolePolicyDocument=document
                )

        for future in [self.pool.submit(create, worker) for worker in range(8)]:
            future.result(60)
        self.assertEqual(len(self.role_names()), 160)
        numbers = [call["seq"] for call in self.calls()]
        self.assertEqual(len(set(numbers)), 160)
        self.assertEqual(numbers, sorted(numbers))
