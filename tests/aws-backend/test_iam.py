"""IAM refuses and answers what AWS does."""

from __future__ import annotations

import json
import re
import urllib.parse
from typing import Any

from harness import ACCOUNT, PROVIDER_ARN, BackendCase, trust

READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"


class Roles(BackendCase):
    def test_get_role_shows_everything(self) -> None:
        self.create_role(
            Path="/port/",
            Description="text",
            MaxSessionDuration=7200,
            PermissionsBoundary=READ_ONLY,
            Tags=[{"Key": "k", "Value": "v"}],
        )
        role = self.iam.get_role(RoleName="role")["Role"]
        self.assertEqual(role["Arn"], f"arn:aws:iam::{ACCOUNT}:role/port/role")
        self.assertRegex(role["RoleId"], "^AROA")
        self.assertIn("CreateDate", role)
        self.assertEqual(role["Description"], "text")
        self.assertEqual(role["MaxSessionDuration"], 7200)
        self.assertEqual(role["Tags"], [{"Key": "k", "Value": "v"}])
        boundary = role["PermissionsBoundary"]["PermissionsBoundaryArn"]
        self.assertEqual(boundary, READ_ONLY)
        self.assertNotIn("LastUsedDate", role["RoleLastUsed"])

    def test_names_are_unique_ignoring_case_and_read_by_exact_case(self) -> None:
        self.create_role("Role")
        document = json.dumps(trust())
        self.refused(
            409,
            "EntityAlreadyExists",
            self.iam.create_role,
            RoleName="rOLE",
            AssumeRolePolicyDocument=document,
        )
        self.refused(404, "NoSuchEntity", self.iam.get_role, RoleName="rOLE")

    def test_create_refuses(self) -> None:
        tags = [{"Key": f"k{n}", "Value": "v"} for n in range(51)]
        long = json.dumps(trust({"StringEquals": {"a:sub": "x" * 2048}}))
        cases: list[tuple[int, str, dict[str, Any]]] = [
            (400, "InvalidInput", {"Tags": [{"Key": "aws:k", "Value": "v"}]}),
            (409, "LimitExceeded", {"Tags": tags}),
            (409, "LimitExceeded", {"document": long}),
            (400, "MalformedPolicyDocument", {"document": "{"}),
            (400, "ValidationError", {"name": "a b"}),
            (400, "ValidationError", {"MaxSessionDuration": 43201}),
            (400, "ValidationError", {"Path": "/no-slash-at-the-end"}),
            (
                404,
                "NoSuchEntity",
                {"PermissionsBoundary": f"arn:aws:iam::{ACCOUNT}:policy/none"},
            ),
        ]
        for status, code, params in cases:
            with self.subTest(code=code, params=list(params)):
                self.refused(status, code, self.create_role, **params)
        self.assertEqual(self.state()["roles"], [])

    def test_the_limit_of_a_trust_policy_leaves_out_whitespace(self) -> None:
        document = json.dumps(trust({"StringEquals": {"a:sub": "x"}}), indent=40)
        self.assertGreater(len(document), 2048)
        self.create_role(document=document)

    def test_update_trust_policy(self) -> None:
        self.create_role()
        update = self.iam.update_assume_role_policy
        long = json.dumps(trust({"StringEquals": {"a:sub": "x" * 2048}}))
        self.refused(409, "LimitExceeded", update, RoleName="role", PolicyDocument=long)
        self.refused(
            400, "MalformedPolicyDocument", update, RoleName="role", PolicyDocument="["
        )
        self.refused(404, "NoSuchEntity", update, RoleName="no", PolicyDocument="{}")
        wanted = trust({"StringLike": {"a:sub": "x"}})
        update(RoleName="role", PolicyDocument=json.dumps(wanted))
        self.assertEqual(self.state()["roles"][0]["trustPolicy"], wanted)

    def test_update_role_resets_what_is_left_out(self) -> None:
        self.create_role(Description="text", MaxSessionDuration=7200)
        self.iam.update_role(RoleName="role", Description="new")
        role = self.iam.get_role(RoleName="role")["Role"]
        self.assertEqual(
            (role["Description"], role["MaxSessionDuration"]), ("new", 3600)
        )
        self.iam.update_role(RoleName="role", MaxSessionDuration=7200)
        role = self.iam.get_role(RoleName="role")["Role"]
        self.assertEqual(role.get("Description", ""), "")
        self.assertEqual(role["MaxSessionDuration"], 7200)

    def test_boundary(self) -> None:
        self.create_role()
        self.iam.put_role_permissions_boundary(
            RoleName="role", PermissionsBoundary=READ_ONLY
        )
        role = self.iam.get_role(RoleName="role")["Role"]
        boundary = role["PermissionsBoundary"]["PermissionsBoundaryArn"]
        self.assertEqual(boundary, READ_ONLY)
        self.assertEqual(self.state()["roles"][0]["permissionsBoundary"], READ_ONLY)
        self.iam.delete_role_permissions_boundary(RoleName="role")
        role = self.iam.get_role(RoleName="role")["Role"]
        self.assertNotIn("PermissionsBoundary", role)

    def test_versions_of_trust_policies(self) -> None:
        self.create_role()
        update = self.iam.update_assume_role_policy
        for document in (
            {**trust(), "Version": "2008-10-17"},
            {"Statement": trust()["Statement"]},
        ):
            update(RoleName="role", PolicyDocument=json.dumps(document))
            self.assertEqual(self.state()["roles"][0]["trustPolicy"], document)
        bad = json.dumps({**trust(), "Version": "2013-10-17"})
        self.refused(
            400, "MalformedPolicyDocument", update, RoleName="role", PolicyDocument=bad
        )

    def test_tags(self) -> None:
        self.create_role(Tags=[{"Key": f"k{n}", "Value": "v"} for n in range(50)])
        tag = self.iam.tag_role
        self.refused(
            400,
            "InvalidInput",
            tag,
            RoleName="role",
            Tags=[{"Key": "AWS:x", "Value": ""}],
        )
        self.refused(
            409,
            "LimitExceeded",
            tag,
            RoleName="role",
            Tags=[{"Key": "new", "Value": ""}],
        )
        tag(RoleName="role", Tags=[{"Key": "k1", "Value": "w"}])
        self.iam.untag_role(RoleName="role", TagKeys=["k0"])
        tags = self.state()["roles"][0]["tags"]
        self.assertEqual((len(tags), tags["k1"]), (49, "w"))

    def test_managed_policies(self) -> None:
        self.create_role()
        arns = [
            self.iam.create_policy(
                PolicyName=f"p{n}",
                PolicyDocument=json.dumps(
                    {
                        "Version": "2012-10-17",
                        "Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"},
                    }
                ),
            )["Policy"]["Arn"]
            for n in range(9)
        ]
        attach = self.iam.attach_role_policy
        for arn in [READ_ONLY, *arns, READ_ONLY]:
            attach(RoleName="role", PolicyArn=arn)
        audit = "arn:aws:iam::aws:policy/SecurityAudit"
        self.refused(409, "LimitExceeded", attach, RoleName="role", PolicyArn=audit)
        unknown = "arn:aws:iam::aws:policy/Unknown"
        self.refused(404, "NoSuchEntity", attach, RoleName="role", PolicyArn=unknown)
        self.assertEqual(
            self.state()["roles"][0]["attachedPolicies"], sorted([READ_ONLY, *arns])
        )
        self.refused(409, "DeleteConflict", self.iam.delete_role, RoleName="role")

    def test_only_the_aws_policies_that_tests_need(self) -> None:
        listed = self.iam.list_policies(Scope="AWS")["Policies"]
        arns = [policy["Arn"] for policy in listed]
        self.assertEqual(len(arns), 8)
        self.assertIn("arn:aws:iam::aws:policy/job-function/ViewOnlyAccess", arns)

    def test_inline_policy_keeps_a_role(self) -> None:
        self.create_role()
        document = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": ["s3:Get*"], "Resource": "*"}],
        }
        self.iam.put_role_policy(
            RoleName="role", PolicyName="inline", PolicyDocument=json.dumps(document)
        )
        shown = self.iam.get_role_policy(RoleName="role", PolicyName="inline")
        self.assertEqual(shown["PolicyDocument"], document)
        self.assertEqual(
            self.state()["roles"][0]["inlinePolicies"], {"inline": document}
        )
        self.refused(409, "DeleteConflict", self.iam.delete_role, RoleName="role")
        self.iam.delete_role_policy(RoleName="role", PolicyName="inline")
        self.iam.delete_role(RoleName="role")
        self.assertEqual(self.state()["roles"], [])

    def test_dates_can_be_set(self) -> None:
        self.create_role()
        target = {"account": ACCOUNT, "role": "role"}
        day = "2024-05-06T07:08:09Z"
        self.control("POST", "role-last-used", {**target, "date": day})
        self.control("POST", "role-create-date", {**target, "date": day})
        role = self.iam.get_role(RoleName="role")["Role"]
        self.assertEqual(role["CreateDate"].timestamp(), 1714979289)
        self.assertEqual(role["RoleLastUsed"]["LastUsedDate"].timestamp(), 1714979289)
        self.control("POST", "role-last-used", {**target, "date": None})
        role = self.iam.get_role(RoleName="role")["Role"]
        self.assertNotIn("LastUsedDate", role["RoleLastUsed"])
        self.control_refused(
            404, "POST", "role-last-used", {**target, "role": "none", "date": day}
        )


class Documents(BackendCase):
    def raw_documents(self) -> list[str]:
        """The text of the trust document as it comes over the wire, once for
        each of three calls."""
        texts: list[str] = []

        def keep(response_dict: dict[str, Any], **_: Any) -> None:
            found = re.findall(rb"Document>(.*?)</Assume", response_dict["body"])
            texts.extend(text.decode() for text in found)

        self.iam.meta.events.register("before-parse.iam", keep)
        self.create_role()
        self.iam.get_role(RoleName="role")
        self.iam.list_roles()
        return texts

    def test_encoded_once_and_written_as_iam_does(self) -> None:
        texts = self.raw_documents()
        self.assertEqual(len(texts), 3)
        for text in texts[1:]:
            self.assertNotIn("/", text)
            decoded = urllib.parse.unquote(text)
            self.assertEqual(
                decoded,
                '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":'
                f'{{"Federated":"{PROVIDER_ARN}"}},"Action":'
                '"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":'
                '{"issuer.example:sub":["one","two"],"issuer.example:aud":"client"}}}]}',
            )

    def test_permuted_documents_differ_in_text_and_not_in_meaning(self) -> None:
        document = trust()
        document["Statement"].append(
            {"Effect": "Deny", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
        )
        self.create_role(document=json.dumps(document))
        self.control("POST", "permute", {"account": ACCOUNT, "seed": 1})
        first = self.read_texts(20)
        self.assertGreater(len(set(first)), 10)
        meanings = {meaning(json.loads(text)) for text in first}
        self.assertTrue(meanings == {meaning(document)})
        self.control("POST", "permute", {"account": ACCOUNT, "seed": 1})
        self.assertEqual(self.read_texts(20), first)
        self.control("POST", "permute", {"account": ACCOUNT, "seed": None})
        self.assertEqual(len(set(self.read_texts(5))), 1)
        self.assertEqual(self.state()["roles"][0]["trustPolicy"], document)

    def read_texts(self, count: int) -> list[str]:
        roles = [self.iam.get_role(RoleName="role")["Role"] for _ in range(count)]
        return [json.dumps(role["AssumeRolePolicyDocument"]) for role in roles]


class Providers(BackendCase):
    def create(self, **more: Any) -> str:
        params = {"Url": "https://issuer.example", **more}
        created = self.iam.create_open_id_connect_provider(**params)
        return str(created["OpenIDConnectProviderArn"])

    def test_create_and_state(self) -> None:
        arn = self.create(ClientIDList=["b", "a"], Tags=[{"Key": "k", "Value": "v"}])
        self.assertEqual(arn, PROVIDER_ARN)
        provider = self.iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
        self.assertRegex(provider["ThumbprintList"][0], "^[0-9a-f]{40}$")
        self.assertEqual(
            self.state()["oidcProviders"],
            [
                {
                    "arn": arn,
                    "url": "issuer.example",
                    "clientIds": ["a", "b"],
                    "thumbprints": provider["ThumbprintList"],
                    "tags": {"k": "v"},
                }
            ],
        )
        self.refused(409, "EntityAlreadyExists", self.create)

    def test_create_refuses(self) -> None:
        self.refused(400, "ValidationError", self.create, Url="http://issuer.example")
        tag = {"Key": "aws:k", "Value": "v"}
        self.refused(400, "InvalidInput", self.create, Tags=[tag])
        self.assertEqual(self.state()["oidcProviders"], [])

    def test_an_account_has_at_most_100(self) -> None:
        for number in range(100):
            self.create(Url=f"https://issuer.example/{number}")
        self.refused(409, "LimitExceeded", self.create)

    def test_client_ids(self) -> None:
        arn = self.create()
        add = self.iam.add_client_id_to_open_id_connect_provider
        remove = self.iam.remove_client_id_from_open_id_connect_provider
        for number in range(100):
            add(OpenIDConnectProviderArn=arn, ClientID=f"c{number}")
        add(OpenIDConnectProviderArn=arn, ClientID="c0")
        self.refused(
            409, "LimitExceeded", add, OpenIDConnectProviderArn=arn, ClientID="new"
        )
        for _ in range(2):
            remove(OpenIDConnectProviderArn=arn, ClientID="c0")
        self.assertEqual(len(self.state()["oidcProviders"][0]["clientIds"]), 99)
        for call in (add, remove):
            self.refused(
                404,
                "NoSuchEntity",
                call,
                OpenIDConnectProviderArn=arn + "/none",
                ClientID="c",
            )

    def test_tags(self) -> None:
        arn = self.create()
        tag = self.iam.tag_open_id_connect_provider
        for status, code, tags in (
            (400, "InvalidInput", [{"Key": "aws:k", "Value": "v"}]),
            (409, "LimitExceeded", [{"Key": f"k{n}", "Value": ""} for n in range(51)]),
        ):
            self.refused(status, code, tag, OpenIDConnectProviderArn=arn, Tags=tags)


def meaning(document: Any) -> str:
    """A text that two documents share if they mean the same."""
    if isinstance(document, dict):
        return str(sorted((key, meaning(value)) for key, value in document.items()))
    if isinstance(document, list) and len(document) != 1:
        return str(sorted(meaning(value) for value in document))
    if isinstance(document, list):
        return meaning(document[0])
    return str(document)
