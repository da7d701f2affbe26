"""Fault rules: which calls go wrong, and how."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from calls import AwsCall

ERROR_KINDS = frozenset(
    {
        "throttle",
        "error500",
        "error503",
        "access_denied",
        "error",
        "no_such_entity",
        "expired_token",
    }
)
WAIT_KINDS = frozenset({"latency", "hang", "hold_before", "hold_after"})
CUT_KINDS = frozenset({"cut_before", "cut_after"})
KINDS = ERROR_KINDS | WAIT_KINDS | CUT_KINDS


_INTEGER = (int,)
_TEXT = (str,)
_TYPES: dict[str, tuple[type, ...]] = {
    "id": _TEXT,
    "account": _TEXT,
    "service": _TEXT,
    "action": (str, list),
    "params": (dict,),
    "skip": _INTEGER,
    "count": _INTEGER,
    "seconds": (int, float),
    "status": _INTEGER,
    "code": _TEXT,
    "message": _TEXT,
}


class InvalidRule(ValueError):
    """A rule that cannot be understood."""


@dataclass
class Rule:
    """One rule; a field that is None matches every call."""

    kind: str
    id: str = ""
    account: str | None = None
    service: str | None = None
    action: str | list[str] | None = None
    params: dict[str, Any] = field(default_factory=dict)
    skip: int = 0
    count: int | None = None
    seconds: float | None = None
    status: int | None = None
    code: str | None = None
    message: str | None = None

    @staticmethod
    def parse(body: dict[str, Any]) -> Rule:
        """A rule out of a control request."""
        unknown = set(body) - {f.name for f in fields(Rule)}
        if unknown:
            raise InvalidRule(f"unknown fields: {', '.join(sorted(unknown))}")
        if body.get("kind") not in KINDS:
            raise InvalidRule(f"kind must be one of {', '.join(sorted(KINDS))}")
        given = {name: value for name, value in body.items() if value is not None}
        for name, types in _TYPES.items():
            value = given.get(name)
            if value is not None and type(value) not in types:
                raise InvalidRule(f"{name} has a wrong type")
        rule = Rule(**given)
        rule.params = {name: str(value) for name, value in rule.params.items()}
        if rule.kind == "latency" and rule.seconds is None:
            raise InvalidRule("latency needs seconds")
        if rule.kind == "error" and (rule.status is None or rule.code is None):
            raise InvalidRule("error needs status and code")
        if rule.count is not None and rule.count < 1:
            raise InvalidRule("count must be at least 1, or null for ever")
        if rule.skip < 0 or (rule.seconds or 0) < 0:
            raise InvalidRule("skip and seconds must not be negative")
        return rule

    def matches(self, call: AwsCall, account: str) -> bool:
        """Whether the rule is about this call, whatever its skip and count."""
        return (
            self.account in (None, account)
            and self.service in (None, call.service)
            and self._matches_action(call)
            and all(str(call.params.get(k)) == v for k, v in self.params.items())
        )

    def _matches_action(self, call: AwsCall) -> bool:
        if self.action is None or self.action == "*":
            return self.kind != "no_such_entity" or call.is_read
        if isinstance(self.action, list):
            return call.action in self.action
        return call.action == self.action


class FaultTable:
    """The rules in the order in which they were added."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._ids = itertools.count(1)

    def add(self, rule: Rule) -> str:
        """Appends a rule; one with the id of an older one takes its place."""
        with self._lock:
            rule.id = rule.id or f"fault-{next(self._ids)}"
            for index, other in enumerate(self._rules):
                if other.id == rule.id:
                    self._rules[index] = rule
                    break
            else:
                self._rules.append(rule)
            return rule.id

    def take(self, call: AwsCall, account: str) -> Rule | None:
        """The first rule that applies to this call, used up by one."""
        with self._lock:
            for rule in self._rules:
                if not rule.matches(call, account):
                    continue
                if rule.skip > 0:
                    rule.skip -= 1
                    continue
                if rule.count is not None:
                    rule.count -= 1
                    if rule.count == 0:
                        self._rules.remove(rule)
                return rule
            return None

    def remove(self, unwanted: Callable[[Rule], bool]) -> int:
        """Drops rules and tells how many."""
        with self._lock:
            kept = [rule for rule in self._rules if not unwanted(rule)]
            removed = len(self._rules) - len(kept)
            self._rules = kept
            return removed

    def rules(self) -> list[Rule]:
        """The rules that are not used up."""
        with self._lock:
            return list(self._rules)


@dataclass(frozen=True)
class Verdict:
    """How a parked call goes on. `apply` false: a call that has not taken
    effect never does; `answer` false: the connection is cut."""

    apply: bool = True
    answer: bool = True


@dataclass
class Parked:
    """A call that waits."""

    id: str
    seq: int
    rule: Rule
    account: str
    call: AwsCall
    wake: threading.Event = field(default_factory=threading.Event)
    verdict: Verdict | None = None

    def describe(self) -> dict[str, Any]:
        """What the control API shows of it."""
        return {
            "id": self.id,
            "seq": self.seq,
            "rule": self.rule.id,
            "kind": self.rule.kind,
            "account": self.account,
            "service": self.call.service,
            "action": self.call.action,
            "params": self.call.params,
        }


class ParkingLot:
    """All calls that wait, for a time or for a release."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._parked: dict[str, Parked] = {}
        self._ids = itertools.count(1)

    def park(self, rule: Rule, call: AwsCall, account: str, seq: int) -> Verdict | None:
        """Blocks until the call is released, or for `rule.seconds`; None says
        that the time was up."""
        with self._lock:
            parked = Parked(f"parked-{next(self._ids)}", seq, rule, account, call)
            self._parked[parked.id] = parked
            self._lock.notify_all()
        parked.wake.wait(rule.seconds)
        with self._lock:
            self._parked.pop(parked.id, None)
            return parked.verdict

    def release(self, wanted: Callable[[Parked], bool], verdict: Verdict) -> int:
        """Wakes the calls that `wanted` picks and tells how many."""
        with self._lock:
            chosen = [p for p in self._parked.values() if wanted(p)]
            for parked in chosen:
                del self._parked[parked.id]
                parked.verdict = verdict
                parked.wake.set()
            return len(chosen)

    def waiting(self, rule: str | None, patience: float) -> list[Parked]:
        """The calls that wait now, oldest first, of one rule or of all; if
        there are none, looks again for `patience` seconds."""

        def found() -> list[Parked]:
            parked = self._parked.values()
            return [p for p in parked if rule in (None, p.rule.id)]

        with self._lock:
            self._lock.wait_for(found, patience)
            return found()
