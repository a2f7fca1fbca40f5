"""Decodes the Kafka records that Runcast wrote, and prints a line of JSON for each: what a Python user would write.

Usage: consume.py dashstream.v1 | chat.v1, once grpc_tools.protoc has made the Python of these packages beside this file.
stdin: for each record its length (4 bytes, big-endian, -1 for none) and its value, as `kcat -f '%R%s'` writes them.
It must never take a record for what it is not: one that cannot be read is named on stderr, and the exit code is 1.
"""

import importlib
import json
import sys
from collections.abc import Iterator
from typing import BinaryIO

import zstandard
from google.protobuf.json_format import MessageToDict

# Protobuf in one record: what Runcast writes at most.
BODY_BYTES_MAX = 1_048_576
# A frame may ask for no more memory than the largest body needs.
WINDOW_BYTES_MAX = 2 * BODY_BYTES_MAX

# The module of a package, whatever its version, and the message that a record holds.
MESSAGES = {"dashstream": ("dashstream_pb2", "DashStreamMessage"), "chat": ("events_pb2", "EventEnvelope")}


def main() -> int:
    package = sys.argv[1] if len(sys.argv) == 2 else ""
    name = package.partition(".")[0]
    if name not in MESSAGES:
        print("usage: consume.py dashstream.v1 | chat.v1, with records on stdin", file=sys.stderr)
        return 2
    module, message = MESSAGES[name]
    kind = getattr(importlib.import_module(f"{package}.{module}"), message)
    failed = 0
    for number, payload in enumerate(records(sys.stdin.buffer), 1):
        try:
            decoded = kind.FromString(unframe(payload) if name == "dashstream" else payload)
        except Exception as error:  # protobuf and zstd have a class each
            print(f"record {number}: {error}", file=sys.stderr)
            failed = 1
            continue
        print(json.dumps(MessageToDict(decoded, preserving_proto_field_name=True)), flush=True)
    return failed


def records(stream: BinaryIO) -> Iterator[bytes]:
    while length := stream.read(4):
        size = int.from_bytes(length, "big", signed=True)
        if size < 0:
            continue
        payload = stream.read(size) if size <= BODY_BYTES_MAX + 1 else b""
        if len(length) < 4 or len(payload) < size:
            raise SystemExit("the input is cut off, or is no series of records")
        yield payload


def unframe(payload: bytes) -> bytes:
    """The protobuf in a payload of DashStream: 0x00 and protobuf, or 0x01 and one zstd frame of it."""
    first, rest = payload[:1], payload[1:]
    if first == b"\x00":
        return rest
    if first != b"\x01":
        raise ValueError(f"it begins with {first.hex() or 'nothing'}, not with 00 or 01")
    # Asked before anything is allocated: the library believes the size that a frame claims.
    if zstandard.frame_content_size(rest) > BODY_BYTES_MAX:
        raise ValueError("its zstd frame holds too much")
    zstd = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES_MAX)
    return zstd.decompress(rest, max_output_size=BODY_BYTES_MAX, allow_extra_data=False)


sys.exit(main())
