"""Decides what a policy document says to one request, as IAM does."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Document = Mapping[str, Any]
Test = Callable[[str, str], bool]


@dataclass(frozen=True)
class Request:
    """What somebody wants to do: the keys of the context are in lower case."""

    action: str
    resource: str
    context: Mapping[str, list[str]] = field(default_factory=dict)
    principals: frozenset[str] = frozenset()
    """By what names a trust policy may know the caller."""


class UnknownOperatorError(NotImplementedError):
    """A condition that nobody taught us."""


def allows(documents: Iterable[Document], request: Request) -> bool:
    """Whether a statement allows the request, and none denies it."""
    effects = {
        statement["Effect"]
        for document in documents
        for statement in _list(document.get("Statement"))
        if _is_about(statement, request)
    }
    return effects == {"Allow"}


def _is_about(statement: Document, request: Request) -> bool:
    return (
        _names(statement, "Action", request.action.lower(), str.lower)
        and _names(statement, "Resource", request.resource, str)
        and _knows(statement, request)
        and all(
            _holds(operator, key, _list(values), request.context)
            for operator, keys in statement.get("Condition", {}).items()
            for key, values in keys.items()
        )
    )


def _names(
    statement: Document, element: str, value: str, fold: Callable[[str], str]
) -> bool:
    """Whether an element or its negation covers a value. A trust policy, which has a
    principal, has no resource."""
    if element in statement:
        return any(_like(fold(p), value) for p in _list(statement[element]))
    if f"Not{element}" in statement:
        patterns = _list(statement[f"Not{element}"])
        return not any(_like(fold(p), value) for p in patterns)
    return element == "Resource" and "Principal" in statement


def _knows(statement: Document, request: Request) -> bool:
    """Whether the caller is among the principals, if the statement has any."""
    if "Principal" not in statement:
        return "NotPrincipal" not in statement
    principal = statement["Principal"]
    if principal == "*":
        return True
    named = _list(principal.get("AWS")) + _list(principal.get("Federated"))
    return "*" in named or not request.principals.isdisjoint(named)


def _holds(
    operator: str, key: str, wanted: list[str], context: Mapping[str, list[str]]
) -> bool:
    found = context.get(key.lower())
    quantifier, _, name = operator.rpartition(":")
    optional = name.endswith("IfExists")
    name = name.removesuffix("IfExists")
    if name == "Null":
        return (found is None) == (str(wanted[0]).lower() == "true")
    if name not in _OPERATORS:
        raise UnknownOperatorError(f"the condition operator {operator}")
    test, negated = _OPERATORS[name]
    if found is None:
        return optional or negated or quantifier == "ForAllValues"
    results = (any(test(str(w), f) for w in wanted) != negated for f in found)
    return all(results) if quantifier == "ForAllValues" else any(results)


@functools.lru_cache(4096)
def _pattern(pattern: str) -> re.Pattern[str]:
    text = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.compile(text, re.DOTALL)


def _like(pattern: str, value: str) -> bool:
    return _pattern(pattern).fullmatch(value) is not None


def _equal(wanted: str, found: str) -> bool:
    return wanted == found


def _alike(wanted: str, found: str) -> bool:
    return wanted.lower() == found.lower()


_OPERATORS: dict[str, tuple[Test, bool]] = {
    "StringEquals": (_equal, False),
    "StringNotEquals": (_equal, True),
    "StringEqualsIgnoreCase": (_alike, False),
    "StringLike": (_like, False),
    "StringNotLike": (_like, True),
    "ArnEquals": (_like, False),
    "ArnNotEquals": (_like, True),
    "ArnLike": (_like, False),
    "ArnNotLike": (_like, True),
    "Bool": (_alike, False),
}


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
