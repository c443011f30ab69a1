"""A receiver of fiso.v1.Events: python3 receiver.py PROTO

It prints its port, and a line of JSON for each event that it takes. It hands back each
50th event once, drains the stream on which the 700th event comes, and prints a line when
the producer has closed that stream."""

import asyncio
import json
import sys

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

import fiso_events

pb, service, _ = fiso_events.load(sys.argv[1])

SETTINGS = pb.Settings(max_in_flight=64, max_in_flight_bytes=1 << 16, max_event_bytes=1 << 14)
GRACE = 5  # seconds


def unavailable():
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(nanos=20_000_000)))
    return status_pb2.Status(code=code_pb2.UNAVAILABLE, message="send it again", details=[detail])


class Stream:
    """What one call of PublishStream has taken."""

    def __init__(self, receiver):
        self.receiver = receiver
        self.responses = asyncio.Queue()  # None ends the stream
        self.unanswered = 0
        self.fences = {}  # by key: the id of the event that has to come again first
        self.draining = False

    async def read(self, requests):
        async for request in requests:
            if request.HasField("event"):
                self.take(request.event)
        while self.unanswered:
            await asyncio.sleep(0.001)
        if self.draining:
            print(json.dumps({"drained": True}), flush=True)
        self.responses.put_nowait(None)

    def take(self, stream_event):
        event, key = stream_event.event, stream_event.key if stream_event.HasField("key") else None
        if self.draining or self.handed_back(key, event.id):
            self.answer(stream_event.seq, unavailable(), pb.OUTCOME_UNSPECIFIED)
            return
        print(json.dumps({
            "id": event.id, "source": event.source, "type": event.type, "key": key and key.decode(), "data": event.binary_data.decode(),
            "time": event.attributes["time"].ce_timestamp.ToJsonString(), "attempt": event.attributes["attempt"].ce_integer,
        }), flush=True)
        self.answer(stream_event.seq, status_pb2.Status(), pb.OUTCOME_DELIVERED)
        self.receiver.taken += 1
        if self.receiver.taken == 700:
            self.draining = True
            self.responses.put_nowait(pb.PublishStreamResponse(drain=pb.Drain(grace=duration_pb2.Duration(seconds=GRACE))))
            asyncio.get_running_loop().call_later(GRACE, self.responses.put_nowait, None)

    def handed_back(self, key, event_id):
        """Reports whether the event is to be sent again, because it or an earlier one of its key is handed back."""
        if event_id not in self.receiver.seen:
            self.receiver.seen.add(event_id)
            if len(self.receiver.seen) % 50 == 0:
                if key is not None:
                    self.fences.setdefault(key, event_id)
                return True
        if self.fences.get(key) == event_id:
            del self.fences[key]
        return key in self.fences

    def answer(self, seq, status, outcome):
        """Answers after a while, so that results come in another order than events."""
        self.unanswered += 1
        result = pb.PublishStreamResponse(result=pb.Result(seq=seq, status=status, outcome=outcome))

        def put():
            self.responses.put_nowait(result)
            self.unanswered -= 1

        asyncio.get_running_loop().call_later(seq % 4 / 1000, put)


class Receiver(service.EventsServicer):
    def __init__(self):
        self.taken = 0
        self.seen = set()

    async def PublishStream(self, requests, context):
        stream = Stream(self)
        yield pb.PublishStreamResponse(settings=SETTINGS)
        reading = asyncio.create_task(stream.read(requests))
        try:
            while (response := await stream.responses.get()) is not None:
                yield response
        finally:
            reading.cancel()


async def main():
    server = grpc.aio.server()
    service.add_EventsServicer_to_server(Receiver(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


asyncio.run(main())
