"""IAM as moto plays it, made to refuse and to answer what AWS does."""

from __future__ import annotations

import copy
import functools
import json
import re
from typing import Any
from urllib.parse import quote

import moto.core.responses
import moto.iam.urls as iam_urls
from moto.core.responses import ActionResult, EmptyResult
from moto.core.utils import method_names_from_class
from moto.iam.aws_managed_policies import aws_managed_policies_data
from moto.iam.exceptions import (
    EntityAlreadyExists,
    InvalidInput,
    LimitExceededException,
    NoSuchEntity,
    ValidationError,
)
from moto.iam.models import AWSManagedPolicy, IAMBackend, Role
from moto.iam.policy_validation import IAMTrustPolicyDocumentValidator
from moto.iam.responses import IamResponse

from documents import Permuter

MANAGED_POLICIES = (
    "AWSCompromisedKeyQuarantineV2",
    "AWSCompromisedKeyQuarantineV3",
    "AWSDenyAll",
    "AdministratorAccess",
    "PowerUserAccess",
    "ReadOnlyAccess",
    "SecurityAudit",
    "ViewOnlyAccess",
)
DUMMY_THUMBPRINT = "990f4193972f2becf12ddeda5237f9c952f20d9e"
MAX_ATTACHED_POLICIES = 10
MAX_CLIENT_IDS = 100
MAX_PROVIDERS = 100
MAX_TAGS = 50
MAX_TRUST_POLICY = 2048

_ROLE_NAME = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)
_ROLE_PATH = re.compile(r"/|/[\x21-\x7e]{1,510}/", re.ASCII)


def _encode(document: str) -> str:
    return quote(document, safe="")


class HonestIam(IamResponse):
    """Overrides the calls in which moto is more lenient than IAM."""

    permuter = Permuter()

    RESPONSE_KEY_PATH_TO_TRANSFORMER = {
        **IamResponse.RESPONSE_KEY_PATH_TO_TRANSFORMER,
        "CreateRoleResponse.Role.AssumeRolePolicyDocument": _encode,
        "GetRoleResponse.Role.AssumeRolePolicyDocument": _encode,
        "GetRolePolicyResponse.PolicyDocument": _encode,
        "ListRolesResponse.Roles.Role.AssumeRolePolicyDocument": _encode,
    }

    # Roles

    def create_role(self) -> ActionResult:
        name = self._get_param("RoleName")
        tags = self._get_param("Tags", [])
        _check_role_name(name)
        _check_path(self._get_param("Path", "/"))
        _check_description(self._get_param("Description", ""))
        _check_session(self._get_param("MaxSessionDuration", 3600))
        _check_tags(tags, len(tags))
        _check_trust(self._get_param("AssumeRolePolicyDocument"))
        self._check_boundary(self._get_param("PermissionsBoundary"))
        if any(r.name.lower() == name.lower() for r in self.backend.get_roles()):
            raise EntityAlreadyExists(f"Role with name {name} already exists.")
        return super().create_role()

    def get_role(self) -> ActionResult:
        role = self.backend.get_role(self._get_param("RoleName"))
        return ActionResult({"Role": self._as_read(role)})

    def list_roles(self) -> ActionResult:
        result: Any = super().list_roles().result
        result["Roles"] = [self._as_read(role) for role in result["Roles"]]
        return ActionResult(result)

    def list_role_tags(self) -> ActionResult:
        result: Any = super().list_role_tags().result
        result["Tags"] = self.permuter.items(self.current_account, result["Tags"])
        return ActionResult(result)

    def update_role(self) -> ActionResult:
        description = self._get_param("Description", "")
        session = self._get_param("MaxSessionDuration", 3600)
        _check_description(description)
        _check_session(session)
        self.backend.update_role(self._get_param("RoleName"), description, session)
        return EmptyResult()

    def update_assume_role_policy(self) -> ActionResult:
        self.backend.get_role(self._get_param("RoleName"))
        _check_trust(self._get_param("PolicyDocument"))
        return super().update_assume_role_policy()

    def tag_role(self) -> ActionResult:
        role = self.backend.get_role(self._get_param("RoleName"))
        tags = self._get_param("Tags", [])
        keys = {t["Key"] for t in role.tags} | {t["Key"] for t in tags}
        _check_tags(tags, len(keys))
        return super().tag_role()

    def put_role_permissions_boundary(self) -> ActionResult:
        self._check_boundary(self._get_param("PermissionsBoundary"))
        return super().put_role_permissions_boundary()

    def attach_role_policy(self) -> ActionResult:
        role = self.backend.get_role(self._get_param("RoleName"))
        arn = self._get_param("PolicyArn")
        if arn in role.managed_policies:
            return EmptyResult()
        if (
            arn in self.backend.managed_policies
            and len(role.managed_policies) >= MAX_ATTACHED_POLICIES
        ):
            raise _over_quota("PoliciesPerRole", MAX_ATTACHED_POLICIES)
        return super().attach_role_policy()

    def get_role_policy(self) -> ActionResult:
        result: Any = super().get_role_policy().result
        result["PolicyDocument"] = self.permuter.document(
            self.current_account, result["PolicyDocument"], tidy=False
        )
        return ActionResult(result)

    # OpenID Connect providers

    def create_open_id_connect_provider(self) -> ActionResult:
        url = self._get_param("Url")
        tags = self._get_param("Tags", [])
        if not url.startswith("https://"):
            raise ValidationError("Invalid Open ID Connect Provider URL")
        _check_tags(tags, len(tags))
        provider = self.backend.create_open_id_connect_provider(
            url,
            self._get_param("ThumbprintList", []) or [DUMMY_THUMBPRINT],
            self._get_param("ClientIDList", []),
            tags,
        )
        if len(self.backend.open_id_providers) > MAX_PROVIDERS:
            self.backend.delete_open_id_connect_provider(provider.arn)
            raise _over_quota("OpenIdConnectProvidersPerAccount", MAX_PROVIDERS)
        return ActionResult({"OpenIDConnectProviderArn": provider.arn})

    def get_open_id_connect_provider(self) -> ActionResult:
        provider = copy.copy(self._provider())
        items = functools.partial(self.permuter.items, self.current_account)
        provider.client_id_list = items(provider.client_id_list)
        provider.tags = dict(items(list(provider.tags.items())))
        return ActionResult(provider)

    def tag_open_id_connect_provider(self) -> ActionResult:
        tags = self._get_param("Tags", [])
        keys = set(self._provider().tags) | {tag["Key"].lower() for tag in tags}
        _check_tags(tags, len(keys))
        return super().tag_open_id_connect_provider()

    def add_client_id_to_open_id_connect_provider(self) -> ActionResult:
        client_ids, client_id = self._provider().client_id_list, self._client_id()
        if client_id in client_ids:
            return EmptyResult()
        if len(client_ids) >= MAX_CLIENT_IDS:
            raise _over_quota("ClientIdsPerOpenIdConnectProvider", MAX_CLIENT_IDS)
        client_ids.append(client_id)
        return EmptyResult()

    def remove_client_id_from_open_id_connect_provider(self) -> ActionResult:
        client_ids, client_id = self._provider().client_id_list, self._client_id()
        if client_id in client_ids:
            client_ids.remove(client_id)
        return EmptyResult()

    # Helpers; their names must not be those of actions

    def _provider(self) -> Any:
        arn = self._get_param("OpenIDConnectProviderArn")
        return self.backend.get_open_id_connect_provider(arn)

    def _client_id(self) -> str:
        client_id: str = self._get_param("ClientID", "")
        if not 1 <= len(client_id) <= 255:
            raise ValidationError("clientID must have 1 to 255 characters.")
        return client_id

    def _as_read(self, role: Role) -> Role:
        shown = copy.copy(role)
        shown.assume_role_policy_document = self.permuter.document(
            self.current_account, role.assume_role_policy_document
        )
        shown.tags = self.permuter.items(self.current_account, role.tags)
        return shown

    def _check_boundary(self, arn: str | None) -> None:
        well_formed = arn and self.backend.policy_arn_regex.match(arn)
        if well_formed and arn not in self.backend.managed_policies:
            raise NoSuchEntity(f"Scope ARN: {arn} does not exist or is not attachable.")


def _over_quota(quota: str, limit: int) -> LimitExceededException:
    return LimitExceededException(f"Cannot exceed quota for {quota}: {limit}")


def _check_role_name(name: str | None) -> None:
    if not _ROLE_NAME.fullmatch(name or ""):
        raise ValidationError(
            f"1 validation error detected: Value '{name}' at 'roleName' failed to "
            "satisfy constraint: Member must satisfy regular expression pattern: "
            "[\\w+=,.@-]+ and have length less than or equal to 64"
        )


def _check_path(path: str) -> None:
    if not _ROLE_PATH.fullmatch(path):
        raise ValidationError(f"The specified value for path is invalid: {path}")


def _check_description(description: str) -> None:
    if len(description) > 1000:
        raise ValidationError("description must have at most 1000 characters.")


def _check_session(seconds: int) -> None:
    if not 3600 <= int(seconds) <= 43200:
        raise ValidationError("maxSessionDuration must be from 3600 to 43200.")


def _check_tags(added: list[dict[str, str]], total: int) -> None:
    if any(tag["Key"].lower().startswith("aws:") for tag in added):
        raise InvalidInput("aws: prefixed tag key names are not allowed.")
    if total > MAX_TAGS:
        raise _over_quota("TagsPerResource", MAX_TAGS)


def _check_trust(document: str | None) -> None:
    document = document or ""
    if len(re.sub(r"\s", "", document)) > MAX_TRUST_POLICY:
        raise _over_quota("ACLSizePerRole", MAX_TRUST_POLICY)
    IAMTrustPolicyDocumentValidator(document).validate()


def _load_managed_policies() -> None:
    """Gives each account a few AWS managed policies, parsed only once."""
    everything = json.loads(aws_managed_policies_data)
    kept = {name: everything[name] for name in MANAGED_POLICIES}

    @functools.cache
    def template(partition: str) -> list[AWSManagedPolicy]:
        return [
            AWSManagedPolicy.from_data(name, "", partition, data)
            for name, data in kept.items()
        ]

    def init_aws_policies(self: IAMBackend) -> list[AWSManagedPolicy]:
        policies = [copy.copy(policy) for policy in template(self.region_name)]
        for policy in policies:
            policy.account_id = self.account_id
        return policies

    backend: Any = IAMBackend
    backend._init_aws_policies = init_aws_policies


def install(permuter: Permuter) -> None:
    """Puts all this in the place of moto's IAM, before its server starts."""
    HonestIam.permuter = permuter
    # IAM takes trust policies of version 2008-10-17, and those that name none. That a
    # version is one of the two is checked elsewhere.
    validator: Any = IAMTrustPolicyDocumentValidator
    validator._validate_version = lambda _self: None
    iam_urls.url_paths["{0}/$"] = HonestIam.dispatch
    responses: Any = moto.core.responses
    responses.method_names_from_class = functools.cache(method_names_from_class)
    _load_managed_policies()
