"""Who may do what: policies of keys, of sessions and of roles."""

from __future__ import annotations

import json
import tempfile
import unittest
from pathlib import Path
from typing import Any

import boto3

from calls import AwsCall
from evaluate import Request, UnknownOperatorError, allows
from harness import ACCOUNT, OTHER, PROVIDER_ARN, BackendCase, trust
from permissions import Permissions

TARGET = f"arn:aws:iam::{OTHER}:role/Target"
HOLD = "aws:ResourceTag/hold"


def allow(
    *actions: str, resource: str = "*", condition: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A policy of one statement."""
    statement: dict[str, Any] = {
        "Effect": "Allow",
        "Action": list(actions),
        "Resource": resource,
    }
    if condition:
        statement["Condition"] = condition
    return {"Version": "2012-10-17", "Statement": [statement]}


class Evaluation(unittest.TestCase):
    def test_actions_and_resources(self) -> None:
        cases: list[tuple[bool, dict[str, Any]]] = [
            (True, allow("iam:GetRole", resource="arn:aws:iam::1:role/a*")),
            (True, allow("IAM:get*", resource="*")),
            (True, allow("*", resource="arn:aws:iam::?:role/ab")),
            (False, allow("iam:GetRol", resource="*")),
            (False, allow("iam:GetRole", resource="arn:aws:iam::1:role/b*")),
            (False, allow("iam:GetRole", resource="arn:aws:iam::1:role/a")),
            (False, {"Statement": {"Effect": "Allow", "Action": "*"}}),
            (
                True,
                {
                    "Statement": {
                        "Effect": "Allow",
                        "NotAction": "s3:*",
                        "Resource": "*",
                    }
                },
            ),
        ]
        request = Request("iam:GetRole", "arn:aws:iam::1:role/ab")
        for expected, document in cases:
            with self.subTest(document):
                self.assertEqual(allows([document], request), expected)

    def test_a_denial_beats_what_is_allowed(self) -> None:
        deny = {"Statement": {"Effect": "Deny", "Action": "iam:*", "Resource": "*"}}
        self.assertFalse(allows([allow("*"), deny], Request("iam:GetRole", "r")))
        self.assertTrue(allows([allow("*"), deny], Request("s3:GetObject", "r")))

    def test_conditions(self) -> None:
        context = {"iam:policyarn": ["arn:a"], "aws:tagkeys": ["one", "two"]}
        cases: list[tuple[bool, dict[str, Any]]] = [
            (True, {"StringEquals": {"iam:PolicyARN": ["x", "arn:a"]}}),
            (False, {"StringEquals": {"iam:PolicyARN": "arn:*"}}),
            (True, {"ArnLike": {"iam:PolicyARN": "arn:*"}}),
            (False, {"ArnNotLike": {"iam:PolicyARN": ["x", "arn:*"]}}),
            (True, {"ArnNotLike": {"iam:PolicyARN": ["x", "y"]}}),
            (True, {"Null": {"iam:PolicyARN": "false", HOLD: "true"}}),
            (False, {"Null": {HOLD: "false"}}),
            (False, {"StringEquals": {HOLD: "x"}}),
            (True, {"StringEqualsIfExists": {HOLD: "x"}}),
            (True, {"StringNotEquals": {HOLD: "x"}}),
            (True, {"ForAllValues:StringEquals": {"aws:TagKeys": ["two", "one"]}}),
            (False, {"ForAllValues:StringEquals": {"aws:TagKeys": ["one"]}}),
            (True, {"ForAllValues:StringEquals": {HOLD: ["one"]}}),
            (True, {"ForAnyValue:StringLike": {"aws:TagKeys": "o*"}}),
        ]
        request = Request("iam:TagRole", "r", context)
        for expected, condition in cases:
            with self.subTest(condition):
                document = allow("iam:TagRole", condition=condition)
                self.assertEqual(allows([document], request), expected)
        unknown = allow("*", condition={"IpAddress": {"iam:PolicyARN": "x"}})
        with self.assertRaises(UnknownOperatorError):
            allows([unknown], request)


class PermissionsCase(BackendCase):
    def client(self, service: str = "iam", **rights: Any) -> Any:
        """A client whose key has these policies."""
        issued = self.control(
            "POST", "credentials", {"account": ACCOUNT, "role": "operator", **rights}
        )
        self.key = issued["accessKeyId"]
        session = boto3.Session(
            self.key,
            issued["secretAccessKey"],
            issued["sessionToken"],
            region_name="us-east-1",
        )
        return self.backend.client(service, session)

    def assumed(self, sts: Any, **more: Any) -> Any:
        """A client of a session in the other account."""
        params = {"RoleArn": TARGET, "RoleSessionName": "session", **more}
        issued = sts.assume_role(**params)["Credentials"]
        session = boto3.Session(
            issued["AccessKeyId"],
            issued["SecretAccessKey"],
            issued["SessionToken"],
            region_name="us-east-1",
        )
        return self.backend.client("iam", session)


class Keys(PermissionsCase):
    def test_a_key_with_policies_does_what_they_allow(self) -> None:
        iam = self.client(policies=[allow("iam:ListRoles")])
        iam.list_roles()
        message = self.refused(403, "AccessDenied", iam.get_role, RoleName="r")
        self.assertEqual(
            message,
            f"User: arn:aws:sts::{ACCOUNT}:assumed-role/operator/backend is not "
            f"authorized to perform: iam:GetRole on resource: arn:aws:iam::{ACCOUNT}:"
            "role/r because no identity-based policy allows the iam:GetRole action",
        )
        call = self.calls()[-1]
        self.assertEqual((call["status"], call["errorCode"]), (403, "AccessDenied"))
        self.control(
            "POST",
            "grant",
            {"accessKeyId": self.key, "policies": [allow("iam:GetRole")]},
        )
        self.refused(404, "NoSuchEntity", iam.get_role, RoleName="r")

    def test_whose_key_it_is_needs_no_permission(self) -> None:
        sts = self.client("sts", policies=[])
        self.assertEqual(sts.get_caller_identity()["Account"], ACCOUNT)

    def test_rights_that_make_no_sense_are_refused(self) -> None:
        key = self.session.get_credentials().access_key
        who = {"account": ACCOUNT, "role": "operator"}
        for path, body in (
            ("credentials", {**who, "policies": ["text"]}),
            ("credentials", {**who, "policies": [], "assumed": []}),
            ("credentials", {**who, "policies": [], "assumed": {"Target": {}}}),
            ("grant", {"accessKeyId": key, "policies": []}),
            ("grant", {"accessKeyId": "none", "policies": []}),
        ):
            with self.subTest(body):
                self.control_refused(400, "POST", path, body)

    def test_tags_of_what_is_made_need_the_right_to_tag(self) -> None:
        tags = [{"Key": "k", "Value": "v"}]
        made = {"RoleName": "r", "AssumeRolePolicyDocument": '{"Statement": []}'}
        iam = self.client(policies=[allow("iam:CreateRole", "iam:CreateOpen*")])
        message = self.refused(403, "AccessDenied", iam.create_role, Tags=tags, **made)
        self.assertIn("perform: iam:TagRole on", message)
        url = {"Url": "https://issuer.example", "Tags": tags}
        create = iam.create_open_id_connect_provider
        message = self.refused(403, "AccessDenied", create, **url)
        self.assertIn(
            f"perform: iam:TagOpenIDConnectProvider on resource: {PROVIDER_ARN}",
            message,
        )

    def test_what_conditions_look_at(self) -> None:
        own = {"StringEquals": {"aws:RequestTag/owner": "me"}}
        keys = {"ForAllValues:StringEquals": {"aws:TagKeys": ["owner"]}}
        bound = {"ArnLike": {"iam:PermissionsBoundary": "*/ReadOnlyAccess"}}
        free = {"Null": {HOLD: "true"}}
        policies = [
            allow("iam:CreateRole", condition={**own, **bound}),
            allow("iam:TagRole", "iam:UntagRole", condition={**keys, **free}),
            allow("iam:UpdateRole", condition={**bound, **free}),
            allow(
                "iam:AttachRolePolicy",
                condition={"ArnLike": {"iam:PolicyARN": "*/ReadOnlyAccess"}},
            ),
        ]
        iam = self.client(policies=policies)
        read_only = "arn:aws:iam::aws:policy/ReadOnlyAccess"

        def create(key: str, boundary: str = read_only) -> Any:
            return iam.create_role(
                RoleName="role",
                AssumeRolePolicyDocument=json.dumps(trust()),
                PermissionsBoundary=boundary,
                Tags=[{"Key": key, "Value": "me"}],
            )

        self.refused(403, "AccessDenied", lambda: create("other"))
        self.refused(403, "AccessDenied", lambda: create("owner", f"{read_only}X"))
        create("owner")
        iam.attach_role_policy(RoleName="role", PolicyArn=read_only)
        admin = "arn:aws:iam::aws:policy/AdministratorAccess"
        attach, untag = iam.attach_role_policy, iam.untag_role
        self.refused(403, "AccessDenied", attach, RoleName="role", PolicyArn=admin)
        self.refused(403, "AccessDenied", untag, RoleName="role", TagKeys=["hold"])
        iam.update_role(RoleName="role")
        self.iam.tag_role(RoleName="role", Tags=[{"Key": "hold", "Value": ""}])
        self.refused(403, "AccessDenied", iam.update_role, RoleName="role")

    def test_actions_that_the_operator_took_are_written_down_once(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "seen"
            permissions = Permissions(path)
            permissions.issue("K", ACCOUNT, "operator", {"policies": [allow("iam:*")]})
            params = {"RoleName": "r", "Tags.member.1.Key": "k"}
            for agent in ("port-aws-operator-1", "port-aws-operator-1", "somebody"):
                for action in (
                    ("CreateRole", "GetRole") if "port" in agent else ("DeleteRole",)
                ):
                    call = AwsCall("iam", action, params, "K", user_agent=agent)
                    self.assertIsNone(permissions.refusal(call, ACCOUNT))
            seen = path.read_text().split()
            self.assertEqual(seen, ["iam:CreateRole", "iam:TagRole", "iam:GetRole"])


class Sessions(PermissionsCase):
    def make_target(self, **statement: Any) -> None:
        other = self.backend.client("iam", self.backend.session(OTHER))
        document = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", **statement}],
        }
        other.create_role(
            RoleName="Target", AssumeRolePolicyDocument=json.dumps(document)
        )
        other.put_role_policy(
            RoleName="Target",
            PolicyName="inline",
            PolicyDocument=json.dumps(allow("iam:ListRoles", "iam:GetRole")),
        )
        other.attach_role_policy(
            RoleName="Target", PolicyArn="arn:aws:iam::aws:policy/SecurityAudit"
        )

    def test_a_session_is_bound_by_the_policies_of_the_key_and_its_own(self) -> None:
        sts = self.client(
            "sts",
            policies=[allow("sts:AssumeRole", resource=TARGET)],
            assumed={"Target": [allow("iam:ListRoles", "iam:GetRole")]},
        )
        iam = self.assumed(sts, Policy=json.dumps(allow("iam:ListRoles", "iam:Tag*")))
        iam.list_roles()
        message = self.refused(403, "AccessDenied", iam.get_role, RoleName="r")
        self.assertIn("because no session policy allows", message)
        message = self.refused(403, "AccessDenied", iam.tag_role, RoleName="r", Tags=[])
        self.assertIn("because no identity-based policy allows", message)
        other = TARGET.replace("Target", "Other")
        message = self.refused(
            403,
            "AccessDenied",
            sts.assume_role,
            RoleArn=other,
            RoleSessionName="session",
        )
        self.assertIn(f"perform: sts:AssumeRole on resource: {other}", message)

    def test_a_role_that_exists_has_its_own_policies(self) -> None:
        self.make_target(Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"})
        iam = self.assumed(self.client("sts"))
        iam.list_roles()
        iam.list_policies()
        self.refused(403, "AccessDenied", iam.delete_role, RoleName="Target")

    def test_a_role_that_exists_is_assumed_by_whom_it_trusts(self) -> None:
        sts = self.client("sts")
        external = {"StringEquals": {"sts:ExternalId": "xx"}}
        operator = f"arn:aws:iam::{ACCOUNT}:role/operator"
        cases: list[tuple[bool, dict[str, Any], dict[str, Any]]] = [
            (True, {"Principal": {"AWS": operator}}, {}),
            (True, {"Principal": {"AWS": ["x", ACCOUNT]}}, {}),
            (True, {"Principal": "*"}, {}),
            (False, {"Principal": {"AWS": f"{operator}2"}}, {}),
            (False, {"Principal": {"AWS": f"arn:aws:iam::{OTHER}:root"}}, {}),
            (False, {"Principal": {"Service": "ec2.amazonaws.com"}}, {}),
            (
                True,
                {"Principal": "*", "Condition": external},
                {"ExternalId": "xx"},
            ),
            (
                False,
                {"Principal": "*", "Condition": external},
                {"ExternalId": "yy"},
            ),
            (False, {"Principal": "*", "Condition": external}, {}),
            (False, {"Principal": "*", "Action": "sts:TagSession"}, {}),
        ]
        for expected, statement, params in cases:
            with self.subTest(statement, params=params):
                self.control("POST", f"reset?account={OTHER}")
                self.make_target(**statement)
                call = {"RoleArn": TARGET, "RoleSessionName": "session", **params}
                if expected:
                    sts.assume_role(**call)
                    continue
                message = self.refused(403, "AccessDenied", sts.assume_role, **call)
                self.assertEqual(
                    message,
                    f"User: arn:aws:sts::{ACCOUNT}:assumed-role/operator/backend is "
                    f"not authorized to perform: sts:AssumeRole on resource: {TARGET}",
                )

    def test_where_it_is_strict_a_role_has_to_exist(self) -> None:
        sts = self.client("sts")
        call = {"RoleArn": TARGET, "RoleSessionName": "session"}
        strict = {"account": OTHER, "strict": True}
        self.control("POST", "strict-assume-role", strict)
        self.refused(403, "AccessDenied", sts.assume_role, **call)
        self.control("POST", "strict-assume-role", {**strict, "strict": False})
        sts.assume_role(**call)


if __name__ == "__main__":
    unittest.main()
