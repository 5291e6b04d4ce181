"""Publishes through the generated gRPC client: publish.py CHANNEL FIRST END, as {"n": n, "text": ...}."""

import json
import pathlib
import sys
import tempfile

from control import Control

channel, first, end = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with tempfile.TemporaryDirectory() as out:
    control = Control(pathlib.Path(out))
    offsets = [control.publish(channel, json.dumps({"n": n, "text": f"number {n}"})) for n in range(first, end)]
print(json.dumps({"offsets": offsets}))
