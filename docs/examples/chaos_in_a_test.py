"""A test under faults: a worker is killed, then the link is slow, and every answer is checked all the same."""

import trio

import trio_pool
from chaos import ChaosLauncher, ChaosMonkey


async def test_the_application_survives() -> None:
    launcher = ChaosLauncher()
    async with (
        trio_pool.open_pool(size=2, launcher=launcher, seed=7) as pool,
        ChaosMonkey(pool, launcher, seed=7) as monkey,
    ):
        with pool.events() as events:
            fault = await monkey.kill_random_worker()
            print("killed one worker; what becomes of the calls?")
            assert [await pool.execute_anonymous("echo", {"value": n}) for n in range(100)] == list(range(100))
            async for event in events:  # recovery is an event, not a time to sleep
                if isinstance(event, trio_pool.WorkerReady):
                    assert fault.worker is not None
                    assert event.worker_id == fault.worker.worker_id
                    break
        print("all answered; the pool is", (await pool.health_check()).status)

        slow = await monkey.add_latency("port_communication", 0.1)
        began = trio.current_time()
        assert await pool.execute_anonymous("echo", {"value": "late"}) == "late"
        print("0.1 s each way:", trio.current_time() - began >= 0.2)
        await slow.heal()


if __name__ == "__main__":
    trio.run(test_the_application_survives)

# Prints:
# killed one worker; what becomes of the calls?
# all answered; the pool is healthy
# 0.1 s each way: True
