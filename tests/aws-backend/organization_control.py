"""The part of the control API that makes and changes organizations, whose
accounts have ids that the test chose."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Final

from moto.core.utils import utcnow
from moto.organizations.models import (
    FakeAccount,
    FakeDelegatedAdministrator,
    FakeOrganization,
    OrganizationsBackend,
    organizations_backends,
)
from moto.organizations.utils import (
    DEFAULT_RCP_POLICY_ID,
    DEFAULT_SCP_POLICY_ID,
    make_random_create_account_status_id,
)

from control import ControlError, ControlRequest, Handler, checked_account
from honest_organizations import (
    STATUS_OF_STATE,
    check_empty,
    is_delegated,
    organization_of,
    set_empty_pages,
    set_state,
)

ORGANIZATION: Final = "organization"
_PARTITION: Final = "aws"
_REGION: Final = "us-east-1"
_DELEGATED_SERVICE: Final = FakeDelegatedAdministrator.SUPPORTED_SERVICES[0]


def _invited(organization: FakeOrganization, account: str, name: str) -> FakeAccount:
    """An account with an id of one's choice that was invited: without the role
    that CreateAccount makes. (moto's constructor makes both up.)"""
    member: Any = FakeAccount.__new__(FakeAccount)
    member.type = "ACCOUNT"
    member.region = organization.region
    member.organization_id = organization.id
    member.master_account_id = organization.master_account_id
    member.create_account_status_id = make_random_create_account_status_id()
    member.id = account
    member.name = name
    member.email = f"{account}@example.com"
    member.create_time = utcnow()
    member.joined_method = "INVITED"
    member.parent_id = organization.root_id
    member.attached_policies = []
    member.tags = {}
    made: FakeAccount = member
    set_state(made, "ACTIVE")
    return made


def routes(
    lock: AbstractContextManager[Any],
) -> dict[tuple[str, str], Handler]:
    """The calls; each holds the lock."""
    change: dict[str, Callable[[OrganizationsBackend, ControlRequest], Any]] = {
        "unit": _add_unit,
        "remove-unit": _remove_unit,
        "account": _add_account,
        "move": _move,
        "remove": _remove,
        "state": _set_state,
        "delegate": _delegate,
        "empty-pages": _set_empty_pages,
    }

    def create(request: ControlRequest) -> Any:
        with lock:
            return _create(request)

    def changed(
        handler: Callable[[OrganizationsBackend, ControlRequest], Any],
        request: ControlRequest,
    ) -> Any:
        with lock:
            return handler(_managed_by(request), request) or {}

    found: dict[tuple[str, str], Handler] = {
        ("POST", f"{ORGANIZATION}/{name}"): partial(changed, handler)
        for name, handler in change.items()
    }
    return {("POST", ORGANIZATION): create, **found}


def _create(request: ControlRequest) -> dict[str, Any]:
    management = request.account("management")
    if organization_of(management):
        raise ControlError(400, f"{management} is in an organization already")
    organization = organizations_backends[management][_PARTITION]
    organization.create_organization(region=_REGION)
    try:
        for unit in _entries(request, "units"):
            _add_unit(organization, unit)
        for account in _entries(request, "accounts"):
            _add_account(organization, account)
        for admin in request.body.get("delegatedAdministrators", []):
            _set_delegated(organization, checked_account(admin), True)
        set_empty_pages(organization, request.body.get("emptyPages") is True)
    except Exception:
        _dissolve(organization)
        raise
    root = _root(organization)
    units = {unit.name: unit.id for unit in organization.ou if unit.id != root}
    assert organization.org is not None
    return {"id": organization.org.id, "rootId": root, "unitIds": units}


def _entries(request: ControlRequest, name: str) -> list[ControlRequest]:
    """The objects of a list in the body, as requests of their own."""
    entries = request.body.get(name, [])
    if not isinstance(entries, list) or any(not isinstance(e, dict) for e in entries):
        raise ControlError(400, f"{name} must be a list of objects")
    return [ControlRequest({}, entry, "") for entry in entries]


def _managed_by(request: ControlRequest) -> OrganizationsBackend:
    management = request.account("management")
    organization = organization_of(management)
    if organization is None or organization.account_id != management:
        raise ControlError(404, f"{management} manages no organization")
    return organization


def _root(organization: OrganizationsBackend) -> str:
    assert organization.org is not None
    return str(organization.org.root_id)


def _place(
    organization: OrganizationsBackend, request: ControlRequest, name: str
) -> str:
    """The id of the unit that the body names; that of the root for null."""
    if request.body.get(name) is None:
        return _root(organization)
    wanted = request.text(name)
    for unit in organization.ou:
        if unit.id != _root(organization) and wanted in (unit.name, unit.id):
            return str(unit.id)
    raise ControlError(404, f"no such unit: {wanted}")


def _member(organization: OrganizationsBackend, account: str) -> FakeAccount:
    for member in organization.accounts:
        if member.id == account:
            return member
    raise ControlError(404, f"{account} is not in the organization")


def _add_unit(
    organization: OrganizationsBackend, request: ControlRequest
) -> dict[str, Any]:
    name, parent = request.text("name"), _place(organization, request, "parent")
    if any(unit.name == name for unit in organization.ou):
        raise ControlError(400, f"there is a unit {name} already")
    made = organization.create_organizational_unit(Name=name, ParentId=parent)
    return {"id": made["OrganizationalUnit"]["Id"]}


def _remove_unit(organization: OrganizationsBackend, request: ControlRequest) -> None:
    request.text("unit")
    unit = _place(organization, request, "unit")
    check_empty(organization, unit)
    organization.delete_organizational_unit(OrganizationalUnitId=unit)


def _add_account(organization: OrganizationsBackend, request: ControlRequest) -> None:
    account = request.account("id")
    state = _state(request) if request.body.get("state") else "ACTIVE"
    parent = _place(organization, request, "unit")
    # The management account may be in a unit as well.
    if account == organization.account_id:
        member = _member(organization, account)
    else:
        name = request.text("name") if request.body.get("name") else account
        member = _join(organization, account, name)
    member.parent_id = parent
    set_state(member, state)


def _join(organization: OrganizationsBackend, account: str, name: str) -> FakeAccount:
    if organization_of(account):
        raise ControlError(400, f"{account} is in an organization already")
    assert organization.org is not None
    member = _invited(organization.org, account, name)
    organization.accounts.append(member)
    for policy in (DEFAULT_SCP_POLICY_ID, DEFAULT_RCP_POLICY_ID):
        organization.attach_policy(PolicyId=policy, TargetId=account)
    home = (organization.account_id, _PARTITION)
    organizations_backends.master_accounts[account] = home
    return member


def _move(organization: OrganizationsBackend, request: ControlRequest) -> None:
    member = _member(organization, request.account("account"))
    member.parent_id = _place(organization, request, "unit")


def _remove(organization: OrganizationsBackend, request: ControlRequest) -> None:
    account = _member(organization, request.account("account")).id
    if account == organization.account_id:
        raise ControlError(400, "the management account stays")
    _set_delegated(organization, account, False)
    organization.remove_account_from_organization(AccountId=account)


def _state(request: ControlRequest) -> str:
    state = request.text("state")
    if state not in STATUS_OF_STATE:
        raise ControlError(400, f"state must be one of {', '.join(STATUS_OF_STATE)}")
    return state


def _set_state(organization: OrganizationsBackend, request: ControlRequest) -> None:
    member = _member(organization, request.account("account"))
    set_state(member, _state(request))


def _delegate(organization: OrganizationsBackend, request: ControlRequest) -> None:
    account = _member(organization, request.account("account")).id
    _set_delegated(organization, account, request.body.get("delegated", True) is True)


def _set_delegated(
    organization: OrganizationsBackend, account: str, wanted: bool
) -> None:
    _member(organization, account)
    if not wanted:
        admins = organization.admins
        organization.admins = [a for a in admins if a.account.id != account]
    elif not is_delegated(organization, account):
        organization.register_delegated_administrator(
            AccountId=account, ServicePrincipal=_DELEGATED_SERVICE
        )


def _set_empty_pages(
    organization: OrganizationsBackend, request: ControlRequest
) -> None:
    set_empty_pages(organization, request.body.get("emptyPages", True) is True)


def _dissolve(organization: OrganizationsBackend) -> None:
    """Forgets an organization with its members."""
    for member in organization.accounts:
        organizations_backends.master_accounts.pop(member.id, None)
    organization._reset()
