"""The package's checks, and at the end how many tests there were, as cargo says it.

    python scripts/check.py [PART...]      parts: format lint types units conformance faults

SWITCHBOARD_HUB names the hub's program; FAULT_RUNS and FAULT_SEED are optional. Parts run side by side: what they do most is wait.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOOLS = Path(sys.executable).parent


def suite(*files: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "-r", "fE", "--tb=short", *(f"tests/{file}" for file in files)]


UNITS = sorted(
    path.name
    for path in (ROOT / "tests").glob("test_*.py")
    if path.name != "test_faults.py" and "conformance" not in path.name
)

PARTS: dict[str, list[list[str]]] = {
    "format": [[str(TOOLS / "ruff"), "format", "--check", "."]],
    "lint": [[str(TOOLS / "ruff"), "check", "."]],
    "types": [[str(TOOLS / "mypy")]],
    "units": [suite(*UNITS)],
    "conformance": [suite("test_conformance_websocket.py"), suite("test_conformance_sse.py")],
    "faults": [[*suite("test_faults.py"), "-s"]],
}


def run(command: list[str]) -> tuple[int, str]:
    """A part's status, and what it said."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command,
        check=False,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


def main() -> int:
    asked = sys.argv[1:] or list(PARTS)
    unknown = [part for part in asked if part not in PARTS]
    if unknown:
        raise SystemExit(f"there is no part {unknown[0]}: {', '.join(PARTS)}")
    if "SWITCHBOARD_HUB" not in os.environ:
        raise SystemExit("set SWITCHBOARD_HUB to the path of the hub, the program `switchboard`")
    jobs = [(part, command) for part in asked for command in PARTS[part]]
    counts = {"passed": 0, "failed": 0}
    good = True
    with ThreadPoolExecutor(max_workers=3) as threads:
        for (part, command), (status, output) in zip(jobs, threads.map(run, [job[1] for job in jobs]), strict=True):
            print(f"\n== {part}\n{output}", end="", flush=True)
            closing = output.rsplit("\n", 2)[-2] if output.endswith("\n") else ""
            for number, what in re.findall(r"(\d+) (passed|failed|error)", closing if "pytest" in command else ""):
                counts["passed" if what == "passed" else "failed"] += int(number)
            for name in re.findall(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE):
                print(f"test python {name} ... FAILED")
            good = good and status == 0
    good = (
        good and counts["failed"] == 0 and (counts["passed"] > 0 or not {"units", "conformance", "faults"} & {*asked})
    )
    print(
        f"\ntest result: {'ok' if good else 'FAILED'}. {counts['passed']} passed; {counts['failed']} failed; 0 ignored"
    )
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
