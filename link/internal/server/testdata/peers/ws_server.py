"""A WebSocket server by the library websockets: /echo, /tail. It prints its port."""
import asyncio

import websockets


async def serve(socket):
    if socket.request.path.endswith("/tail"):
        # 6 MB one way while the other side talks, and then this side closes first.
        for i in range(96):
            await socket.send(bytes([i]) * (1 << 16))
        await socket.close(4001, "that was all")
        return
    async for message in socket:
        await socket.send(message)


async def main():
    async with websockets.serve(
        serve, "127.0.0.1", 0, subprotocols=["chat"], compression="deflate", max_size=32 << 20,
    ) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Future()


asyncio.run(main())
