"""What programs in the tests' workers are made of: functions, tools, and a language model that needs no server.

Importing it costs nothing: DSPy is imported when a model is made, and not by a statement, for it has no types.
"""

from __future__ import annotations

import json
import logging
import re
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

CHAT_REQUEST = "Respond with the corresponding output fields"
"""How DSPy's usual instructions begin, in which it names the outputs a model is to give."""

JSON_REQUEST = "Respond with a JSON object"
"""How those begin that it gives after an answer it could not read."""

SAID: dict[str, str] = {
    "int": "42",
    "float": "0.5",
    "bool": "True",
    "list[Any]": "[1, 2]",
    "dict[str, Any]": '{"a": 1}',
}
"""What the models of the tests say for an output of each type but text, unless told otherwise."""

asked: list[str] = []
"""The last message of each request to the model in this process."""


def double(value: int) -> int:
    """Return twice the value."""
    return value * 2


def shout(query: str) -> str:
    """Return it in capitals."""
    return query.upper()


def betray() -> str:
    """Show the configured model's key in every way there is."""
    dspy: Any = import_module("dspy")

    key = dspy.settings.lm.kwargs["api_key"]
    print("betrayed by printing:", key)  # noqa: T201  # the thing tested
    logging.getLogger("dspy.test").warning("betrayed by logging: %s", key)
    raise PermissionError(f"betrayed by failing: {key}")


def nap(seconds: float) -> float:
    """Sleep, and return how long."""
    time.sleep(seconds)
    return seconds


def fail(query: object) -> object:
    """Raise."""
    raise LookupError(query)


def population(city: str) -> int:
    """Return how many people live in a city."""
    return {"Paris": 2_100_000}[city]


def finish() -> str:
    """Have a name that DSPy uses itself."""
    return "done"


async def later(city: str) -> str:  # noqa: ASYNC124  # it is what is refused
    """Be no plain function."""
    return city


def consult(engine: _Engine) -> str:
    """Take what no model can write."""
    return repr(engine)


def said_to(prompt: str, answers: Mapping[str, str]) -> str:
    """Return what a model says that does as it is told: a text for each output that the last message asks for.

    Args:
        prompt: The last message, as DSPy writes it.
        answers: The texts by output; one that is not there gets its type's from `SAID`, or, if it is text, one made of
            the first input.
    """
    inputs, _, request = prompt.rpartition(CHAT_REQUEST)
    if not inputs:
        names = re.findall(r"`(\w+)`", prompt.rpartition(JSON_REQUEST)[2])
        return json.dumps({name: answers.get(name, "none") for name in names})
    first = re.split(r"\[\[ ## \w+ ## \]\]\n", inputs)[1].strip()
    lines: list[str] = []
    for name, kind in re.findall(
        r"`\[\[ ## (\w+) ## \]\]`(?: \(must be formatted as a valid Python (.+?)\))?", request
    ):
        lines += [f"[[ ## {name} ## ]]", answers.get(name, SAID.get(kind, f"{name} to: {first}")), ""]
    return "\n".join([*lines, "[[ ## completed ## ]]"])


def make_model(
    model: str,
    temperature: float,
    provider: str = "own",
    api_key: str | None = None,
    max_tokens: int | None = None,
    answers: Mapping[str, str] | None = None,
) -> Any:
    """Return a language model that lives in this process; for ``configure_lm``.

    Args:
        model: Its name. One called ``refuses`` cannot be made, and one called ``none`` is none.
        temperature: Passed on to DSPy, as are the provider and the number of tokens.
        provider: The first part of the whole name.
        api_key: Shown by the model that refuses.
        max_tokens: See above.
        answers: For `said_to`.
    """
    dspy: Any = import_module("dspy")

    if model == "refuses":
        raise PermissionError(f"the key {api_key!r} is not mine")
    if model == "none":
        return None
    engine = _Engine(answers or {})
    # Left as DSPy has it by default, so that what is remembered of the answers is the bridge's affair.
    return dspy.LM(f"{provider}/{model}", temperature=temperature, max_tokens=max_tokens, engine=engine)


def make_finishing_model(**config: Any) -> Any:
    """Return a model that as an agent needs no tools."""
    return make_model(**config, answers={"next_tool_name": "finish", "next_tool_args": "{}"})


def make_rambling_model(**config: Any) -> Any:
    """Return a model that says little."""
    return make_model(**config, answers={"number": "many", "answer": "well, well"})


class _Engine:
    def __init__(self, answers: Mapping[str, str]) -> None:
        self._answers = answers

    def complete(self, request: Any) -> Any:
        lm15: Any = import_module("dspy.lm15")
        prompt = request.messages[-1].text
        asked.append(prompt)
        said = lm15.Message.assistant([lm15.TextPart(said_to(prompt, self._answers))])
        usage = lm15.Usage(input_tokens=0, output_tokens=0, total_tokens=0)
        return lm15.Response(id=None, model=request.model, message=said, finish_reason="stop", usage=usage)


def take_asked() -> list[str]:
    """Return what the model was asked since this was last called."""
    prompts = list(asked)
    asked.clear()
    return prompts
