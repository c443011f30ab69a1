"""Generates the Python code of fiso.v1 from its .proto and imports it."""

import io
import pathlib
import sys
import tempfile

import grpc_tools
from grpc_tools import protoc

_generated = tempfile.TemporaryDirectory()


def load(proto):
    """Returns the modules of the messages, of the service, and of CloudEvents. proto is the folder of the .proto files."""
    common = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    failed = protoc.main([
        "protoc", f"-I{proto}", f"-I{common}", f"--python_out={_generated.name}", f"--grpc_python_out={_generated.name}",
        "fiso/v1/events.proto", "io/cloudevents/v1/cloudevents.proto",
    ])
    if failed:
        sys.exit("protoc does not accept fiso/v1/events.proto")
    sys.path.insert(0, _generated.name)
    # The generated package io.cloudevents is below a module of the standard library.
    io.__path__ = [f"{_generated.name}/io"]
    from fiso.v1 import events_pb2, events_pb2_grpc
    from io.cloudevents.v1 import cloudevents_pb2

    return events_pb2, events_pb2_grpc, cloudevents_pb2
