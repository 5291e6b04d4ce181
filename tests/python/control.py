"""The control API from Python: stubs generated at run time from the proto files, and what the tests need of them."""

import os
import pathlib
import sys

import grpc
from grpc_tools import protoc

REASONS = ("unknown_namespace", "bad_request", "permission_denied", "unauthenticated")


def generate(out: pathlib.Path) -> None:
    """Generates the stubs into `out` and makes them importable."""
    proto = pathlib.Path(os.environ["SWITCHBOARD_PROTO"])
    out.mkdir(parents=True, exist_ok=True)
    files = sorted(str(path.relative_to(proto)) for path in (proto / "switchboard").rglob("*.proto"))
    code = protoc.main(["protoc", f"-I{proto}", f"--python_out={out}", f"--grpc_python_out={out}", *files])
    if code != 0:
        raise SystemExit(f"protoc failed with {code}")
    sys.path.insert(0, str(out))


class Control:
    """A connection with the API key of the environment."""

    def __init__(self, out: pathlib.Path) -> None:
        generate(out)
        from switchboard.api.v1 import publish_pb2, publish_pb2_grpc

        self.messages = publish_pb2
        self.channel = grpc.insecure_channel(os.environ["SWITCHBOARD_GRPC"], options=[("grpc.enable_http_proxy", 0)])
        self.publishing = publish_pb2_grpc.PublishServiceStub(self.channel)
        self.metadata = [("authorization", "Bearer " + os.environ["SWITCHBOARD_API_KEY"])]

    def publish(self, channel: str, json: str) -> int:
        """Publishes JSON and gives its offset."""
        item = self.messages.PublishItem(channel=channel, json=json.encode())
        request = self.messages.PublishRequest(item=item)
        return self.publishing.Publish(request, metadata=self.metadata, timeout=10).position.offset

    def refused(self, channel: str) -> str:
        """The status code and the reason that a publish to `channel` is refused with."""
        item = self.messages.PublishItem(channel=channel, json=b"1")
        try:
            self.publishing.Publish(self.messages.PublishRequest(item=item), metadata=self.metadata, timeout=10)
        except grpc.RpcError as error:
            details = dict(error.trailing_metadata())["grpc-status-details-bin"]
            # An ErrorInfo within a Status within a header: its reason stands there as plain text.
            reason = next(code for code in REASONS if code.encode() in details)
            return f"{error.code().name} {reason}"
        raise SystemExit("it was to be refused")

    def stream(self, channel: str, count: int) -> list[int]:
        """Publishes `count` items by one stream and gives the acknowledged sequences."""

        def requests():
            for n in range(count):
                item = self.messages.PublishItem(channel=channel, json=b'{"n":%d}' % n)
                yield self.messages.PublishStreamRequest(sequence=n, item=item)

        return [ack.sequence for ack in self.publishing.PublishStream(requests(), metadata=self.metadata, timeout=20)]
