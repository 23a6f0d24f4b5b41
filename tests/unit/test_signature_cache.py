"""The copy of session programs' signatures: bounded, and never out of date by its own doing."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from trio_pool._adapter import Signature
from trio_pool._adapter._signature_cache import SignatureCache

KEY = ("session", "program")
OLD = Signature.parse("old -> y")
NEW = Signature.parse("new -> y")


def know(cache: SignatureCache, key: tuple[str, str], signature: Signature) -> None:
    with cache.claim(key, changes=True) as claim:
        claim.signature = signature


def fail(cache: SignatureCache) -> None:
    with cache.claim(KEY, changes=True) as claim:
        claim.signature = NEW
        raise RuntimeError("no reply")


def test_an_undisturbed_answer_is_remembered() -> None:
    """A creation or look-up that nothing overlapped leaves its signature; a deletion leaves none."""
    cache = SignatureCache(2)
    assert cache.get(KEY) is None
    know(cache, KEY, OLD)
    assert cache.get(KEY) is OLD
    with cache.claim(KEY, changes=True):
        assert cache.get(KEY) is None
    assert cache.get(KEY) is None
    with cache.claim(KEY, changes=False) as claim:
        claim.signature = NEW
    assert cache.get(KEY) is NEW


@pytest.mark.parametrize(("first", "second"), [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_overlapping_claims_with_a_change_leave_nothing(first: bool, second: bool, order: tuple[int, int]) -> None:
    """Whichever of them ends last, neither leaves a signature, for nobody knows which of them is true."""
    cache = SignatureCache(2)
    stacks = (ExitStack(), ExitStack())
    stacks[0].enter_context(cache.claim(KEY, changes=first)).signature = OLD
    stacks[1].enter_context(cache.claim(KEY, changes=second)).signature = NEW
    for index in order:
        stacks[index].close()
        assert cache.get(KEY) is None


def test_overlapping_look_ups_do_not_spoil_each_other() -> None:
    """Any number of tasks may look a program up at once, and the first answer serves from then on."""
    cache = SignatureCache(2)
    with cache.claim(KEY, changes=False) as one:
        with cache.claim(KEY, changes=False) as other:
            other.signature = OLD
        assert cache.get(KEY) is OLD
        one.signature = OLD
    assert cache.get(KEY) is OLD


def test_a_claim_that_fails_leaves_nothing() -> None:
    """A change whose outcome is unknown removes what was known before and adds nothing."""
    cache = SignatureCache(2)
    know(cache, KEY, OLD)
    with pytest.raises(RuntimeError, match="no reply"):
        fail(cache)
    assert cache.get(KEY) is None
    know(cache, KEY, NEW)
    assert cache.get(KEY) is NEW


def test_claims_on_other_programs_are_independent() -> None:
    """Only the same program of the same session is disturbed by a change."""
    cache = SignatureCache(3)
    with cache.claim(KEY, changes=True) as claim:
        know(cache, ("session", "other"), NEW)
        know(cache, ("other", "program"), NEW)
        claim.signature = OLD
    assert cache.get(KEY) is OLD
    assert len(cache) == 3


def test_the_least_recently_used_goes_first() -> None:
    """No more than ``capacity`` signatures are kept."""
    cache = SignatureCache(2)
    keys = [("session", str(index)) for index in range(3)]
    know(cache, keys[0], OLD)
    know(cache, keys[1], OLD)
    assert cache.get(keys[0]) is OLD
    know(cache, keys[2], OLD)
    assert [cache.get(key) for key in keys] == [OLD, None, OLD]
    assert len(cache) == 2


def test_only_the_disproved_signature_is_forgotten() -> None:
    """A late disproof of an older signature does not remove the one that replaced it."""
    cache = SignatureCache(2)
    know(cache, KEY, NEW)
    cache.forget(KEY, OLD)
    assert cache.get(KEY) is NEW
    cache.forget(KEY, NEW)
    assert cache.get(KEY) is None
    cache.forget(KEY, NEW)
