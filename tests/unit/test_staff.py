"""Who of a pool's workers serves, stands by, helps out or leaves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trio_pool import WorkerRole
from trio_pool._core._staff import Staff

SERVING, STANDBY = WorkerRole.SERVING, WorkerRole.STANDBY
OVERFLOW, LEAVING = WorkerRole.OVERFLOW, WorkerRole.LEAVING


def roles(staff: Staff, *incarnations: int) -> list[WorkerRole | None]:
    """Return the roles of workers."""
    return [staff.role(each) for each in incarnations]


def by_number(incarnation: int) -> tuple[int]:
    """Burden the youngest most."""
    return (incarnation,)


def test_the_first_to_be_ready_serve_and_the_rest_stands_by() -> None:
    """As many serve as the pool's size says."""
    staff = Staff(2)
    assert [staff.join(each) for each in (1, 2, 3)] == [SERVING, SERVING, STANDBY]
    assert (staff.count(SERVING), staff.count(STANDBY)) == (2, 1)
    assert staff.role(4) is None


def test_a_standby_is_promoted_at_the_loss_of_a_serving_worker() -> None:
    """The one that has waited longest; the replacement then stands by."""
    staff = Staff(1)
    for each in (1, 2, 3):
        staff.join(each)
    assert staff.part(1) == [2]
    assert staff.join(4) is STANDBY
    assert roles(staff, 1, 2, 3, 4) == [None, SERVING, STANDBY, STANDBY]
    assert staff.part(1) == []  # told twice


def test_nobody_is_promoted_at_the_loss_of_others() -> None:
    """A standby or an overflow worker leaves no gap."""
    staff = Staff(1)
    for each in (1, 2, 3):
        staff.join(each)
    staff.join(4, OVERFLOW)
    assert staff.part(2) == []
    assert staff.part(4) == []
    assert roles(staff, 1, 3) == [SERVING, STANDBY]


def test_a_given_role_counts_for_no_other() -> None:
    """An overflow worker fills no place."""
    staff = Staff(1)
    assert staff.join(1, OVERFLOW) is OVERFLOW
    assert staff.join(2) is SERVING


def test_growing_promotes_those_that_leave_before_those_that_stand_by() -> None:
    """They have sessions and warm caches."""
    staff = Staff(2)
    for each in (1, 2, 3):
        staff.join(each)
    assert staff.resize(1, burden={1: (5,), 2: (0,)}.__getitem__) == ([], [2])
    assert roles(staff, 1, 2, 3) == [SERVING, LEAVING, STANDBY]
    assert staff.resize(3, burden=by_number) == ([2, 3], [])
    assert roles(staff, 1, 2, 3) == [SERVING, SERVING, SERVING]


def test_the_least_burdened_leave() -> None:
    """The burden is the caller's measure: sessions, say."""
    staff = Staff(4)
    burdens = {1: (3,), 2: (1,), 3: (2,), 4: (0,)}
    for each in burdens:
        staff.join(each)
    assert staff.resize(2, burden=burdens.__getitem__) == ([], [4, 2])
    assert staff.part(4) == []


@given(st.lists(st.one_of(st.integers(0, 5), st.tuples(st.just("resize"), st.integers(0, 4)), st.just("join"))))
def test_as_many_serve_as_are_wanted_and_there(steps: list[object]) -> None:
    """Whatever comes and goes, nobody stands by while a place is free."""
    staff = Staff(2)
    here: list[int] = []
    for number, step in enumerate(steps):
        if step == "join":
            staff.join(number)
            here.append(number)
        elif isinstance(step, tuple):
            promoted, leaving = staff.resize(step[1], burden=by_number)
            assert all(staff.role(each) is SERVING for each in promoted)
            assert all(staff.role(each) is LEAVING for each in leaving)
        elif isinstance(step, int) and here:
            staff.part(here.pop(step % len(here)))
        assert staff.count(SERVING) <= staff.size
        assert staff.count(SERVING) == staff.size or not staff.count(STANDBY)
