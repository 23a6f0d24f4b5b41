"""Programs: importable functions with a signature, unbound or in a session of their own."""

import trio

import trio_pool


def double(value: int) -> int:
    return value * 2


def words(text: str, least: int) -> dict[str, object]:
    found = [word for word in text.split() if len(word) >= least]
    return {"count": len(found), "words": found}


async def main() -> None:
    async with trio_pool.open_pool(size=2) as pool:
        programs = trio_pool.PythonPool(pool)
        doubler = await programs.create_program(
            {"id": "doubler", "function": f"{__name__}:double", "signature": "value: int -> value: int"}
        )
        print(await programs.execute_program(doubler, {"value": 21}))
        print(await programs.list_programs())

        # Checked here, before any worker is asked.
        try:
            await programs.execute_program(doubler, {"value": "21"})
        except trio_pool.InvalidArguments as error:
            print(error)

        ada = programs.session_adapter("ada")
        counter = await ada.create_program(
            {"function": f"{__name__}:words", "signature": "text: str, least: int -> count: int, words: list"}
        )
        print(await ada.execute_program(counter, {"text": "a pool of workers", "least": 3}))
        print(await ada.list_programs() == [counter], await programs.session_adapter("bob").list_programs())


if __name__ == "__main__":
    trio.run(main)

# Prints:
# {'value': 42}
# ['doubler']
# input 'value' must be int, not str
# {'count': 2, 'words': ['pool', 'workers']}
# True []
