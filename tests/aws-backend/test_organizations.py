"""Organizations: who may ask, and what is listed."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import boto3

from harness import (
    ACCOUNT,
    DELEGATED,
    MANAGEMENT,
    MEMBER,
    NOT_IN_USE,
    OrganizationCase,
)


class Callers(OrganizationCase):
    def test_outside_an_organization(self) -> None:
        client = self.client(ACCOUNT)
        self.refused(400, NOT_IN_USE, client.describe_organization)
        self.refused(400, NOT_IN_USE, client.list_accounts)
        self.refused(400, NOT_IN_USE, client.list_roots)
        for call in (
            client.list_accounts_for_parent,
            client.list_organizational_units_for_parent,
        ):
            self.refused(400, NOT_IN_USE, call, ParentId="r-abcd")
        unit = client.create_organizational_unit
        self.refused(400, NOT_IN_USE, unit, ParentId="r-abcd", Name="a")

    def test_a_refusal_has_the_shape_of_the_service(self) -> None:
        request = urllib.request.Request(
            self.backend.url,
            data=b"{}",
            headers={
                "X-Amz-Target": "AWSOrganizationsV20161128.DescribeOrganization",
                "Content-Type": "application/x-amz-json-1.1",
                "x-moto-account-id": ACCOUNT,
            },
        )
        with self.assertRaises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=30)
        with caught.exception as error:
            self.assertEqual(
                error.headers["Content-Type"], "application/x-amz-json-1.1"
            )
            self.assertEqual(
                json.load(error),
                {
                    "__type": NOT_IN_USE,
                    "Message": "Your account is not a member of an organization.",
                },
            )

    def test_a_member_may_only_describe(self) -> None:
        root = self.organize()["rootId"]
        client = self.client(MEMBER)
        described = client.describe_organization()["Organization"]
        self.assertEqual(described["MasterAccountId"], MANAGEMENT)
        for call, params in (
            (client.list_accounts, {}),
            (client.list_roots, {}),
            (client.list_accounts_for_parent, {"ParentId": root}),
            (client.list_organizational_units_for_parent, {"ParentId": root}),
        ):
            self.refused(400, "AccessDeniedException", call, **params)

    def test_a_delegated_administrator_reads_the_same_organization(self) -> None:
        made = self.organize()
        client = self.client(DELEGATED)
        described = client.describe_organization()["Organization"]
        self.assertEqual(described["Id"], made["id"])
        unit = made["unitIds"]["b"]
        listed = client.list_accounts_for_parent(ParentId=unit)["Accounts"]
        self.assertEqual([account["Id"] for account in listed], [MEMBER])
        create = client.create_organizational_unit
        denied = "AccessDeniedException"
        self.refused(400, denied, create, ParentId=unit, Name="c")
        self.change("delegate", account=DELEGATED, delegated=False)
        self.refused(400, denied, client.list_accounts)
        self.change("delegate", account=DELEGATED)
        client.list_accounts()

    def test_credentials_of_an_assumed_role_count(self) -> None:
        self.organize()
        arn = f"arn:aws:iam::{MANAGEMENT}:role/reader"
        created = self.backend.client("iam", self.backend.session(MANAGEMENT))
        document = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
                    "Action": "sts:AssumeRole",
                }
            ],
        }
        created.create_role(
            RoleName="reader", AssumeRolePolicyDocument=json.dumps(document)
        )
        created.put_role_policy(
            RoleName="reader",
            PolicyName="read",
            PolicyDocument=json.dumps(
                {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Action": "organizations:ListAccounts",
                            "Resource": "*",
                        }
                    ],
                }
            ),
        )
        sts = self.backend.client("sts", self.session)
        issued = sts.assume_role(RoleArn=arn, RoleSessionName="session")["Credentials"]
        session = boto3.Session(
            issued["AccessKeyId"],
            issued["SecretAccessKey"],
            issued["SessionToken"],
            region_name="us-east-1",
        )
        self.backend.client("organizations", session).list_accounts()
        self.assertEqual(self.calls()[-1]["account"], MANAGEMENT)

    def test_faults_go_by_the_caller(self) -> None:
        self.organize()
        client = self.client(DELEGATED)
        for kind, status, code in (
            ("throttle", 400, "TooManyRequestsException"),
            ("access_denied", 400, "AccessDeniedException"),
            ("error500", 500, "InternalFailure"),
        ):
            rule = {"kind": kind, "account": DELEGATED, "service": "organizations"}
            self.control("POST", "faults", {**rule, "count": 1})
            self.client(MANAGEMENT).list_accounts()
            self.refused(status, code, client.list_accounts)
        client.list_accounts()

    def test_permissions_that_are_enforced_refuse_in_json(self) -> None:
        self.organize()
        self.addCleanup(self.enforce_permissions_after, 1_000_000_000)
        self.enforce_permissions_after(0)
        stranger = boto3.Session("AKIAEXAMPLE", "secret", region_name="us-east-1")
        client = self.backend.client("organizations", stranger)
        self.refused(400, "UnrecognizedClientException", client.list_accounts)


class Listings(OrganizationCase):
    def test_pages(self) -> None:
        many = [f"9998{n:08}" for n in range(45)]
        made = self.organize(accounts=[{"id": id, "unit": "a"} for id in many])
        client, unit = self.client(MANAGEMENT), made["unitIds"]["a"]
        call = client.list_accounts_for_parent
        for params in ({}, {"MaxResults": 20}):
            pages = self.pages(call, "Accounts", ParentId=unit, **params)
            self.assertEqual(pages, [many[:20], many[20:40], many[40:]])
        pages = self.pages(call, "Accounts", ParentId=unit, MaxResults=15)
        self.assertEqual([len(page) for page in pages], [15, 15, 15])
        listed = self.pages(client.list_accounts, "Accounts")
        self.assertEqual([len(page) for page in listed], [20, 20, 6])

    def test_pages_of_units(self) -> None:
        units = [{"name": f"u{n}"} for n in range(21)]
        made = self.organize(units=units, accounts=[])
        call = self.client(MANAGEMENT).list_organizational_units_for_parent
        pages = self.pages(call, "OrganizationalUnits", ParentId=made["rootId"])
        self.assertEqual([len(page) for page in pages], [20, 1])
        found = {unit for page in pages for unit in page}
        self.assertEqual(found, set(made["unitIds"].values()))

    def test_empty_pages(self) -> None:
        many = [f"9998{n:08}" for n in range(20)]
        accounts = [{"id": id, "unit": "a"} for id in many]
        made = self.organize(accounts=accounts, emptyPages=True)
        ids, client = made["unitIds"], self.client(MANAGEMENT)
        accounts_of = client.list_accounts_for_parent
        pages = self.pages(accounts_of, "Accounts", ParentId=ids["a"])
        self.assertEqual(pages, [[], many, []])
        units_of = client.list_organizational_units_for_parent
        pages = self.pages(units_of, "OrganizationalUnits", ParentId=ids["a"])
        self.assertEqual(pages, [[], [ids["b"]], []])
        pages = self.pages(accounts_of, "Accounts", ParentId=ids["b"])
        self.assertEqual(pages, [[]])
        self.change("empty-pages", emptyPages=False)
        pages = self.pages(accounts_of, "Accounts", ParentId=ids["a"])
        self.assertEqual(pages, [many])

    def test_what_is_refused(self) -> None:
        made = self.organize()
        client, root = self.client(MANAGEMENT), made["rootId"]
        suffix = root.removeprefix("r-")
        for call in (
            client.list_accounts_for_parent,
            client.list_organizational_units_for_parent,
        ):
            for parent in ("r-none", f"ou-{suffix}-12345678"):
                self.refused(400, "ParentNotFoundException", call, ParentId=parent)
            for params in (
                {"ParentId": "workloads"},
                {"ParentId": f"{root}/x"},
                {"ParentId": root, "MaxResults": 21},
                {"ParentId": root, "NextToken": "nonsense"},
            ):
                self.refused(400, "InvalidInputException", call, **params)

    def test_a_refusal_tells_its_reason(self) -> None:
        self.organize()
        client = self.client(MANAGEMENT)
        with self.assertRaises(client.exceptions.InvalidInputException) as caught:
            client.list_accounts_for_parent(ParentId="workloads")
        self.assertEqual(caught.exception.response["Reason"], "INVALID_PATTERN")

    def test_a_token_is_for_one_listing(self) -> None:
        made = self.organize()
        client = self.client(MANAGEMENT)
        call = client.list_accounts_for_parent
        first = call(ParentId=made["rootId"], MaxResults=1)
        code, other = "InvalidInputException", made["unitIds"]["a"]
        token = {"NextToken": first["NextToken"]}
        self.refused(400, code, call, ParentId=other, **token)
        units = client.list_organizational_units_for_parent
        self.refused(400, code, units, ParentId=made["rootId"], **token)

    def test_an_account_that_moves_breaks_no_listing(self) -> None:
        made = self.organize()
        self.change("account", id=ACCOUNT)
        call = self.client(MANAGEMENT).list_accounts_for_parent
        first = call(ParentId=made["rootId"], MaxResults=1)
        self.assertEqual([a["Id"] for a in first["Accounts"]], [ACCOUNT])
        self.change("move", account=DELEGATED, unit="a")
        rest = call(ParentId=made["rootId"], NextToken=first["NextToken"])
        self.assertEqual([a["Id"] for a in rest["Accounts"]], [MANAGEMENT])
        self.assertNotIn("NextToken", rest)

    def test_children_and_parents(self) -> None:
        made = self.organize()
        client, ids = self.client(MANAGEMENT), made["unitIds"]
        kind = {"ChildType": "ORGANIZATIONAL_UNIT"}
        children = client.list_children(ParentId=ids["a"], **kind)["Children"]
        expected = {"Id": ids["b"], "Type": "ORGANIZATIONAL_UNIT"}
        self.assertEqual(children, [expected])
        parents = client.list_parents(ChildId=MEMBER)["Parents"]
        self.assertEqual([parent["Id"] for parent in parents], [ids["b"]])
