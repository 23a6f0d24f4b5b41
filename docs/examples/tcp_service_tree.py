"""A TCP service as a tree: connections crash, then the listener does, and the service goes on."""

import trio

import trio_pool
from trio_pool import ChildSpec, dynamic_supervisor_spec, open_supervisor


async def answer(stream: trio.SocketStream) -> None:
    """Serve one connection; a request that is no number crashes this connection and no other."""
    async with stream:
        async for line in stream:
            await stream.send_all(b"%d" % (int(line) ** 2))


async def listen(
    connections: trio_pool.Child, port: list[int], fault: list[trio.Event], *, task_status: trio.TaskStatus[int]
) -> None:
    """Accept connections and hand each to the dynamic supervisor."""
    (listener,) = await trio.open_tcp_listeners(port[0], host="127.0.0.1")
    async with listener, trio.open_nursery() as nursery:
        nursery.start_soon(fail, fault[0])
        port[0] = listener.socket.getsockname()[1]  # after a restart it listens where its clients look for it
        task_status.started(port[0])
        while True:
            stream = await listener.accept()
            # The handle stays the same when the supervisor behind it is restarted; its value is the one of now.
            assert isinstance(connections.value, trio_pool.DynamicSupervisor)
            await connections.value.start_child(stream)


async def fail(fault: trio.Event) -> None:
    await fault.wait()
    raise OSError("the network is gone")


async def ask(port: int, request: bytes) -> None:
    """Be a client."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(request)
        print(request.decode(), "->", (await stream.receive_some()).decode() or "connection lost")


async def main() -> None:
    port, fault = [0], [trio.Event()]
    connection = ChildSpec(id="connection", start=answer, restart="temporary")
    up_again = trio.Event()

    def observe(event: trio_pool.SupervisorEvent) -> None:
        if isinstance(event, trio_pool.ChildStarted) and event.child_id == "listener" and event.restarts:
            up_again.set()

    # The listener comes second: it needs the connections' supervisor, and is restarted when that is.
    async with open_supervisor("rest_for_one", on_event=observe) as service:
        connections = await service.start_child(dynamic_supervisor_spec("connections", connection, max_children=100))
        listener = await service.start_child(ChildSpec(id="listener", start=listen, args=(connections, port, fault)))
        await ask(port[0], b"3")
        await ask(port[0], b"four")
        await ask(port[0], b"5")
        broken, fault[0] = fault[0], trio.Event()
        broken.set()
        await up_again.wait()
        await ask(port[0], b"6")
        print("the listener was restarted", listener.restarts, "time")


if __name__ == "__main__":
    trio.run(main)

# Prints:
# 3 -> 9
# four -> connection lost
# 5 -> 25
# 6 -> 36
# the listener was restarted 1 time
