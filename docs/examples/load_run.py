"""A load of twenty users for two seconds: every reply compared with what was asked for, every wait timed."""

import sys

import trio

from chaos import LoadConfig, LoadRunner


async def main() -> None:
    result = await LoadRunner.run(
        LoadConfig(duration_seconds=2.0, concurrent_users=20, operations_per_second=10.0, pool_size=2)
    )
    print(result.sent, "sent, success rate", result.success_rate, "errors", result.errors)
    sys.stderr.write(f"{result}\n")  # with latencies, which are never twice the same


if __name__ == "__main__":
    trio.run(main)

# Prints:
# 400 sent, success rate 1.0 errors []
