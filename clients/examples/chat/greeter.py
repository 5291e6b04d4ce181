"""Greets over gRPC whoever comes to a channel: greeter.py CHANNEL.

SWITCHBOARD_GRPC is the hub's address for services, SWITCHBOARD_API_KEY a key with the scopes `read` and `publish`. The stubs are
generated from `proto/` at the start; a service of yours would generate them once.
"""

import json
import os
import pathlib
import signal
import sys
import tempfile

import grpc
from grpc_tools import protoc

PROTO = pathlib.Path(__file__).resolve().parents[3] / "proto"


def generate(out: str) -> None:
    files = sorted(str(path.relative_to(PROTO)) for path in (PROTO / "switchboard/api").rglob("*.proto"))
    if protoc.main(["protoc", f"-I{PROTO}", f"--python_out={out}", f"--grpc_python_out={out}", *files]) != 0:
        raise SystemExit("protoc failed")
    sys.path.insert(0, out)


def greet(channel_name: str) -> None:
    from switchboard.api.v1 import presence_pb2, presence_pb2_grpc, publish_pb2, publish_pb2_grpc

    metadata = [("authorization", "Bearer " + os.environ["SWITCHBOARD_API_KEY"])]
    with grpc.insecure_channel(os.environ["SWITCHBOARD_GRPC"], options=[("grpc.enable_http_proxy", 0)]) as connection:
        presence = presence_pb2_grpc.PresenceServiceStub(connection)
        publishing = publish_pb2_grpc.PublishServiceStub(connection)
        # A snapshot of who is there, then every join and leave, numbered.
        for change in presence.WatchPresence(presence_pb2.WatchPresenceRequest(channel=channel_name), metadata=metadata):
            if change.HasField("snapshot"):
                print("watching", flush=True)
            if change.HasField("join"):
                member = change.join.member
                text = json.dumps({"text": f"Welcome, {member.user}!"}).encode()
                # The id makes a repetition harmless: one greeting a session, whatever is retried.
                item = publish_pb2.PublishItem(channel=channel_name, json=text, id=f"greeting-{member.session}")
                publishing.Publish(publish_pb2.PublishRequest(item=item), metadata=metadata, timeout=10)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    signal.signal(signal.SIGINT, lambda *_: os._exit(0))
    with tempfile.TemporaryDirectory() as directory:
        generate(directory)
        greet(sys.argv[1])
