"""One worker process without a pool: commands in flight side by side, a health check, an orderly end."""

import trio

import trio_pool


async def main() -> None:
    async with trio_pool.open_worker("trio_pool.bridge:builtin", "worker-1") as worker:
        print(worker.worker_id, worker.status)
        print(await worker.health_check())

        replies = {}

        async def ask(value: int) -> None:
            replies[value] = await worker.send_command("echo", {"value": value}, timeout=2.0)

        async with trio.open_nursery() as nursery:
            for value in range(10):
                nursery.start_soon(ask, value)
        print(all(reply.success and reply.result == value for value, reply in replies.items()))

        # The command's own failure is a reply; that no reply comes is an error.
        reply = await worker.send_command("echo", {"valeu": 1})
        print(reply.success, type(reply.error).__name__)
        try:
            await worker.send_command("sleep", {"duration": 0.3}, timeout=0.1)
        except trio_pool.CommandTimeout as error:
            print(error.outcome, worker.status)
        await worker.terminate()
        print(worker.status, worker.exit)


if __name__ == "__main__":
    trio.run(main)

# Prints:
# worker-1 ready
# healthy
# True
# False InvalidArguments
# maybe_executed ready
# dead exit code 0
