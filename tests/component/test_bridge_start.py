"""The start of a worker process: from its first line to ready, or to a word about what prevented it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from _wire import BOOTSTRAP, LIBRARY, PATIENCE, raw_worker, ready_worker

from trio_pool._core._frames import encode_header
from trio_pool._core._messages import CODEC, PROTOCOL, encode_json

if TYPE_CHECKING:
    from _wire import RawWorker

APP = "_wire_app:bridge"


def failed(worker: RawWorker) -> dict[str, Any]:
    """Return the error of a worker that could not start, which must then exit with 1."""
    message = worker.receive()
    assert message["type"] == "failed", message
    assert message["error"]["kind"] == "init"
    assert worker.exit_code() == 1
    error: dict[str, Any] = message["error"]
    return error


def test_a_worker_says_ready_once_its_application_is_loaded() -> None:
    """Ready tells the version, the codec, the process and the commands."""
    with raw_worker() as worker:
        ready = worker.receive()
        assert (ready["type"], ready["protocol"], ready["codec"]) == ("ready", PROTOCOL, CODEC)
        assert ready["pid"] == worker.process.pid
        assert ready["begun"] == "page"
        assert {"ping", "echo", "create_program"} <= set(ready["commands"])


def test_a_ready_worker_has_imported_nothing_heavy() -> None:
    """Starting a worker costs what the bridge needs, and no library beyond it."""
    heavy = ["trio", "attr", "attrs", "cattrs", "msgspec", "typing", "inspect", "logging", "asyncio", "traceback"]
    # Coverage measurement would be started by a .pth file, with all that it imports.
    with ready_worker(env={"COVERAGE_PROCESS_START": "", "COVERAGE_PROCESS_CONFIG": ""}) as worker:
        found = [
            name
            for number, name in enumerate(heavy, 1)
            if worker.call(number, "__call__", {"function": "sys:modules.__contains__", "args": [name]})["result"]
        ]
        assert found == []


def test_a_worker_starts_in_little_more_than_the_interpreter_does(record_property: Any) -> None:
    """The time to ready is on record beside a bare interpreter's; it is a measurement, not a limit."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True, timeout=PATIENCE)
    bare = time.perf_counter() - started
    started = time.perf_counter()
    with ready_worker():
        ready = time.perf_counter() - started
    print(f"bare interpreter {bare * 1e3:.1f} ms, spawn to ready {ready * 1e3:.1f} ms")  # noqa: T201  # the purpose
    record_property("ready_ms", ready * 1e3)
    assert bare > 0


def test_a_worker_without_a_page_says_so() -> None:
    """A launcher that offers no page gets a worker that announces no begun word."""
    with raw_worker(page=False) as worker:
        assert worker.receive()["begun"] is None
        assert worker.call(1, "ping")["success"]


def test_what_the_application_prints_at_import_comes_out_of_the_output_pipe() -> None:
    """Banners never touch the protocol."""
    with ready_worker(APP) as worker:
        assert worker.output.readline() == b"a banner at import\n"
        assert worker.output.readline() == b"and one that passes by sys.stdout\n"


@pytest.mark.parametrize(
    ("app", "kind", "words"),
    [
        ("no_such_module:bridge", "ModuleNotFoundError", "no_such_module"),
        ("_wire_app:no_such_name", "AttributeError", "no_such_name"),
        ("_wire_app:meet", "TypeError", "must be a trio_pool.bridge.Bridge"),
        ("_wire_app", "ValueError", "module:attribute"),
        ("__main__:bridge", "ImportError", "main module"),
        ("broken:raises", "ZeroDivisionError", "division"),
    ],
)
def test_an_application_that_cannot_be_loaded_is_reported(app: str, kind: str, words: str, tmp_path: Path) -> None:
    """A failed frame says why before the worker exits with 1."""
    (tmp_path / "broken.py").write_text("1 / 0\n")
    with raw_worker(app, sys_path=[str(tmp_path)]) as worker:
        error = failed(worker)
        assert error["type"] == kind
        assert words in error["message"]
        assert error["traceback"].startswith("Traceback")


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("def f(:\n", "SyntaxError"),
        ("import sys; sys.exit(7)\n", "SystemExit"),
        ("raise KeyboardInterrupt\n", "KeyboardInterrupt"),
        ("bridge.on_start(lambda: 1 / 0)\n", "ZeroDivisionError"),
        ("@bridge.command\ndef f(x: 'Nothing'): pass\n", "TypeError"),
    ],
)
def test_whatever_goes_wrong_before_ready_is_reported(source: str, kind: str, tmp_path: Path) -> None:
    """No way of failing to start is silent, be it a call of sys.exit."""
    (tmp_path / "broken.py").write_text(f"from trio_pool.bridge import Bridge\nbridge = Bridge()\n{source}")
    with raw_worker("broken:bridge", sys_path=[str(tmp_path)]) as worker:
        assert failed(worker)["type"] == kind


@pytest.mark.parametrize("wrong", [{"protocol": 2}, {"protocol": None}, {"codec": "pickle"}], ids=str)
def test_a_protocol_the_worker_does_not_speak_is_refused(wrong: dict[str, object]) -> None:
    """Versions that do not fit are told apart from crashes."""
    with raw_worker(hello=wrong) as worker:
        assert "this worker speaks protocol 1 with 'msgpack'" in failed(worker)["message"]


SCRIPT = """
from trio_pool.bridge import Bridge

bridge = Bridge()

@bridge.command
def name() -> str:
    return __name__

def double(n):
    return 2 * n

if __name__ == "__main__":
    raise SystemExit("the guarded part ran")
"""


def test_a_main_script_is_imported_again_by_its_path(tmp_path: Path) -> None:
    """Its guarded part does not run, and its functions can be called."""
    path = tmp_path / "my script.py"
    path.write_text(SCRIPT)
    with ready_worker("__main__:bridge", main={"path": str(path)}) as worker:
        assert worker.call(1, "name")["result"] == "__mp_main__"
        assert worker.call(2, "__call__", {"function": "__main__:double", "args": [4]})["result"] == 8


def test_a_main_script_is_compiled_as_it_was_written(tmp_path: Path) -> None:
    """No future statement of this library's own modules leaks into it: its annotations are what they say."""
    path = tmp_path / "script.py"
    path.write_text("def f(x: int): pass\ndef annotations():\n    return [f.__annotations__ == {'x': int}]\n")
    with ready_worker(main={"path": str(path)}) as worker:
        assert worker.call(1, "__call__", {"function": "__main__:annotations", "args": []})["result"] == [True]


def test_a_folder_run_as_a_script_is_imported_again_by_the_path_of_its_main(tmp_path: Path) -> None:
    """``python folder/`` finds the modules beside its ``__main__.py``, as in the application."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "beside.py").write_text("NUMBER = 3\n")
    main = folder / "__main__.py"
    main.write_text("from beside import NUMBER\n" + SCRIPT + "\ndef number():\n    return NUMBER\n")
    with ready_worker("__main__:bridge", main={"path": str(main)}, sys_path=[str(folder)]) as worker:
        assert worker.call(1, "name")["result"] == "__mp_main__"
        assert worker.call(2, "__call__", {"function": "__main__:number", "args": []})["result"] == 3


UNUSABLE_MAINS: dict[str, tuple[dict[str, str] | None, str]] = {
    "none": (None, "neither a name nor a file"),
    "the bootstrap's name": ({"name": "__main__"}, "no name but '__main__'"),
    "a worker's own name": ({"name": "__mp_main__"}, "no name but '__mp_main__'"),
    "in a zip archive": ({"path": "app.zip/__main__.py"}, "is no file"),
    "standard input": ({"path": "<stdin>"}, "is no file"),
    # As bash's process substitution makes them; to open it would wait for ever.
    "a pipe": ({"path": "pipe"}, "is no file"),
}


@pytest.mark.parametrize(("main", "words"), UNUSABLE_MAINS.values(), ids=UNUSABLE_MAINS)
def test_a_main_module_that_cannot_be_imported_again_is_refused_in_a_sentence(
    main: dict[str, str] | None, words: str, tmp_path: Path
) -> None:
    """As the home of the application or of a function; a worker that needs nothing of it does not mind."""
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as archive:
        archive.writestr("__main__.py", SCRIPT)
    os.mkfifo(tmp_path / "pipe")
    if main is not None and "path" in main:
        main = {"path": str(tmp_path / main["path"])}
    with raw_worker("__main__:bridge", main=main) as worker:
        error = failed(worker)
        assert error["type"] == "ImportError"
        assert error["message"].startswith("the application's main module cannot be imported again: ")
        assert words in error["message"]
    with ready_worker(main=main) as worker:
        refused = worker.call(1, "__call__", {"function": "__main__:double", "args": [1]})["error"]
        assert refused["kind"] == "invalid_arguments"
        assert words in refused["message"]
        assert "\n" not in refused["message"]
        assert worker.call(2, "ping")["success"]


ARGUMENTS_APP = """
import sys
from trio_pool.bridge import Bridge

bridge = Bridge()
seen = list(sys.argv)

@bridge.command
def arguments() -> list[object]:
    return [seen, sys.argv]
"""


@pytest.mark.parametrize("argv", [["prog.py", "--flag", "\udcff\N{SNOWMAN}"], [""], []], ids=ascii)
def test_the_application_is_imported_with_its_parents_arguments(argv: list[str], tmp_path: Path) -> None:
    """``sys.argv`` is the parent's, before the first line of the application runs."""
    (tmp_path / "arguments_app.py").write_text(ARGUMENTS_APP.replace("list(sys.argv)", "list(map(ascii, sys.argv))"))
    with ready_worker("arguments_app:bridge", sys_path=[str(tmp_path)], hello={"argv": argv}) as worker:
        seen = [ascii(argument) for argument in argv]
        assert worker.call(1, "__call__", {"function": "arguments_app:seen.copy", "args": []})["result"] == seen


@pytest.mark.slow
def test_the_longest_arguments_linux_allows_fit_into_a_hello(tmp_path: Path) -> None:
    """A program started with very many file names can have a pool: 6 MiB, of which JSON makes 36."""
    (tmp_path / "arguments_app.py").write_text(ARGUMENTS_APP)
    argv = ["prog.py", "\udcff" * (6 * 2**20)]
    with ready_worker("arguments_app:bridge", sys_path=[str(tmp_path)], hello={"argv": argv}) as worker:
        assert worker.call(1, "__call__", {"function": "arguments_app:seen.__len__", "args": []})["result"] == 2


def test_a_hello_without_arguments_leaves_them_as_they_are(tmp_path: Path) -> None:
    """A parent that does not say is not guessed at."""
    (tmp_path / "arguments_app.py").write_text(ARGUMENTS_APP)
    with ready_worker("arguments_app:bridge", sys_path=[str(tmp_path)]) as worker:
        assert worker.call(1, "arguments")["result"] == [[BOOTSTRAP], [BOOTSTRAP]]


def test_a_main_module_is_imported_again_by_its_name(tmp_path: Path) -> None:
    """A module run with -m, in a package too, is imported as itself."""
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "tool.py").write_text("from . import __name__ as parent\n" + SCRIPT)
    with ready_worker("__main__:bridge", main={"name": "package.tool"}, sys_path=[str(tmp_path)]) as worker:
        assert worker.call(1, "name")["result"] == "package.tool"


def test_a_function_of_the_main_script_is_called_under_any_application(tmp_path: Path) -> None:
    """run_sync imports the main script when it is first needed."""
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    with ready_worker(main={"path": str(path)}) as worker:
        call = {"function": "__main__:double", "args": [21]}
        assert [worker.call(number, "__call__", call)["result"] for number in (1, 2)] == [42, 42]


def test_a_main_script_that_fails_can_be_asked_for_again(tmp_path: Path) -> None:
    """A failed import is not remembered as done."""
    path = tmp_path / "script.py"
    path.write_text("1 / 0\n")
    call = {"function": "__main__:double", "args": [1]}
    with ready_worker(main={"path": str(path)}) as worker:
        assert "ZeroDivisionError" in worker.call(1, "__call__", call)["error"]["message"]
        path.write_text(SCRIPT)
        assert worker.call(2, "__call__", call)["result"] == 2


def test_a_script_without_a_guard_does_not_start_workers_without_end(tmp_path: Path) -> None:
    """A worker started while a main script is imported again refuses, and says what the script lacks."""
    path = tmp_path / "script.py"
    path.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "from _wire import raw_worker\n"
        "with raw_worker('__main__:bridge', main={'path': __file__}) as worker:\n"
        "    raise ValueError(worker.receive()['error']['message'])\n"
    )
    with raw_worker("__main__:bridge", main={"path": str(path)}) as worker:
        assert "if __name__ == '__main__'" in failed(worker)["message"]


def test_the_library_is_found_beside_the_bootstrap_if_the_path_lacks_it(tmp_path: Path) -> None:
    """An application that found the library by other means than sys.path gets working workers too."""
    site = [path for path in sys.path if Path(path) != Path(LIBRARY) and Path(path).exists()]
    with raw_worker(hello={"sys_path": [str(tmp_path), *site]}) as worker:
        assert worker.receive()["type"] == "ready"


HELLOS = {
    "no JSON": encode_header(3) + b"abc",
    "no UTF-8": encode_header(3) + b'"\xff"',
    "no map": encode_header(2) + b"[]",
    "another type": encode_json({"type": "ready"}),
    "an oversized header": b"GET ",
}


@pytest.mark.parametrize("data", HELLOS.values(), ids=HELLOS)
def test_a_first_frame_that_is_no_hello_ends_the_worker(data: bytes) -> None:
    """A parent that speaks something else is told so in the output."""
    with raw_worker(hello=None) as worker:
        worker.socket.sendall(data)
        assert worker.exit_code() == os.EX_PROTOCOL
        assert b"hello" in worker.output.read()


@pytest.mark.parametrize("data", [b"", b"\x00\x00", encode_header(10) + b"{}"], ids=["nothing", "half", "short"])
def test_a_parent_that_hangs_up_before_its_hello_leaves_no_worker(data: bytes) -> None:
    """A start that is given up costs nothing further."""
    with raw_worker(hello=None) as worker:
        worker.socket.sendall(data)
        worker.socket.close()
        assert worker.exit_code() == 0


def test_a_side_thread_that_cannot_start_is_told_with_its_cause() -> None:
    """A worker that is left without descriptors says so, as one whose application cannot be loaded."""
    with raw_worker("_starved_app:bridge") as worker:
        error = failed(worker)
        assert error["type"] == "OSError"
        assert "Too many open files" in error["message"]


def test_requests_right_behind_the_hello_are_not_lost() -> None:
    """The bootstrap reads its own frame and not a byte more."""
    with raw_worker() as worker:
        worker.send(1, "echo", {"value": "early"})
        assert worker.receive()["type"] == "ready"
        assert worker.receive()["result"] == "early"


def test_the_bootstrap_run_by_hand_explains_itself() -> None:
    """It is no command for people."""
    done = subprocess.run([sys.executable, BOOTSTRAP], capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == os.EX_USAGE
    assert "TRIO_POOL_FD" in done.stderr


def test_every_message_of_a_foreign_worker_could_be_made_with_any_json_library() -> None:
    """Hello and ready are JSON frames, whatever comes later."""
    with raw_worker() as worker:
        data = b""
        while len(data) < 4 or len(data) < 4 + int.from_bytes(data[:4], "big"):
            data += worker.socket.recv(4096)
        assert json.loads(data[4:])["type"] == "ready"
