"""A closed gate lets out who is inside and nobody in."""

import asyncio
import json
from typing import Any

from serve.replicas.drain_gate import DrainGate

SCOPE = {"type": "http", "path": "/v1/domains"}


def test_a_closed_gate_waits_for_those_inside_and_says_503() -> None:
    async def run() -> None:
        gate, may_go, sent = DrainGate(), asyncio.Event(), []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await may_go.wait()
            await send("answer")

        async def send(message: Any) -> None:
            sent.append(message)

        behind = gate.wrap(app)
        inside = asyncio.create_task(behind(dict(SCOPE), None, send))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        closing = asyncio.create_task(gate.close(10))
        await asyncio.sleep(0.01)
        assert not closing.done()
        await behind(dict(SCOPE), None, send)  # type: ignore[arg-type]
        assert sent[0]["status"] == 503
        assert json.loads(sent[1]["body"])["error"]["code"] == "shutting_down"
        may_go.set()
        await closing
        await inside
        assert sent[2:] == ["answer"]
        gate.open()
        await behind(dict(SCOPE), None, send)  # type: ignore[arg-type]
        assert sent[3:] == ["answer"]

    asyncio.run(run())


def test_it_does_not_wait_for_ever() -> None:
    async def run() -> None:
        gate = DrainGate()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await asyncio.sleep(3600)

        task = asyncio.create_task(gate.wrap(app)(dict(SCOPE), None, None))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        await gate.close(0.01)
        assert gate.is_closed
        assert not task.done()
        task.cancel()

    asyncio.run(run())
