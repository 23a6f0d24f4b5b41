"""Programs that a language model runs: DSPy's modules made from our signatures, and the model they ask.

Imported, and DSPy with it, when a worker first makes such a program or is told of a language model; an application
without either never pays for it, nor needs DSPy.

The model is the default of the process, as DSPy has it: all sessions of a worker share it, and so do commands of the
application that use DSPy themselves. Programs ask the one configured last.

Three things that DSPy does by itself are not done here, for they are no worker's to do unasked:

* It remembers every answer, in memory and in the user's home, and gives it again to an equal question. Here each
  question reaches the model. Who wants DSPy's cache names its folder in the environment variable ``DSPY_CACHEDIR``.
* It keeps the last ten thousand questions and answers for looking at, of which nothing here could be looked at.
* LiteLLM, which it uses for the providers it does not know itself, fetches a list of prices when it is imported.
"""

from __future__ import annotations

import math
import os
import warnings
from typing import Any

from ._bridge import unfinished
from ._replies import Refused, invalid_arguments, summary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, TypeGuard

    from ._loading import Loader
    from ._signature import Field, Signature

# The testing strategy's own; DSPy by default leaves it to the provider.
TEMPERATURE: Final = 0.7

_CACHE_FOLDER: Final = "DSPY_CACHEDIR"
_TEXT_KEYS: Final = ("model", "api_key", "api_base", "provider", "lm")
_MODEL_KEYS: Final = (*_TEXT_KEYS, "temperature", "max_tokens")

# What a model reads and writes is text, which is what DSPy takes a field for whose type it is not told. An input may
# all the same be anything: what is no text is written as JSON. For bytes see `_to_text`.
_INPUT_TYPES: Final[dict[str, Any]] = {"any": Any, "list": list[Any], "dict": dict[str, Any], "bytes": str}
_OUTPUT_TYPES: Final[dict[str, Any]] = {**_INPUT_TYPES, "any": str}
_PLAIN_TYPES: Final[dict[str, type]] = {"str": str, "int": int, "float": float, "bool": bool}

# Names that DSPy takes for something of its own, and not always with an error: a program with an input `config` would
# be run with that as its settings.
_NOT_FIELDS: Final = frozenset(("fields", "input_fields", "instructions", "model_config", "output_fields", "signature"))
_NOT_INPUTS: Final = frozenset(("completions", "config", "demos", "lm", "new_signature", "prediction", "self"))
_NOT_INPUTS_OF: Final[dict[str, frozenset[str]]] = {
    "predict": frozenset(),
    "chain_of_thought": frozenset(("reasoning",)),
    "react": frozenset(
        ("max_iters", "next_thought", "next_tool_args", "next_tool_name", "reasoning", "trajectory"),
    ),
}
_NOT_OUTPUTS_OF: Final[dict[str, frozenset[str]]] = {"react": frozenset(("trajectory",))}
# The tool by which a model says that it needs no more of them.
_FINISH: Final = "finish"


def configure_lm(config: dict[str, Any], loader: Loader, hide: Callable[[str], None]) -> dict[str, Any]:
    """Make a language model this process's default; if it cannot be made, the one before remains.

    Args:
        config: ``model``, and if wanted ``api_key``, ``api_base``, ``temperature`` (0.7 if absent, the model's own if
            None), ``max_tokens``, ``provider`` (put before a model's name that does not begin with it) and ``lm``
            (``"module:attribute"`` of a function that is called with all the others and returns the model).
        loader: Imports that function.
        hide: Is told the key before anybody else, to keep it out of all replies.

    Raises:
        Refused: The config is wrong, or a model cannot be made of it.
    """
    given = _checked(config)
    if "api_key" in given:
        hide(given["api_key"])
    dspy = _import_dspy()
    model, provider, factory = given["model"], given.pop("provider", None), given.pop("lm", None)
    if provider is not None and not model.startswith(f"{provider}/"):
        model = f"{provider}/{model}"
    try:
        if factory is None:
            lm = dspy.LM(**{**given, "model": model}, cache=_caching())
        else:
            make: Any = loader.function(factory)
            lm = make(**given) if provider is None else make(**given, provider=provider)
    except Refused:
        raise
    except Exception as exc:
        raise invalid_arguments(f"the language model cannot be made: {summary(exc)}", exc) from exc
    if not isinstance(lm, dspy.BaseLM):
        raise invalid_arguments(f"{factory!r} must return a dspy.BaseLM, not {type(lm).__name__}")
    dspy.configure(lm=lm)
    if provider is None and "/" in model:
        provider = model.partition("/")[0]
    return {"status": "configured", "model": model, "provider": provider, "temperature": given["temperature"]}


def make_call(
    program_type: str, signature: Signature, config: dict[str, Any], loader: Loader
) -> tuple[Callable[[str, dict[str, Any]], dict[str, Any]], dict[str, Any]]:
    """Return a function that runs a program, and what to tell of the program beside its signature.

    Args:
        program_type: ``predict``, ``chain_of_thought`` or ``react``.
        signature: What goes in and comes out. The thoughts that the latter two add to the outputs are dropped, unless
            the signature has an output ``reasoning``.
        config: ``tools`` and ``max_iters`` for ``react``.
        loader: Imports the tools.

    Raises:
        Refused: A tool cannot be imported or used, DSPy cannot take the signature, or there is no DSPy.
    """
    _check_names(program_type, signature)
    references = _tool_references(config.get("tools"))
    arguments: dict[str, Any] = {}
    if config.get("max_iters") is not None:
        arguments["max_iters"] = _positive(config["max_iters"], "max_iters")
    dspy = _import_dspy()
    if program_type == "react":
        arguments["tools"] = _tools(dspy, references, loader)
    kind = {"predict": dspy.Predict, "chain_of_thought": dspy.ChainOfThought, "react": dspy.ReAct}[program_type]
    try:
        with warnings.catch_warnings():
            # A field `json` hides a method that nobody calls.
            warnings.filterwarnings("ignore", message="Field name .* shadows", category=UserWarning)
            module = kind(_dspy_signature(dspy, signature), **arguments)
    except Exception as exc:
        raise invalid_arguments(f"DSPy cannot make a program of this signature: {summary(exc)}", exc) from exc

    def call(program_id: str, inputs: dict[str, Any]) -> dict[str, Any]:
        if dspy.settings.lm is None:
            raise invalid_arguments(
                f"program {program_id!r} did not run: No LM is loaded. Send the command configure_lm first."
            )
        inputs = {name: _to_text(name, value) for name, value in inputs.items()}
        with dspy.context(trace=None, disable_history=True):
            prediction = module(**inputs)
        return {name: _from_text(field, prediction[name]) for name, field in signature.outputs.items()}

    return call, {"tools": references, "max_iters": module.max_iters} if program_type == "react" else {}


def _import_dspy() -> Any:
    # For LiteLLM, should DSPy need it: the prices it has with it will do.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    try:
        # Not by a statement: type checkers would follow it into a hundred thousand lines without types.
        dspy: Any = __import__("dspy")
    except Exception as exc:
        if isinstance(exc, ModuleNotFoundError) and exc.name == "dspy":
            raise invalid_arguments(
                "this needs DSPy, which is not installed here: pip install trio_pool[dspy]"
            ) from exc
        raise invalid_arguments(f"DSPy cannot be imported: {summary(exc)}", exc) from exc
    # DSPy makes its cache when it first looks at it; an application that uses DSPy itself may have made its own.
    if not _caching() and "cache" not in vars(dspy):
        dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)
    return dspy


def _caching() -> bool:
    return bool(os.environ.get(_CACHE_FOLDER))


def _checked(config: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that were given, and the temperature in any case."""
    # No message has a value in it: it might be the key, put where something else belongs.
    for key in config:
        if key not in _MODEL_KEYS:
            raise invalid_arguments(
                f"unknown key {key!r:.80} in a language model's config; known are {', '.join(_MODEL_KEYS)}"
            )
    given = {key: value for key, value in config.items() if value is not None}
    for key in _TEXT_KEYS:
        if key in given and (not isinstance(given[key], str) or not given[key]):
            raise invalid_arguments(f"a language model's {key} must be a non-empty str")
    if "model" not in given:
        raise invalid_arguments("a language model's config lacks its model")
    temperature = config.get("temperature", TEMPERATURE)
    if temperature is not None:
        if type(temperature) not in (int, float) or not math.isfinite(temperature) or temperature < 0:
            raise invalid_arguments("a language model's temperature must be a number that is not negative")
        temperature = float(temperature)
    given["temperature"] = temperature
    if "max_tokens" in given:
        _positive(given["max_tokens"], "a language model's max_tokens")
    return given


def _check_names(program_type: str, signature: Signature) -> None:
    both = signature.inputs.keys() & signature.outputs.keys()
    if both:
        raise invalid_arguments(f"a program of type {program_type!r} cannot have {min(both)!r} as input and as output")
    no_input = _NOT_FIELDS | _NOT_INPUTS | _NOT_INPUTS_OF[program_type]
    no_output = _NOT_FIELDS | _NOT_OUTPUTS_OF.get(program_type, frozenset())
    for side, fields, names in (("input", signature.inputs, no_input), ("output", signature.outputs, no_output)):
        for name in fields:
            if name in names or name.startswith("_"):
                raise invalid_arguments(
                    f"a program of type {program_type!r} cannot have an {side} {name!r}: DSPy reserves it"
                )


def _dspy_signature(dspy: Any, signature: Signature) -> Any:
    fields: dict[str, tuple[Any, Any]] = {}
    for side, types, make in (
        (signature.inputs, _INPUT_TYPES, dspy.InputField),
        (signature.outputs, _OUTPUT_TYPES, dspy.OutputField),
    ):
        for name, field in side.items():
            kind = _PLAIN_TYPES.get(field.kind) or types[field.kind]
            fields[name] = (kind, make(desc=field.description) if field.description else make())
    return dspy.Signature(fields)


def _tool_references(given: object) -> list[str]:
    if given is None:
        return []
    if not _is_list(given) or not all(isinstance(reference, str) for reference in given):
        raise invalid_arguments("the tools of a program of type 'react' must be a list of 'module:function'")
    return given


def _tools(dspy: Any, references: list[str], loader: Loader) -> list[Any]:
    tools: list[Any] = []
    names = {_FINISH: "DSPy's own"}
    for reference in references:
        function = loader.function(reference)
        kind = unfinished(function)
        if kind is not None:
            raise invalid_arguments(f"{reference!r} is {kind}; a tool must be a plain function")
        try:
            tool = dspy.Tool(function)
        except Exception as exc:
            raise invalid_arguments(f"{reference!r} cannot be a tool: {summary(exc)}", exc) from exc
        if tool.name in names:
            raise invalid_arguments(f"the tools {names[tool.name]} and {reference!r} have the same name, {tool.name!r}")
        names[tool.name] = repr(reference)
        tools.append(tool)
    return tools


def _positive(value: object, what: str) -> int:
    if type(value) is not int or value < 1:  # a bool is no number of anything
        raise invalid_arguments(f"{what} must be a positive int")
    return value


def _to_text(name: str, value: Any) -> Any:
    """Return an input as a model can be shown it: bytes are the UTF-8 of a text, or nothing a model can read."""
    if isinstance(value, memoryview):
        value = value.tobytes()
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError as exc:
        raise invalid_arguments(
            f"input {name!r} is for a language model and must be text; these bytes are no UTF-8"
        ) from exc


def _from_text(field: Field, value: Any) -> Any:
    return value.encode() if field.kind == "bytes" else value


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)
