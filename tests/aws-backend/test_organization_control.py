"""Organizations as the control API makes them, and the states of accounts."""

from __future__ import annotations

from typing import Any

from harness import (
    ACCOUNT,
    DELEGATED,
    MANAGEMENT,
    MEMBER,
    NOT_IN_USE,
    OTHER,
    OrganizationCase,
)


class States(OrganizationCase):
    def seen(self) -> tuple[str, str]:
        client = self.client(MANAGEMENT)
        account = client.describe_account(AccountId=MEMBER)["Account"]
        return account["State"], account["Status"]

    def assume(self, account: str) -> None:
        sts = self.backend.client("sts", self.backend.session(DELEGATED))
        arn = f"arn:aws:iam::{account}:role/OrganizationAccountAccessRole"
        sts.assume_role(RoleArn=arn, RoleSessionName="session")

    def test_state_and_status_go_together(self) -> None:
        self.organize()
        self.assertEqual(self.seen(), ("ACTIVE", "ACTIVE"))
        for state, status in (
            ("PENDING_ACTIVATION", "SUSPENDED"),
            ("SUSPENDED", "SUSPENDED"),
            ("PENDING_CLOSURE", "PENDING_CLOSURE"),
            ("CLOSED", "SUSPENDED"),
            ("ACTIVE", "ACTIVE"),
        ):
            self.change("state", account=MEMBER, state=state)
            self.assertEqual(self.seen(), (state, status))

    def test_closing_takes_a_while(self) -> None:
        self.organize()
        close = self.client(MANAGEMENT).close_account
        close(AccountId=MEMBER)
        self.assertEqual(self.seen(), ("PENDING_CLOSURE", "PENDING_CLOSURE"))
        self.change("state", account=MEMBER, state="CLOSED")
        again = "AccountAlreadyClosedException"
        self.refused(400, again, close, AccountId=MEMBER)
        violation = "ConstraintViolationException"
        self.refused(400, violation, close, AccountId=MANAGEMENT)

    def test_no_session_in_an_account_that_is_not_active(self) -> None:
        self.organize()
        for state in ("SUSPENDED", "PENDING_CLOSURE", "CLOSED", "PENDING_ACTIVATION"):
            self.change("state", account=MEMBER, state=state)
            message = self.refused(403, "AccessDenied", self.assume, account=MEMBER)
            self.assertEqual(
                message,
                f"User: arn:aws:sts::{DELEGATED}:assumed-role/operator/backend is "
                "not authorized to perform: sts:AssumeRole on resource: "
                f"arn:aws:iam::{MEMBER}:role/OrganizationAccountAccessRole",
            )
        sts = self.backend.client("sts", self.session)
        self.refused(
            403,
            "AccessDenied",
            sts.assume_role_with_web_identity,
            RoleArn=f"arn:aws:iam::{MEMBER}:role/reader",
            RoleSessionName="session",
            WebIdentityToken="token",
        )
        # The control API still looks in.
        self.backend.client("iam", self.backend.session(MEMBER)).list_roles()

    def test_an_account_that_moto_made_can_be_assumed_until_it_closes(self) -> None:
        self.organize()
        client = self.client(MANAGEMENT)
        made = client.create_account(AccountName="m", Email="m@example.com")
        account = made["CreateAccountStatus"]["AccountId"]
        sts = self.backend.client("sts", self.backend.session(MANAGEMENT))
        arn = f"arn:aws:iam::{account}:role/OrganizationAccountAccessRole"
        params = {"RoleArn": arn, "RoleSessionName": "session"}
        sts.assume_role(**params)
        client.close_account(AccountId=account)
        self.refused(403, "AccessDenied", sts.assume_role, **params)


class Control(OrganizationCase):
    def test_what_an_organization_has(self) -> None:
        made = self.organize()
        client = self.client(MANAGEMENT)
        roots = client.list_roots()["Roots"]
        self.assertEqual([root["Id"] for root in roots], [made["rootId"]])
        self.assertEqual(self.accounts_in(made["rootId"]), [MANAGEMENT, DELEGATED])
        units = client.list_organizational_units_for_parent(ParentId=made["rootId"])
        found = {u["Name"]: u["Id"] for u in units["OrganizationalUnits"]}
        self.assertEqual(found, {"a": made["unitIds"]["a"]})
        account = client.describe_account(AccountId=MEMBER)["Account"]
        timestamp = account.pop("JoinedTimestamp")
        self.assertIsNotNone(timestamp)
        self.assertEqual(
            account,
            {
                "Id": MEMBER,
                "Arn": f"arn:aws:organizations::{MANAGEMENT}:account/{made['id']}/{MEMBER}",
                "Email": f"{MEMBER}@example.com",
                "Name": MEMBER,
                "State": "ACTIVE",
                "Status": "ACTIVE",
                "JoinedMethod": "INVITED",
            },
        )
        self.assertEqual(self.state(MEMBER)["roles"], [])

    def test_accounts_join_move_and_leave(self) -> None:
        made = self.organize()
        ids = made["unitIds"]
        self.change("account", id=ACCOUNT, unit="a", name="mine", state="SUSPENDED")
        listed = self.client(MANAGEMENT).list_accounts_for_parent(ParentId=ids["a"])
        found = [(a["Id"], a["Name"], a["State"]) for a in listed["Accounts"]]
        self.assertEqual(found, [(ACCOUNT, "mine", "SUSPENDED")])
        self.change("move", account=ACCOUNT, unit="b")
        self.assertEqual(self.accounts_in(ids["a"]), [])
        self.assertEqual(self.accounts_in(ids["b"]), [ACCOUNT, MEMBER])
        self.change("move", account=MANAGEMENT, unit="a")
        self.assertEqual(self.accounts_in(ids["a"]), [MANAGEMENT])
        self.change("remove", account=DELEGATED)
        self.assertEqual(self.accounts_in(made["rootId"]), [])
        client = self.client(DELEGATED)
        self.refused(400, NOT_IN_USE, client.list_accounts)
        self.change("account", id=DELEGATED)
        self.refused(400, "AccessDeniedException", client.list_accounts)

    def test_units_come_and_go(self) -> None:
        made = self.organize()
        client = self.client(MANAGEMENT)
        added = self.change("unit", name="c", parent="b")["id"]
        self.change("move", account=MEMBER, unit="c")
        body = {"management": MANAGEMENT, "unit": "c"}
        self.control_refused(400, "POST", "organization/remove-unit", body)
        delete = client.delete_organizational_unit
        code = "OrganizationalUnitNotEmptyException"
        self.refused(400, code, delete, OrganizationalUnitId=added)
        self.change("move", account=MEMBER, unit=None)
        self.change("remove-unit", unit="c")
        call = client.list_accounts_for_parent
        self.refused(400, "ParentNotFoundException", call, ParentId=added)
        delete(OrganizationalUnitId=made["unitIds"]["b"])
        self.control_refused(
            404, "POST", "organization/remove-unit", {**body, "unit": "b"}
        )

    def test_the_api_goes_on_where_the_control_ended(self) -> None:
        made = self.organize()
        client, unit = self.client(MANAGEMENT), made["unitIds"]["a"]
        new = client.create_organizational_unit(ParentId=unit, Name="c")
        client.move_account(
            AccountId=MEMBER,
            SourceParentId=made["unitIds"]["b"],
            DestinationParentId=new["OrganizationalUnit"]["Id"],
        )
        self.change("move", account=DELEGATED, unit="c")
        listed = self.accounts_in(new["OrganizationalUnit"]["Id"])
        self.assertEqual(listed, [MEMBER, DELEGATED])
        create = client.create_organizational_unit
        duplicate = "DuplicateOrganizationalUnitException"
        self.refused(400, duplicate, create, ParentId=unit, Name="c")
        remove = client.remove_account_from_organization
        violation = "ConstraintViolationException"
        self.refused(400, violation, remove, AccountId=DELEGATED)
        self.refused(400, "AccountNotFoundException", remove, AccountId=OTHER)
        remove(AccountId=MEMBER)
        self.refused(400, NOT_IN_USE, self.client(MEMBER).describe_organization)

    def refuses(self, status: int, call: str, **body: Any) -> None:
        with self.subTest(call, **body):
            body = {"management": MANAGEMENT, **body}
            self.control_refused(status, "POST", call, body)

    def test_what_is_refused(self) -> None:
        make = "organization"
        self.refuses(400, make, units=[{"name": "a"}, {"name": "a"}])
        self.refuses(400, make, accounts=[{"id": MEMBER, "state": "GONE"}])
        self.refuses(400, make, accounts=[{"id": MEMBER}, {"id": MEMBER}])
        self.refuses(400, make, accounts=[MEMBER])
        self.refuses(404, make, units=[{"name": "b", "parent": "a"}])
        self.refuses(404, make, accounts=[{"id": MEMBER, "unit": "a"}])
        self.refuses(404, make, delegatedAdministrators=[MEMBER])
        # Nothing is left of those.
        self.organize()
        self.refuses(400, make)
        self.refuses(400, make, management=MEMBER)
        remove = "organization/remove"
        self.refuses(404, remove, management=MEMBER, account=MEMBER)
        self.refuses(404, remove, account=OTHER)
        self.refuses(400, remove, account=MANAGEMENT)

    def test_a_reset_ends_organizations(self) -> None:
        self.organize()
        self.control("POST", "reset")
        for account in (MANAGEMENT, MEMBER):
            describe = self.client(account).describe_organization
            self.refused(400, NOT_IN_USE, describe)
        self.client(MEMBER).create_organization()
