"""Programs that a language model runs, through DSPy. The model here is DSPy's own stand-in, which asks nobody."""

import trio

import trio_pool


def make_model(**given: object) -> object:
    """What stands behind "lm": called in each worker, with all else that the model's configuration has."""
    from dspy.utils import DummyLM

    return DummyLM([{"reasoning": "Berlin is the capital.", "answer": f"Berlin, says {given['model']}"}] * 10)


async def main() -> None:
    async with trio_pool.open_pool(size=2) as pool:
        programs = trio_pool.PythonPool(pool)
        # For a model of a provider: {"model": "openai/gpt-4o-mini", "api_key": …}, and no "lm".
        print(await programs.configure_lm({"model": "parrot", "temperature": 0.0, "lm": f"{__name__}:make_model"}))
        ask = await programs.create_program(
            {"program_type": "chain_of_thought", "signature": "question: str -> answer: str"}
        )
        print(await programs.execute_program(ask, {"question": "What is the capital of Germany?"}))


if __name__ == "__main__":
    trio.run(main)

# Prints:
# {'status': 'configured', 'model': 'parrot', 'provider': None, 'temperature': 0.0}
# {'answer': 'Berlin, says parrot'}
