"""A client by the library websockets, which tries a server at the URL it is given."""
import asyncio
import sys

import websockets

URL = sys.argv[1]


async def echo():
    async with websockets.connect(URL + "/echo", subprotocols=["chat"], max_size=32 << 20) as socket:
        assert socket.subprotocol == "chat", socket.subprotocol
        assert socket.protocol.extensions, "no compression was agreed on"
        for size in (0, 1, 125, 126, 65535, 65536, 1 << 20):
            await socket.send(b"ab" * size)
            assert await socket.recv() == b"ab" * size, size
        await socket.send(iter(["one,", "two,", "three"]))  # three fragments
        assert await socket.recv() == "one,two,three"
        await socket.close(4242, "enough")
    assert socket.close_code == 4242, socket.close_code


async def tail():
    received = 0
    async with websockets.connect(URL + "/tail", subprotocols=["chat"]) as socket:
        async def talk():
            while True:
                await socket.send(bytes(1 << 12))
                await asyncio.sleep(0.001)

        talking = asyncio.create_task(talk())
        try:
            async for message in socket:
                received += len(message)
        except websockets.ConnectionClosedError:
            pass
        talking.cancel()
        await asyncio.gather(talking, return_exceptions=True)
    assert (received, socket.close_code) == (96 << 16, 4001), (received, socket.close_code)


async def main():
    await echo()
    await tail()
    print("ok")


asyncio.run(main())
