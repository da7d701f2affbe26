"""Organizations as moto plays it, made to refuse and to page as AWS does."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from dataclasses import astuple, dataclass, replace
from typing import Any, Final

import moto.organizations.urls as organizations_urls
from moto.core.exceptions import JsonRESTError, _RESTError
from moto.organizations.exceptions import (
    AccountAlreadyClosedException,
    AWSOrganizationsNotInUseException,
    ConstraintViolationException,
    DuplicateOrganizationalUnitException,
    InvalidInputException,
    OrganizationsClientError,
)
from moto.organizations.models import (
    FakeAccount,
    OrganizationsBackend,
    organizations_backends,
)
from moto.organizations.responses import OrganizationsResponse

MAX_PAGE: Final = 20
STATUS_OF_STATE: Final = {
    "PENDING_ACTIVATION": "SUSPENDED",
    "ACTIVE": "ACTIVE",
    "SUSPENDED": "SUSPENDED",
    "PENDING_CLOSURE": "PENDING_CLOSURE",
    "CLOSED": "SUSPENDED",
}
"""The states of accounts, and the older field that goes with each."""

_OF_ANY_MEMBER = frozenset({"DescribeOrganization"})
_PARENT = re.compile(r"r-[0-9a-z]{4,32}|ou-[0-9a-z]{4,32}-[a-z0-9]{8,32}")
_CODE_WITHOUT_RIGHTS = {
    "AccessDenied": "AccessDeniedException",
    "InvalidClientTokenId": "UnrecognizedClientException",
    "SignatureDoesNotMatch": "InvalidSignatureException",
}


def organization_of(account: str) -> OrganizationsBackend | None:
    """The backend of the management account of an account's organization."""
    management, partition = organizations_backends.master_accounts.get(
        account, (account, "aws")
    )
    backend = organizations_backends[management][partition]
    if backend.org is None or all(a.id != account for a in backend.accounts):
        return None
    return backend


def is_delegated(organization: OrganizationsBackend, account: str) -> bool:
    """Whether an account is a delegated administrator of any service."""
    return any(admin.account.id == account for admin in organization.admins)


def set_state(account: FakeAccount, state: str) -> None:
    """Sets the state of an account and the status that goes with it."""
    account.status = STATUS_OF_STATE[state]
    account.state = state


def set_empty_pages(organization: OrganizationsBackend, wanted: bool) -> None:
    """Whether listings give empty pages between those that hold something."""
    settings: Any = organization.org
    settings.empty_pages = wanted


@dataclass(frozen=True)
class Place:
    """How far a listing has come."""

    action: str
    parent: str
    after: str
    """The id of the last item that was given."""
    empty: bool
    """Whether the next page is one without items."""

    def token(self) -> str:
        """The form in which a caller gets it."""
        return base64.urlsafe_b64encode(json.dumps(astuple(self)).encode()).decode()


class HonestOrganizations(OrganizationsResponse):
    """Serves every account of an organization from the backend of its
    management account, and overrides what moto does not do as AWS."""

    @property
    def organizations_backend(self) -> OrganizationsBackend:
        action, caller = self._get_action(), self.current_account
        organization = organization_of(caller)
        if action == "CreateOrganization":
            return organizations_backends[caller][self.partition]
        if organization is None:
            raise AWSOrganizationsNotInUseException
        reads = action.startswith(("Describe", "List"))
        if not (
            caller == organization.account_id
            or action in _OF_ANY_MEMBER
            or (reads and is_delegated(organization, caller))
        ):
            raise OrganizationsClientError(
                "AccessDeniedException",
                "You don't have permissions to access this resource.",
            )
        return organization

    def _authenticate_and_authorize_normal_action(self, resource: str = "*") -> None:
        """Refuses in JSON where moto would answer XML."""
        try:
            super()._authenticate_and_authorize_normal_action(resource)
        except _RESTError as error:
            code = _CODE_WITHOUT_RIGHTS.get(error.error_type, error.error_type)
            refusal: Any = JsonRESTError(code, error.message)
            refusal.code = 400
            raise refusal from error

    # Listings

    def list_accounts(self) -> str:
        page, rest = self._page(self.organizations_backend.accounts)
        return json.dumps({"Accounts": [a.describe() for a in page], **rest})

    def list_accounts_for_parent(self) -> str:
        page, rest = self._page(self._children(self.organizations_backend.accounts))
        return json.dumps({"Accounts": [a.describe() for a in page], **rest})

    def list_organizational_units_for_parent(self) -> str:
        page, rest = self._page(self._children(self.organizations_backend.ou))
        units = [unit.describe()["OrganizationalUnit"] for unit in page]
        return json.dumps({"OrganizationalUnits": units, **rest})

    def list_children(self) -> str:
        backend, kind = self.organizations_backend, self._get_param("ChildType")
        items: dict[str, list[Any]] = {
            "ACCOUNT": backend.accounts,
            "ORGANIZATIONAL_UNIT": backend.ou,
        }
        if kind not in items:
            raise _invalid("INVALID_ENUM")
        page, rest = self._page(self._children(items[kind]))
        children = [{"Id": item.id, "Type": kind} for item in page]
        return json.dumps({"Children": children, **rest})

    def _children(self, items: Iterable[Any]) -> list[Any]:
        parent = self._get_param("ParentId")
        if not isinstance(parent, str) or not _PARENT.fullmatch(parent):
            raise _invalid("INVALID_PATTERN")
        self.organizations_backend.validate_parent_id(parent)
        return [item for item in items if item.parent_id == parent]

    def _page(self, items: Iterable[Any]) -> tuple[list[Any], dict[str, str]]:
        """One page, and the token of the next unless it is the last. Pages go
        by ids, so that an item that stays is given once, whatever else moves."""
        size = self._get_param("MaxResults", MAX_PAGE)
        if not isinstance(size, int) or not 1 <= size <= MAX_PAGE:
            raise _invalid("MAX_VALUE_EXCEEDED" if size else "MIN_VALUE_EXCEEDED")
        empty_pages = getattr(self.organizations_backend.org, "empty_pages", False)
        place = self._place(empty_pages)
        left = sorted((i for i in items if i.id > place.after), key=lambda i: str(i.id))
        page = [] if place.empty else left[:size]
        if place.empty and left:
            return [], {"NextToken": replace(place, empty=False).token()}
        if page and (empty_pages or len(left) > size):
            following = replace(place, after=page[-1].id, empty=empty_pages)
            return page, {"NextToken": following.token()}
        return page, {}

    def _place(self, empty_pages: bool) -> Place:
        """Where the caller's token points to, or the start."""
        action, parent = self._get_action(), self._get_param("ParentId", "")
        token = self._get_param("NextToken")
        if token is None:
            return Place(action, parent, after="", empty=empty_pages)
        try:
            place = Place(*json.loads(base64.urlsafe_b64decode(token)))
        except (TypeError, ValueError):
            raise _invalid("INVALID_NEXT_TOKEN") from None
        if (place.action, place.parent) != (action, parent):
            raise _invalid("INVALID_NEXT_TOKEN")
        return place

    # Changes

    def create_organizational_unit(self) -> str:
        backend = self.organizations_backend
        name, parent = self._get_param("Name"), self._get_param("ParentId")
        backend.validate_parent_id(parent)
        if any(u.name == name and u.parent_id == parent for u in backend.ou):
            raise DuplicateOrganizationalUnitException
        return super().create_organizational_unit()

    def delete_organizational_unit(self) -> str:
        backend, unit = (
            self.organizations_backend,
            self._get_param("OrganizationalUnitId"),
        )
        check_empty(backend, unit)
        return super().delete_organizational_unit()

    def close_account(self) -> str:
        if self._get_param("AccountId") == self.organizations_backend.account_id:
            raise ConstraintViolationException(
                "You cannot close the management account."
            )
        return super().close_account()

    def remove_account_from_organization(self) -> str:
        backend, account = self.organizations_backend, self._get_param("AccountId")
        backend.get_account_by_id(account)
        if account == backend.account_id or is_delegated(backend, account):
            raise ConstraintViolationException("You cannot remove this account.")
        return super().remove_account_from_organization()


def check_empty(organization: OrganizationsBackend, unit: str) -> None:
    """Refuses if there is anything in a unit."""
    content: list[Any] = [*organization.accounts, *organization.ou]
    if any(item.parent_id == unit for item in content):
        raise OrganizationsClientError(
            "OrganizationalUnitNotEmptyException",
            "You specified an organizational unit that isn't empty.",
        )


def _invalid(reason: str) -> InvalidInputException:
    error: Any = InvalidInputException("You specified an invalid value.")
    error.Reason = reason
    refusal: InvalidInputException = error
    return refusal


def _close(account: FakeAccount) -> None:
    """AWS closes an account in the background, which takes minutes; only the
    control API ends that."""
    if account.state in ("PENDING_CLOSURE", "CLOSED"):
        raise AccountAlreadyClosedException
    set_state(account, "PENDING_CLOSURE")


def install() -> None:
    """Puts all this in the place of moto's Organizations, before its server starts."""
    organizations_urls.url_paths["{0}/$"] = HonestOrganizations.dispatch
    account: Any = FakeAccount
    account.close = _close
