"""A property over a pool: any session id works. Each example has a run of its own, and no process."""

import trio
from hypothesis import given, settings

import trio_pool
from trio_pool.testing import MockPort, strategies


@settings(deadline=None)  # on a busy machine an example may take any time
@given(strategies.session_ids())
def test_any_session_id_works(session_id: str) -> None:
    async def main() -> None:
        async with trio_pool.open_pool(size=1, launcher=MockPort()) as pool:
            await pool.execute_in_session(session_id, "ping")
            await pool.end_session(session_id)
            assert session_id not in pool.get_sessions()

    trio.run(main)


if __name__ == "__main__":
    test_any_session_id_works()
    print("no counterexample")

# Prints:
# no counterexample
