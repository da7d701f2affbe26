"""Who may make which call. The caller holds the gateway's lock.

A key is bound by policies if the control API issued it with some, or if it is of a
session of a bound key or of a role that exists. Every other key may do everything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moto.iam.models import OpenIDConnectProvider, Role, iam_backends

from calls import AwsCall, HttpResponse
from evaluate import Document, Request, allows
from identity import caller_arn
from web_identity import ACTION as WEB_IDENTITY
from web_identity import identified

# What IAM asks for besides the action that is named after the call, if it has tags.
_TAGGING = {
    "CreateRole": "iam:TagRole",
    "CreateOpenIDConnectProvider": "iam:TagOpenIDConnectProvider",
}
_ASSUME = ("AssumeRole", "AssumeRoleWithWebIdentity")
_FREE = ("sts:GetCallerIdentity", WEB_IDENTITY)
_ROLE_ARN = re.compile(r"arn:aws:iam::(\d{12}):role/(?:.*/)?([^/]+)")
_ACCESS_KEY = re.compile(rb"<AccessKeyId>([^<]+)</AccessKeyId>")
_TAG_KEY = re.compile(r"(?:Tags\.member\.\d+\.Key|TagKeys\.member\.\d+)")
# The operator names itself in its calls. Others may use its key, to try it.
_OPERATOR = "port-aws-operator"

Policies = dict[str, list[Document]]


@dataclass
class Key:
    """What binds an access key."""

    account: str
    role: str
    policies: list[Document] | None = None
    """Those of the key itself, if the control API gave it some."""
    assumed: Policies = field(default_factory=dict)
    """Those of each role that does not exist, by its name, if this key assumes it."""
    session_policy: Document | None = None
    is_session: bool = False
    parent: str | None = None
    """The key that assumed the role of a session, if it took one."""

    @property
    def role_arn(self) -> str:
        return f"arn:aws:iam::{self.account}:role/{self.role}"


class Permissions:
    """Keeps what binds the keys, and decides."""

    def __init__(self, seen: Path | None = None) -> None:
        self._keys: dict[str, Key] = {}
        self._strict: set[str] = set()
        self._seen_file = seen
        self._seen: set[str] = set()

    def reset(self) -> None:
        """Forgets all keys and all accounts that are strict."""
        self._keys.clear()
        self._strict.clear()

    def set_strict(self, account: str, strict: bool) -> None:
        """Says whether a role that does not exist can be assumed in an account."""
        (self._strict.add if strict else self._strict.discard)(account)

    def issue(
        self, access_key: str, account: str, role: str, rights: Mapping[str, Any]
    ) -> None:
        """Notes a key of the control API, with policies if `rights` has any."""
        self._keys[access_key] = Key(account, role)
        if "policies" in rights:
            self._keys[access_key].policies = []
            self.grant(access_key, rights)

    def grant(self, access_key: str, rights: Mapping[str, Any]) -> None:
        """Gives more policies to a key that has some."""
        key = self._keys.get(access_key)
        if key is None or key.policies is None:
            raise ValueError(f"{access_key} is not bound by policies")
        key.policies.extend(rights.get("policies", []))
        for role, documents in rights.get("assumed", {}).items():
            key.assumed.setdefault(role, []).extend(documents)

    def note_session(self, call: AwsCall, response: HttpResponse) -> None:
        """Notes the key in the answer to a call that assumes a role."""
        named = _ROLE_ARN.fullmatch(str(call.params.get("RoleArn")))
        issued = _ACCESS_KEY.search(response.body)
        if call.action not in _ASSUME or response.status != 200:
            return
        if named and issued:
            policy = call.params.get("Policy")
            self._keys[issued[1].decode()] = Key(
                named[1],
                named[2],
                session_policy=json.loads(policy) if policy else None,
                is_session=True,
                parent=call.access_key,
            )

    def refusal(self, call: AwsCall, account: str) -> str | None:
        """Why a call is refused, in the words of AWS; None if it is not."""
        if f"{call.service}:{call.action}" == WEB_IDENTITY:
            trusted = self._is_bearer_trusted(call)
            return None if trusted else f"Not authorized to perform {WEB_IDENTITY}"
        denial = self._denial(call, account)
        if denial is None:
            return None
        caller = caller_arn(call.access_key, account)
        return f"User: {caller} is not authorized to perform: {denial}"

    def _denial(self, call: AwsCall, account: str) -> str | None:
        action = f"{call.service}:{call.action}"
        if action in _FREE:
            return None
        request = self._request(call, account)
        key = self._keys.get(call.access_key or "")
        needed = [request]
        if call.action in _TAGGING and "aws:tagkeys" in request.context:
            tagging = _TAGGING[call.action]
            needed.append(Request(tagging, request.resource, request.context))
        for one in needed:
            if key and (kind := self._lacking(key, one)):
                return (
                    f"{one.action} on resource: {one.resource} because no {kind} "
                    f"policy allows the {one.action} action"
                )
        if call.action == "AssumeRole" and not self._is_trusted(key, request):
            return f"{action} on resource: {request.resource}"
        if key and _OPERATOR in call.user_agent:
            self._note_seen(one.action for one in needed)
        return None

    def _lacking(self, key: Key, request: Request) -> str | None:
        """The kind of policy that does not allow a request."""
        policies = self._identity_policies(key)
        if policies is not None and not allows(policies, request):
            return "identity-based"
        if key.session_policy and not allows([key.session_policy], request):
            return "session"
        return None

    def _identity_policies(self, key: Key) -> list[Document] | None:
        if not key.is_session:
            return key.policies
        if role := find_role(key.account, key.role):
            return _policies_of(role)
        parent = self._keys.get(key.parent or "")
        if parent is None or parent.policies is None:
            return None
        return parent.assumed.get(key.role, [])

    def _is_bearer_trusted(self, call: AwsCall) -> bool:
        arn = str(call.params.get("RoleArn"))
        named = _ROLE_ARN.fullmatch(arn)
        role = find_role(named[1], named[2]) if named else None
        if named is None or role is None:
            return not (named and named[1] in self._strict)
        token = str(call.params.get("WebIdentityToken"))
        request = identified(token, named[1], arn)
        document = json.loads(role.assume_role_policy_document)
        return role.arn == arn and request is not None and allows([document], request)

    def _is_trusted(self, key: Key | None, request: Request) -> bool:
        named = _ROLE_ARN.fullmatch(request.resource)
        role = find_role(named[1], named[2]) if named else None
        if role is None:
            return not (named and named[1] in self._strict)
        if role.arn != request.resource:
            return False
        document = json.loads(role.assume_role_policy_document)
        return allows([document], _as_principal(key, request))

    def _request(self, call: AwsCall, account: str) -> Request:
        resource, tags, boundary = _resource(call, account)
        keys = {k: v for k, v in call.params.items() if _TAG_KEY.fullmatch(k)}
        context: dict[str, list[str]] = {
            f"aws:resourcetag/{tag.lower()}": [value] for tag, value in tags.items()
        }
        if keys:
            context["aws:tagkeys"] = list(keys.values())
        for name, tag in keys.items():
            value = call.params.get(name.removesuffix("Key") + "Value")
            if value is not None:
                context[f"aws:requesttag/{tag.lower()}"] = [value]
        boundary = call.params.get("PermissionsBoundary") or boundary
        for condition, found in (
            ("iam:policyarn", call.params.get("PolicyArn")),
            ("iam:permissionsboundary", boundary),
            ("sts:externalid", call.params.get("ExternalId")),
            ("sts:rolesessionname", call.params.get("RoleSessionName")),
        ):
            if found:
                context[condition] = [found]
        return Request(f"{call.service}:{call.action}", resource, context)

    def _note_seen(self, actions: Any) -> None:
        """Writes each action that a bound key of the operator took, once."""
        new = set(actions) - self._seen
        self._seen |= new
        if new and self._seen_file:
            with self._seen_file.open("a", encoding="ascii") as file:
                file.writelines(f"{action}\n" for action in sorted(new))


def find_role(account: str, name: str) -> Role | None:
    """A role by its exact name."""
    roles = iam_backends[account]["aws"].get_roles()
    return next((role for role in roles if role.name == name), None)


def _policies_of(role: Role) -> list[Document]:
    managed: list[Any] = list(role.managed_policies.values())
    versions = [version for policy in managed for version in policy.versions]
    texts = [version.document for version in versions if version.is_default]
    return [json.loads(text) for text in [*role.policies.values(), *texts]]


def _as_principal(key: Key | None, request: Request) -> Request:
    """The request with the names by which a trust policy may know its caller."""
    names = set()
    if key:
        names = {key.role_arn, f"arn:aws:iam::{key.account}:root", key.account}
    return Request(request.action, request.resource, request.context, frozenset(names))


def _tags(tags: list[dict[str, str]]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags}


def _resource(call: AwsCall, account: str) -> tuple[str, dict[str, str], str | None]:
    """The ARN of what a call is about, the tags that it has, and its boundary."""
    params = call.params
    if name := params.get("RoleName"):
        role = find_role(account, name)
        path = role.path if role else params.get("Path", "/")
        tags = _tags(role.tags) if role else {}
        boundary = role.permissions_boundary_arn if role else None
        return f"arn:aws:iam::{account}:role{path}{name}", tags, boundary
    if url := params.get("Url"):
        host = str(url).removeprefix("https://")
        return f"arn:aws:iam::{account}:oidc-provider/{host}", {}, None
    if arn := params.get("OpenIDConnectProviderArn"):
        providers = iam_backends[account]["aws"].open_id_providers
        found: OpenIDConnectProvider | None = providers.get(arn)
        return arn, _tags(found.tag_list_type) if found else {}, None
    for name in ("RoleArn", "PolicyArn"):
        if arn := params.get(name):
            return str(arn), {}, None
    return "*", {}, None
