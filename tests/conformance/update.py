"""Runs the node tests on a level and adds those that pass to the list of those that must.

    python -m tests.conformance.update nn | wasm | webgpu | docs [--missing]

Says which tests of the list do not pass (and leaves them in it), and why the others do not. `docs` writes the table
docs/operators.md. With `--missing` only the tests that are not in the list are run.
"""

from __future__ import annotations

import sys
from collections import Counter

from tests.conformance.cases import FOLDER, must_pass, node_cases
from tests.conformance.levels import LEVELS, verdicts
from tests.conformance.table import write_table


def update(level: str, missing: bool) -> int:
    """Run one level; the number of tests of its list that fail."""
    cases = node_cases()
    listed = set(must_pass(level))
    candidates = list(cases) if level == "nn" else must_pass("nn")
    if missing:
        candidates = [name for name in candidates if name not in listed]
    found: dict[str, str] = {}
    path = FOLDER / f"{level}_must_pass.txt"
    passed: set[str] = set()
    for some in verdicts(level, [cases[name] for name in candidates]):
        found.update(some)
        passed.update(name for name, wrong in some.items() if not wrong)
        path.write_text("".join(f"{name}\n" for name in sorted(listed | passed)))
        print(f"\r{len(found)}/{len(candidates)}", end="", file=sys.stderr, flush=True)
    lost = [] if missing else sorted(listed - passed)
    for name in lost:
        print(f"LOST {name}: {found.get(name, 'no such test')[:300]}")
    for name, wrong in found.items():
        if wrong and name not in listed:
            print(f"{name}: {wrong[:200]}")
    kinds = Counter(wrong.partition(":")[0] for wrong in found.values() if wrong)
    print(f"{level}: {len(passed)} pass, {len(passed - listed)} of them new; {dict(kinds)}")
    return len(lost)


def main() -> int:
    """See the module's docstring."""
    missing = sys.argv[2:] == ["--missing"]
    level = sys.argv[1] if len(sys.argv) == 2 + missing else ""
    if level == "docs":
        write_table()
        return 0
    if level not in LEVELS:
        print(__doc__, file=sys.stderr)
        return 2
    return int(update(level, missing) > 0)


if __name__ == "__main__":
    sys.exit(main())
