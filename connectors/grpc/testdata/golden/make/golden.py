"""Writes the golden events with the classes that protoc makes for Python, and prints
those that Fiso wrote. The SDK for Python has no protobuf format: the events follow the
text of the specification, with text in text_data."""

import pathlib
import sys

from google.protobuf import any_pb2, duration_pb2
from io_cloudevents_v1 import cloudevents_pb2 as ce


def least():
    return ce.CloudEvent(id="1", source="/shop", spec_version="1.0", type="order.created")


def events():
    yield "least", least()

    e = least()
    a = e.attributes
    a["subject"].ce_string = "customer 7"
    a["time"].ce_timestamp.FromJsonString("2026-01-31T12:00:00.123456789Z")
    a["dataschema"].ce_uri = "https://example.com/order.json"
    a["datacontenttype"].ce_string = "application/json"
    a["tenant"].ce_string = "acme"
    a["attempt"].ce_integer = -7
    a["sampled"].ce_boolean = True
    e.text_data = '{"total":42.50,"name":"Zoë"}'
    yield "json", e

    e = least()
    a = e.attributes
    a["astring"].ce_string = "é"
    a["aninteger"].ce_integer = 2**31 - 1
    a["aboolean"].ce_boolean = False
    a["bytes"].ce_bytes = b"\x00\xff"
    a["auri"].ce_uri = "https://example.com/a?b=c"
    a["auriref"].ce_uri_ref = "../a"
    a["atime"].ce_timestamp.FromJsonString("1969-12-31T23:59:59.5Z")
    yield "types", e

    e = least()
    e.attributes["datacontenttype"].ce_string = "text/plain"
    e.text_data = "Grüße"
    yield "text", e

    e = least()
    e.attributes["datacontenttype"].ce_string = "application/octet-stream"
    e.binary_data = b"\x00\xff"
    yield "binary", e

    e = least()
    e.attributes["datacontenttype"].ce_string = "application/xml"
    e.text_data = "<a>é</a>"
    yield "xml", e

    e = least()
    e.proto_data.Pack(duration_pb2.Duration(seconds=90, nanos=5))
    yield "message", e


def show(path):
    e = ce.CloudEvent.FromString(path.read_bytes())
    line = [path.name, f"id={e.id} source={e.source} version={e.spec_version} type={e.type}"]
    for name in sorted(e.attributes):
        kind = e.attributes[name].WhichOneof("attr")
        value = getattr(e.attributes[name], kind)
        line.append(f"{name}={kind}:{value.ToJsonString() if kind == 'ce_timestamp' else value}")
    kind = e.WhichOneof("data")
    if kind == "proto_data":
        duration = duration_pb2.Duration()
        assert e.proto_data.Unpack(duration)
        line.append(f"{kind}={duration.ToJsonString()}")
    elif kind:
        line.append(f"{kind}={getattr(e, kind)}")
    print(" ".join(line))


golden = pathlib.Path(sys.argv[1])
(golden / "python").mkdir(exist_ok=True)
for name, event in events():
    (golden / "python" / f"{name}.binpb").write_bytes(event.SerializeToString(deterministic=True))
for path in sorted((golden / "fiso").iterdir()):
    show(path)
