"""A poller whose source is down for a while: each failure doubles the wait, and a good spell makes it short again."""

import trio

import trio_pool
from trio_pool import Backoff, ChildSpec, open_supervisor

ANSWERS = iter([21.5, None, None, None, None, 22.0, 22.5])  # None: the source is down


async def poll(done: trio.Event) -> None:
    """Read the source every few milliseconds; whatever goes wrong is the supervisor's business."""
    while True:
        answer = next(ANSWERS, ...)
        if answer is ...:
            done.set()
            await trio.sleep_forever()
        if answer is None:
            raise ConnectionError("no answer")
        print("temperature", answer)
        await trio.sleep(0.005)


def tell(event: trio_pool.SupervisorEvent) -> None:
    if isinstance(event, trio_pool.ChildRestartScheduled):
        print(f"down, trying again in {event.delay * 1000:g} ms")


async def main() -> None:
    # Without jitter, so that this prints the same each time; with several pollers leave it at its default, `full`.
    backoff = Backoff(initial=0.01, factor=2, maximum=1.0, jitter="none", reset_after=5.0)
    done = trio.Event()
    poller = ChildSpec(id="poller", start=poll, args=(done,))
    async with open_supervisor(children=[poller], max_restarts=10, within=60.0, backoff=backoff, on_event=tell):
        await done.wait()


if __name__ == "__main__":
    trio.run(main)

# Prints:
# temperature 21.5
# down, trying again in 0 ms
# down, trying again in 10 ms
# down, trying again in 20 ms
# down, trying again in 40 ms
# temperature 22.0
# temperature 22.5
