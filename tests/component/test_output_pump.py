"""What a worker prints becomes log records, within bounds, down to its last words."""

from __future__ import annotations

import io
import logging
import os
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from _workers import PATIENCE, opened, python, spec

from trio_pool._process._local import LocalLauncher
from trio_pool._process._output import OutputPump, PipeStream

if TYPE_CHECKING:
    from collections.abc import Iterator

LOGGER = "trio_pool.worker"


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[logging.LogRecord]]:
    """Collect the records, and keep the thousands of them out of pytest's report."""
    found: list[logging.LogRecord] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", found.append)
    logger = logging.getLogger(LOGGER)
    monkeypatch.setattr(logger, "propagate", False)
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.fixture
def pipe() -> Iterator[tuple[io.FileIO, io.FileIO]]:
    read_end, write_end = (io.FileIO(fd, mode) for fd, mode in zip(os.pipe(), ("rb", "wb"), strict=True))
    with read_end, write_end:
        yield read_end, write_end


def messages(records: list[logging.LogRecord]) -> list[str]:
    """Return what was logged, without the worker's name, which every line begins with."""
    texts = [record.getMessage() for record in records]
    prefixes = [f"{record.__dict__['worker_id']}: " for record in records]
    assert all(text.startswith(prefix) for text, prefix in zip(texts, prefixes, strict=True))
    return [text.removeprefix(prefix) for text, prefix in zip(texts, prefixes, strict=True)]


async def test_each_line_is_a_record_with_the_worker_s_id(records: list[logging.LogRecord]) -> None:
    """Level INFO, logger trio_pool.worker, the id as a field, the text as printed; percent signs are no formats."""
    send, receive = trio.testing.memory_stream_one_way_pair()
    pump = OutputPump(receive, "pool-3")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pump.run)
        await send.send_all(b"hello\n100 %s of it\nunfin")
        await trio.testing.wait_all_tasks_blocked()
        assert messages(records) == ["hello", "100 %s of it"]
        await send.send_all(b"ished")
        await send.aclose()
    assert messages(records) == ["hello", "100 %s of it", "unfinished"]
    assert {(r.name, r.levelno, r.__dict__["worker_id"]) for r in records} == {(LOGGER, logging.INFO, "pool-3")}
    assert pump.tail == ("hello", "100 %s of it", "unfinished")
    assert pump.dropped == 0


async def test_the_last_words_of_a_killed_worker_are_not_lost(records: list[logging.LogRecord]) -> None:
    """All that was printed before the death arrives, even what nobody had read by then and the line never ended."""
    code = "import os; os.write(1, b''.join(b'%d\\n' % n for n in range(900)) + b'end'); os.kill(os.getpid(), 9)"
    async with opened(LocalLauncher(), spec(*python(code))) as handle:
        pump = OutputPump(handle.output, "w")
        await handle.wait()
        await pump.drain(PATIENCE)
        assert messages(records) == [*map(str, range(900)), "end"]
        assert pump.tail[-1] == "end"


async def test_a_reader_that_was_cancelled_is_taken_over_by_the_drain(records: list[logging.LogRecord]) -> None:
    """When the pool is cancelled the pump is too; the shielded drain finds what is left in the pipe."""
    async with opened(
        LocalLauncher(), spec(*python("print('first', flush=True); input() if 0 else print('last')"))
    ) as h:
        pump = OutputPump(h.output, "w")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pump.run)
            nursery.cancel_scope.cancel()
        await h.wait()
        with trio.CancelScope() as scope:
            scope.cancel()
            with trio.CancelScope(shield=True):
                await pump.drain(PATIENCE)
        assert messages(records) == ["first", "last"]


async def test_the_drain_is_bounded_when_a_stranger_holds_the_pipe(
    pipe: tuple[io.FileIO, io.FileIO], records: list[logging.LogRecord]
) -> None:
    """A grandchild that left the group may keep the pipe open for ever; the drain ends, with all that was there."""
    read_end, write_end = pipe
    stream = PipeStream(read_end)
    pump = OutputPump(stream, "w")
    write_end.write(b"one\ntwo")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pump.run)
        await trio.testing.wait_all_tasks_blocked()
        await pump.drain(0.01)
        assert messages(records) == ["one", "two"]
        # Closing the stream, which is its owner's business, ends the task that still reads.
        stream.close()


async def test_a_flood_is_read_to_its_end_dropped_and_counted(
    records: list[logging.LogRecord], autojump_clock: trio.testing.MockClock
) -> None:
    """The worker is never held up; the log takes a thousand lines a second and is told once a second what it missed."""
    send, receive = trio.testing.memory_stream_one_way_pair()
    pump = OutputPump(receive, "w")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pump.run)
        for _ in range(4):
            for _ in range(10):
                await send.send_all(b"noise\n" * 1000)
                await trio.testing.wait_all_tasks_blocked()
            await trio.sleep(1)
        await send.aclose()
    assert messages(records).count("noise") == 4000
    assert pump.dropped == 36_000
    notices = [record for record in records if record.levelno == logging.WARNING]
    assert 1 <= len(notices) <= 6
    assert sum(int(text.split()[0]) for text in messages(notices)) == 36_000
    assert {record.__dict__["worker_id"] for record in notices} == {"w"}


async def test_a_handler_that_raises_stops_the_logging_and_not_the_reading(records: list[logging.LogRecord]) -> None:
    """The application's own log handling may be broken; the worker must not come to a halt in print for it."""

    class Broken(logging.Filter):
        calls = 0

        def filter(self, record: logging.LogRecord) -> bool:
            self.calls += 1
            raise LookupError("the handler's own trouble")

    send, receive = trio.testing.memory_stream_one_way_pair()
    pump = OutputPump(receive, "w")
    broken = Broken()
    logger = logging.getLogger(LOGGER)
    logger.addFilter(broken)
    try:
        await send.send_all(b"one\ntwo\n")
        await send.aclose()
        await pump.run()
    finally:
        logger.removeFilter(broken)
    assert records == []
    assert pump.tail == ("one", "two")
    assert isinstance(pump.error, LookupError)
    assert broken.calls == 1


async def test_a_worker_without_output_has_a_pump_that_does_nothing() -> None:
    """A launcher whose workers print elsewhere gives None; the pump is done at once."""
    pump = OutputPump(None, "w")
    await pump.run()
    await pump.drain(PATIENCE)
    assert pump.tail == ()


async def test_closing_a_copy_leaves_the_pipe_non_blocking(pipe: tuple[io.FileIO, io.FileIO]) -> None:
    """A forked child of the application has such copies; their end must not stop the application's event loop."""
    stream = PipeStream(pipe[0])
    PipeStream(io.FileIO(os.dup(pipe[0].fileno()))).close()
    assert not os.get_blocking(pipe[0].fileno())
    await stream.aclose()


async def test_closing_a_pipe_wakes_its_reader(pipe: tuple[io.FileIO, io.FileIO]) -> None:
    """The reader is told with ClosedResourceError, and so is whoever comes later; closing twice is fine."""
    stream = PipeStream(pipe[0])

    async def read() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await stream.receive_some()

    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            stream.close()
    await stream.aclose()
    await read()
