"""A producer of fiso.v1.Events: python3 producer.py ADDRESS PROTO COUNT [IDLE_SECONDS [PING_MILLISECONDS]]

It publishes COUNT events by PublishStream, each until it is settled, and prints a line
of JSON for each settled event, and a summary at the end. It waits IDLE_SECONDS on its
first stream before it sends, and pings every PING_MILLISECONDS."""

import collections
import json
import sys
import threading
import time

import grpc
from google.rpc import code_pb2, error_details_pb2

import fiso_events

ADDRESS, PROTO, COUNT = sys.argv[1], sys.argv[2], int(sys.argv[3])
IDLE = float(sys.argv[4]) if len(sys.argv) > 4 else 0
PING = int(sys.argv[5]) if len(sys.argv) > 5 else 0
KEYS = 97

pb, service, ce = fiso_events.load(PROTO)

# The stream may be opened again after these. Any other status needs a person.
TRANSIENT = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)


class Lane:
    """The events of one key, or one event without a key."""

    def __init__(self, key):
        self.key = key
        self.todo = collections.deque()  # in the order in which they are sent
        self.in_flight = 0
        self.failed = []  # to be sent again, once none is in flight
        self.not_before = 0.0

    def sendable(self, now):
        return self.todo and not self.failed and now >= self.not_before

    def answered(self, number, again, delay=0.0):
        self.in_flight -= 1
        if again:
            self.failed.append(number)
            self.not_before = max(self.not_before, time.monotonic() + delay)
        if self.failed and self.in_flight == 0:
            self.todo.extendleft(sorted(self.failed, reverse=True))
            self.failed = []


class Stream:
    def __init__(self):
        self.settings = None
        self.seq = 0
        self.sent = {}  # by seq: lane, number of the event, bytes
        self.bytes = 0
        self.closing = False  # the receiver drains, or the call has ended


class Producer:
    def __init__(self):
        self.changed = threading.Condition()
        self.lanes = collections.deque(Lane(b"key-%d" % key) for key in range(KEYS))
        for number in range(COUNT):
            if number % 10 == 0:
                self.lanes.append(Lane(None))
                self.lanes[-1].todo.append(number)
            else:
                self.lanes[number % KEYS].todo.append(number)
        self.left = COUNT
        self.summary = {"streams": 0, "drains": 0, "broken": 0, "again": 0, "rejected": 0}

    def take(self, stream):
        """Takes the next event that may be sent, as a request, or None."""
        settings, now = stream.settings, time.monotonic()
        if settings is None or len(stream.sent) >= settings.max_in_flight:
            return None
        for _ in range(len(self.lanes)):
            lane = self.lanes[0]
            self.lanes.rotate(-1)
            if not lane.sendable(now):
                continue
            request = self.request(stream.seq + 1, lane, lane.todo[0])
            size = request.event.ByteSize()
            if stream.sent and stream.bytes + size > settings.max_in_flight_bytes:
                return None
            stream.seq += 1
            stream.sent[stream.seq] = (lane, lane.todo.popleft(), size)
            stream.bytes += size
            lane.in_flight += 1
            return request
        return None

    @staticmethod
    def request(seq, lane, number):
        event = ce.CloudEvent(id=f"event-{number}", source="/peer/python", spec_version="1.0", type="peer.counted")
        event.attributes["datacontenttype"].ce_string = "application/json"
        event.attributes["number"].ce_integer = number
        event.binary_data = json.dumps({"number": number}).encode()
        return pb.PublishStreamRequest(event=pb.StreamEvent(seq=seq, key=lane.key, event=event))

    def requests(self, stream):
        """Gives what to send. Its end closes this half of the stream."""
        while True:
            with self.changed:
                request = None
                while request is None:
                    if stream.closing or self.left == 0:
                        return
                    request = self.take(stream)
                    if request is None:
                        self.changed.wait(0.02)  # a lane may wait for its delay
            yield request

    def receive(self, stream, response):
        if IDLE and response.HasField("settings") and self.summary["streams"] == 1:
            time.sleep(IDLE)
        with self.changed:
            if response.HasField("settings"):
                stream.settings = response.settings
            elif response.HasField("drain"):
                self.summary["drains"] += 1
                stream.closing = True
            elif response.HasField("result"):
                self.result(stream, response.result)
            self.changed.notify_all()

    def result(self, stream, result):
        lane, number, size = stream.sent.pop(result.seq)
        stream.bytes -= size
        code = result.status.code
        if code in (code_pb2.OK, code_pb2.INVALID_ARGUMENT):
            lane.answered(number, again=False)
            self.left -= 1
            self.summary["rejected"] += code != code_pb2.OK
            print(json.dumps({"id": f"event-{number}", "outcome": pb.Outcome.Name(result.outcome)}))
            return
        if code not in (code_pb2.UNAVAILABLE, code_pb2.RESOURCE_EXHAUSTED):
            sys.exit(f"event-{number}: {result.status}")
        info = error_details_pb2.RetryInfo()
        if not any(detail.Unpack(info) for detail in result.status.details):
            sys.exit(f"event-{number}: no RetryInfo: {result.status}")
        self.summary["again"] += 1
        lane.answered(number, again=True, delay=info.retry_delay.ToTimedelta().total_seconds())

    def ended(self, stream):
        """Makes the events without a result ready to be sent on the next stream."""
        with self.changed:
            stream.closing = True
            for lane, number, _ in stream.sent.values():
                lane.answered(number, again=True)
            self.changed.notify_all()

    def run(self, stub):
        while self.left:
            self.summary["streams"] += 1
            stream = Stream()
            try:
                for response in stub.PublishStream(self.requests(stream), wait_for_ready=True):
                    self.receive(stream, response)
            except grpc.RpcError as error:
                if error.code() not in TRANSIENT:
                    raise
                self.summary["broken"] += 1
                time.sleep(0.05)
            finally:
                self.ended(stream)
        print(json.dumps({"summary": self.summary}))


options = []
if PING:
    options = [("grpc.keepalive_time_ms", PING), ("grpc.keepalive_timeout_ms", 5000), ("grpc.keepalive_permit_without_calls", 1), ("grpc.http2.max_pings_without_data", 0)]
with grpc.insecure_channel(ADDRESS, options) as channel:
    Producer().run(service.EventsStub(channel))
