"""Whether a locked package has a known vulnerability: asks the package index, and says plainly where it was not told.

`pip-audit` alone ends well when the index knows none of the packages. Here a package that could not be asked about is
named or counted, a known vulnerability fails, and an index that cannot be reached does not. Arguments go to pip-audit.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

LOCK = "requirements.lock"
PATIENCE_SECONDS = 60.0


def judged(report: str) -> tuple[list[str], bool]:
    """What a report of pip-audit comes to, line by line, and whether it fails."""
    try:
        packages = json.loads(report)["dependencies"]
        unasked = [one["name"] for one in packages if "skip_reason" in one]
        found = [
            f"{one['name']} {one['version']}: {flaw['id']} {' '.join(flaw['aliases'])}".rstrip()
            + f"; mended in {', '.join(flaw['fix_versions']) or 'no version yet'}"
            for one in packages
            for flaw in one.get("vulns", ())
        ]
    except (ValueError, KeyError, TypeError):
        return ["Vulnerabilities: NOT LOOKED FOR, because the index could not be asked."], False
    if len(unasked) == len(packages):
        return [f"Vulnerabilities: NOT LOOKED FOR, because the index tells of none of {len(packages)} packages."], False
    count = len(packages) - len(unasked)
    lines = [f"Vulnerabilities: {len(found)} known among {count} packages.", *found]
    if unasked:
        lines.append(f"Not told of {len(unasked)}: {', '.join(unasked[:5])}{'…' if len(unasked) > 5 else ''}")
    return lines, bool(found)


def main(arguments: list[str]) -> int:
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--no-deps", "--progress-spinner", "off"]
    asked_of = arguments or ["-r", LOCK, "-s", "pypi"]
    try:
        ran = subprocess.run(
            [*command, "-f", "json", *asked_of],
            cwd=Path(__file__).resolve().parents[1],
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        report = ran.stdout
    except subprocess.TimeoutExpired:
        report = ""
    lines, fails = judged(report)
    print("\n".join(lines))
    return 1 if fails else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
