"""State that every worker must have: told to all, and to each that comes later before it is ready."""

import os
import signal

import trio

import trio_pool
from trio_pool.bridge import Bridge

bridge = Bridge()
settings: dict[str, str] = {}


@bridge.command
def configure(language: str) -> str:
    if language not in ("en", "de"):
        raise ValueError(f"no {language}")
    settings["language"] = language
    return language


@bridge.command
def greet(name: str) -> str:
    return {"en": "Hello", "de": "Guten Tag"}[settings["language"]] + f", {name}"


async def main() -> None:
    async with trio_pool.open_pool("__main__:bridge", size=2) as pool:
        print(await pool.broadcast("configure", {"language": "de"}, key="language"))
        ping = await pool.execute_anonymous("ping")
        os.kill(ping["pid"], signal.SIGKILL)
        print({await pool.execute_anonymous("greet", {"name": "Ada"}) for _ in range(100)})
        try:
            await pool.broadcast("configure", {"language": "xx"})
        except trio_pool.BroadcastFailed as error:
            print(error.outcome, error.results, sorted(error.errors), type(error.errors["pool-0"]).__name__)


if __name__ == "__main__":
    trio.run(main)

# Prints:
# {'pool-0': 'de', 'pool-1': 'de'}
# {'Guten Tag, Ada'}
# executed {} ['pool-0', 'pool-1'] RemoteError
