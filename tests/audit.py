"""Known vulnerabilities of what is installed, by pip-audit:  make audit  (ARGS="-s osv" asks another service).

Status 1: something is known; 2: it could not be looked up. pip-audit alone ends with 0 where its service knows nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any


def verdict(report: dict[str, Any]) -> tuple[int, list[str]]:
    """Return the exit status and what to say of pip-audit's report."""
    found = report["dependencies"]
    known = [
        f"{item['name']} {item['version']}: {hit['id']}, fixed in {', '.join(hit['fix_versions']) or 'no version yet'}"
        for item in found
        for hit in item.get("vulns", [])
    ]
    skipped = [item["name"] for item in found if "skip_reason" in item]
    asked = len(found) - len(skipped)
    lines = [*known, f"{asked} of {len(found)} packages were looked up, {len(known)} vulnerabilities are known"]
    if skipped:
        lines.append(f"NOT looked up, so nothing is known of them: {', '.join(skipped)}")
        lines.append("Is its service reachable from here? A mirror of the package index does not have it.")
    return 1 if known else 2 if skipped or not found else 0, lines


def main(arguments: list[str]) -> int:
    """Run it; print the verdict."""
    options = ["--local", "--format", "json", "--progress-spinner", "off", *arguments]
    ran = subprocess.run([sys.executable, "-m", "pip_audit", *options], capture_output=True, text=True, check=False)
    try:
        report = json.loads(ran.stdout)
    except ValueError:
        print(f"The audit did NOT run: {(ran.stderr.strip() or 'no answer').splitlines()[-1]}", file=sys.stderr)
        return 2
    status, lines = verdict(report)
    print(*lines, sep="\n")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
