"""What the application knows of the signatures of session programs, to check inputs before a worker is asked.

The truth is in the worker. This is a copy of it, bounded, and the danger is a copy that is out of date. Creating,
deleting and looking up all wait for the worker, and tasks that waited at the same time resume in any order: a task that
created ``p`` may be the last to run although ``p`` was deleted and created anew meanwhile. Ordering replies after the
fact is guesswork, so nothing is guessed. Whoever asks the worker opens a `Claim` on the program first:

* A change (create, delete) drops the copy as it begins; while it lasts there is none.
* Claims that overlap, at least one of them a change, spoil each other: neither may leave a copy.
* A claim that fails or is cancelled leaves none: its outcome is not known. The worker may be at it still, yet it takes
  no other request of the session before that one has ended, so the next look-up tells.

So a copy exists only if no change overlapped the question whose answer it is, and none began since. Without one, the
next execution looks the signature up, in the session's own order. Every method is synchronous: no task sees a half-made
step.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Generator

    from ._signature import Signature

Key: TypeAlias = tuple[str, str]
"""Session id, program id."""


class Claim:
    """One question to the worker about one program, while it is under way."""

    __slots__ = ("changes", "signature", "spoilt")

    def __init__(self, *, changes: bool) -> None:
        self.changes = changes
        self.spoilt = False
        self.signature: Signature | None = None
        """Set by the holder once the worker has answered: what it answered."""


class SignatureCache:
    """A bounded copy of session programs' signatures, least recently used out first.

    Args:
        capacity: How many are kept. One more costs the oldest a look-up on its next use, nothing else.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._known: OrderedDict[Key, Signature] = OrderedDict()
        # Bounded by the number of tasks inside a call: each holds one claim at a time.
        self._claims: dict[Key, list[Claim]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: Key) -> Signature | None:
        """Return the signature if it is known for certain."""
        signature = self._known.get(key)
        if signature is not None:
            self._known.move_to_end(key)
        return signature

    def forget(self, key: Key, signature: Signature) -> None:
        """Drop a copy the worker has just disproved, unless another has taken its place."""
        if self._known.get(key) is signature:
            del self._known[key]

    @contextmanager
    def claim(self, key: Key, *, changes: bool) -> Generator[Claim]:
        """Hold a claim on a program for the time of a question to the worker.

        Args:
            key: The program.
            changes: Whether the question may create or delete the program.
        """
        claim = Claim(changes=changes)
        if changes:
            self._known.pop(key, None)
        claims = self._claims.setdefault(key, [])
        for other in claims:
            if changes or other.changes:
                claim.spoilt = other.spoilt = True
        claims.append(claim)
        try:
            yield claim
        finally:
            claims.remove(claim)
            if not claims:
                del self._claims[key]
        if claim.signature is not None and not claim.spoilt:
            self._known[key] = claim.signature
            self._known.move_to_end(key)
            if len(self._known) > self._capacity:
                self._known.popitem(last=False)
