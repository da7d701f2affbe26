"""Keeps a record of every AWS call."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

from calls import AwsCall


@dataclass
class Record:
    """One call. `status` is None while no answer was given, and stays so if
    the connection was cut; `applied` tells whether the call took effect (or
    was refused by the service itself, not by a fault)."""

    seq: int
    time: float
    account: str
    accessKeyId: str | None
    service: str
    action: str
    params: dict[str, Any]
    userAgent: str
    fault: dict[str, str] | None = None
    applied: bool = False
    status: int | None = None
    errorCode: str | None = None
    endTime: float | None = None


class Recorder:
    """The last `keep` calls in the order of their arrival."""

    def __init__(self, keep: int) -> None:
        self._lock = threading.Lock()
        self._records: deque[Record] = deque(maxlen=keep)
        self._last = 0

    def begin(self, call: AwsCall, account: str) -> Record:
        """Notes the arrival of a call and gives it its sequence number."""
        with self._lock:
            self._last += 1
            record = Record(
                seq=self._last,
                time=time.time(),
                account=account,
                accessKeyId=call.access_key,
                service=call.service,
                action=call.action,
                params=call.params,
                userAgent=call.user_agent,
            )
            self._records.append(record)
            return record

    def finish(
        self, record: Record, status: int | None, error_code: str | None
    ) -> None:
        """Notes the answer, or with status None that there was none."""
        with self._lock:
            record.status = status
            record.errorCode = error_code
            record.endTime = time.time()

    def calls(self, account: str | None, since: int) -> dict[str, Any]:
        """The records after `since`, and the newest sequence number."""
        with self._lock:
            found = [
                asdict(r)
                for r in self._records
                if r.seq > since and account in (None, r.account)
            ]
            return {"lastSeq": self._last, "calls": found}

    def clear(self) -> None:
        """Forgets the records; sequence numbers go on rising."""
        with self._lock:
            self._records.clear()
