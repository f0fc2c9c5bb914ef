"""The socket that is handed from process to process."""

import socket
import stat
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from dgad.errors import ClusterError, SettingsError
from serve.replicas.listener import Listener, receive_socket

CHILD = """
import sys
from serve.replicas.listener import receive_socket
with receive_socket(sys.argv[1]).listening as listening:
    print("ready", flush=True)
    with listening.accept()[0] as client:
        client.sendall(b"child")
    sys.stdin.read()
"""


def ask(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        return client.recv(100)


def test_another_process_accepts_and_its_death_closes_nothing() -> None:
    with closing(Listener("127.0.0.1", 0)) as listener:
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, listener.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        assert ask(listener.port) == b"child"
        # Nobody accepts now, but who comes waits for the next, whatever becomes of the last.
        with socket.create_connection(("127.0.0.1", listener.port), timeout=10) as waiting:
            child.kill()
            child.communicate()
            with receive_socket(listener.path).listening as ours:
                assert ours.getsockname() == ("127.0.0.1", listener.port)
                assert ours.proto == socket.IPPROTO_TCP
                with ours.accept()[0] as client:
                    client.sendall(b"next")
                assert waiting.recv(100) == b"next"
    with pytest.raises(ConnectionRefusedError):
        ask(listener.port)
    with pytest.raises(ClusterError, match="No listening socket is handed out at"):
        receive_socket(listener.path)
    assert not Path(listener.path).parent.exists()


def test_nobody_else_may_have_it() -> None:
    with closing(Listener("127.0.0.1", 0)) as listener:
        assert stat.S_IMODE(Path(listener.path).parent.stat().st_mode) == 0o700


def test_what_cannot_be_listened_on_is_one_sentence() -> None:
    with closing(Listener("127.0.0.1", 0)) as listener:
        sentence = rf"127\.0\.0\.1:{listener.port} cannot be listened on \(Address already in use\): name"
        with pytest.raises(SettingsError, match=sentence), closing(Listener("127.0.0.1", listener.port)):
            pass
    with closing(Listener("127.0.0.1", listener.port)) as again:  # what lingers is in nobody's way
        assert again.port == listener.port
    for host, port in (("192.0.2.77", 0), ("127.0.0.1", 70_000), ("no such host", 0)):
        with pytest.raises(SettingsError, match="cannot be listened on"), closing(Listener(host, port)):
            pass


REPLICA = """
import asyncio, sys
from serve.replicas.listener import receive_socket
async def main():
    handed = receive_socket(sys.argv[1])
    print("ready", flush=True)
    assert await handed.wait_for_drain()
    print("told", flush=True)
    if sys.argv[2] == "answers":
        await asyncio.to_thread(sys.stdin.readline)
        handed.confirm_drained()
        handed.listening.close()
    else:
        await asyncio.sleep(600)
asyncio.run(main())
"""


def test_it_drains_who_lives_and_waits_for_nobody_who_has_died() -> None:
    with closing(Listener("127.0.0.1", 0)) as listener:
        answering, dying = (
            subprocess.Popen(
                [sys.executable, "-c", REPLICA, listener.path, how],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for how in ("answers", "dies")
        )
        assert answering.stdin is not None
        assert [_line(one) for one in (answering, dying)] == ["ready", "ready"]
        draining = threading.Thread(target=listener.drain, args=(60.0,))
        draining.start()
        assert [_line(one) for one in (answering, dying)] == ["told", "told"]
        late = receive_socket(listener.path)  # one that begins now is told at once
        with late.door, late.listening:
            assert late.door.recv(1)
        dying.kill()
        dying.wait()
        assert draining.is_alive(), "the other has something to finish"
        answering.stdin.write("finished\n")
        answering.stdin.flush()
        draining.join(20)
        assert not draining.is_alive()
        with pytest.raises(ConnectionRefusedError):
            ask(listener.port)
        for one in (answering, dying):
            one.communicate(timeout=20)


def _line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()
