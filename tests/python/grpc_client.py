"""The generated gRPC client: publishes, is refused with a reason, streams. Prints a line of JSON for each."""

import json
import pathlib
import sys
import tempfile

from control import Control

with tempfile.TemporaryDirectory() as out:
    control = Control(pathlib.Path(out))
    print(json.dumps({"offset": control.publish("chat:1", '{"n":0}')}))
    print(json.dumps({"refused": control.refused("nowhere:1")}))
    print(json.dumps({"acknowledged": control.stream("chat:2", 200)}))
    sys.stdout.flush()
