"""Generates `src/switchboard_client/proto` from the repository's proto files, with the pinned generator.

    python scripts/generate.py [DIRECTORY]

The code is committed, so that neither an installation nor a type checker needs a generator; a test holds it against what this script
gives. Only the services that the package speaks to are generated.
"""

from __future__ import annotations

import re
import sys
import sysconfig
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = "switchboard_client.proto"
HERE = Path(__file__).resolve().parents[1] / "src/switchboard_client/proto"
PROTOS = ("types", "publish", "presence")
INIT = '"""Generated from the proto files of the control API by `scripts/generate.py`: not to be edited."""\n'

# Imports among the generated files, which the generator writes as if they lay at the top.
IMPORT = re.compile(r"^(from|import) switchboard\.api\.v1\b", re.MULTILINE)
NAME = re.compile(r"\bswitchboard\.api\.v1\.(\w+_pb2)\b")


def generate(into: Path) -> None:
    """Writes the generated package to a directory."""
    into.mkdir(parents=True, exist_ok=True)
    scripts = Path(sysconfig.get_path("scripts"))
    arguments = [
        "protoc",
        f"--proto_path={ROOT / 'proto'}",
        f"--proto_path={files('grpc_tools') / '_proto'}",
        f"--plugin=protoc-gen-mypy={scripts / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={scripts / 'protoc-gen-mypy_grpc'}",
        f"--python_out={into}",
        f"--grpc_python_out={into}",
        f"--mypy_out=quiet:{into}",
        f"--mypy_grpc_out=quiet:{into}",
        *(f"switchboard/api/v1/{name}.proto" for name in PROTOS),
    ]
    status = protoc.main(arguments)
    if status != 0:
        raise SystemExit(status)
    nested = into / "switchboard/api/v1"
    for path in sorted(nested.iterdir()):
        # What was not asked for: services of a file that has none.
        if path.stem.startswith("types_pb2_grpc"):
            continue
        text = IMPORT.sub(rf"\1 {PACKAGE}", path.read_text())
        text = NAME.sub(rf"{PACKAGE}.\1", text)
        (into / path.name).write_text(text)
    for path in sorted(nested.iterdir()):
        path.unlink()
    for folder in (nested, nested.parent, nested.parent.parent):
        folder.rmdir()
    (into / "__init__.py").write_text(INIT)


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
