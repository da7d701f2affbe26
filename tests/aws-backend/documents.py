"""Rewrites policy documents the way IAM gives them back: the same meaning in
another text."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

_LIST_ELEMENTS = ("Action", "NotAction", "Resource", "NotResource")
_PRINCIPALS = ("Principal", "NotPrincipal")


def canonical(document: str) -> str:
    """No whitespace, `:sub` before `:aud`, and no array of one string."""
    parsed = json.loads(document)

    def ordered(block: dict[str, Any]) -> dict[str, Any]:
        keys = sorted(block, key=_condition_rank)
        return {key: block[key] for key in keys}

    return _compact(_rewrite(parsed, _collapse, ordered))


def permuted(document: str, rng: random.Random) -> str:
    """A random text of the same meaning."""

    def values(value: Any) -> Any:
        if isinstance(value, list):
            value = rng.sample(value, len(value))
            return value[0] if len(value) == 1 and rng.random() < 0.5 else value
        wrap = isinstance(value, str) and rng.random() < 0.5
        return [value] if wrap else value

    def shuffled(block: dict[str, Any]) -> dict[str, Any]:
        return {key: block[key] for key in rng.sample(sorted(block), len(block))}

    parsed = _rewrite(json.loads(document), values, shuffled)
    if isinstance(parsed.get("Statement"), list):
        statements = parsed["Statement"]
        parsed["Statement"] = [
            shuffled(s) for s in rng.sample(statements, len(statements))
        ]
    return _compact(shuffled(parsed))


class Permuter:
    """Which accounts get their documents permuted, and with which randomness."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._default_seed: int | None = None
        self._seeds: dict[str, int | None] = {}
        self._generators: dict[str, random.Random] = {}

    def configure(self, account: str, seed: int | None) -> None:
        """Sets the seed of one account, or of all with `*`; None turns it off."""
        with self._lock:
            if account == "*":
                self._default_seed = seed
                self._seeds.clear()
                self._generators.clear()
            else:
                self._seeds[account] = seed
                self._generators.pop(account, None)

    def document(self, account: str, document: str, tidy: bool = True) -> str:
        """`document` as a read gives it; without `tidy` it is left as it was
        written unless permuting is on."""
        rng = self._generator(account)
        if rng is not None:
            return permuted(document, rng)
        return canonical(document) if tidy else document

    def items(self, account: str, items: list[T]) -> list[T]:
        """A list whose order means nothing, as a read gives it."""
        rng = self._generator(account)
        return list(items) if rng is None else rng.sample(items, len(items))

    def _generator(self, account: str) -> random.Random | None:
        with self._lock:
            seed = self._seeds.get(account, self._default_seed)
            if seed is None:
                return None
            if account not in self._generators:
                self._generators[account] = random.Random(f"{seed}:{account}")
            return self._generators[account]


def _rewrite(
    document: Any,
    values: Callable[[Any], Any],
    blocks: Callable[[dict[str, Any]], dict[str, Any]],
) -> Any:
    """Applies `values` wherever a string and an array of one string mean the
    same, and `blocks` to each condition, its operators and principal block."""
    statements = document.get("Statement", [])
    for statement in statements if isinstance(statements, list) else [statements]:
        for name in _LIST_ELEMENTS:
            if name in statement:
                statement[name] = values(statement[name])
        for name in _PRINCIPALS:
            if isinstance(statement.get(name), dict):
                principals = blocks(statement[name])
                statement[name] = {k: values(v) for k, v in principals.items()}
        if isinstance(statement.get("Condition"), dict):
            statement["Condition"] = {
                operator: {k: values(v) for k, v in blocks(block).items()}
                for operator, block in blocks(statement["Condition"]).items()
            }
    return document


def _collapse(value: Any) -> Any:
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        return value[0]
    return value


def _condition_rank(key: str) -> int:
    lowered = key.lower()
    return 0 if lowered.endswith(":sub") else 2 if lowered.endswith(":aud") else 1


def _compact(document: Any) -> str:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)
