"""A word with a running QEMU over its monitor socket (QEMU Machine Protocol)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Literal, TypeAlias

from qemu.qmp import ExecInterruptedError, QMPClient, QMPError

from isobench.errors import ToolError

Accelerator: TypeAlias = Literal["kvm", "tcg"]

_TIMEOUT_S = 5.0


def running_accelerator(socket: Path) -> Accelerator:
    """What really executes the guest's instructions, by ``query-kvm``.

    Raises ToolError when nobody answers on the socket.
    """

    async def ask() -> Accelerator:
        async with _monitor(socket) as client:
            answer = await client.execute("query-kvm")
        return "kvm" if isinstance(answer, dict) and answer.get("enabled") else "tcg"

    return asyncio.run(ask())


def quit_machine(socket: Path) -> None:
    """End QEMU at once, as its ``quit`` command does: exit code 0, the guest is not asked.

    Raises ToolError when nobody answers on the socket.
    """

    async def ask() -> None:
        async with _monitor(socket) as client:
            with suppress(ExecInterruptedError):  # it may be gone before it has answered
                await client.execute("quit")

    asyncio.run(ask())


@asynccontextmanager
async def _monitor(socket: Path) -> AsyncIterator[QMPClient]:
    client = QMPClient("isobench")
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            await client.connect(str(socket))
            try:
                yield client
            finally:
                # Raises what ended the connection, and the end of QEMU is what `quit` is for.
                with suppress(EOFError, ConnectionError):
                    await client.disconnect()
    except (QMPError, OSError, EOFError) as error:  # TimeoutError is an OSError
        raise ToolError(f"the QEMU monitor {socket}: {type(error).__name__} {error}") from error
