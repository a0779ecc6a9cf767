#!/usr/bin/env python3
"""daemon/dns/RFC.md names tests that exist, for each row at least one."""
import os
import re
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DOCUMENT = "daemon/dns/RFC.md"


def read(path):
    with open(os.path.join(TOP, path), encoding="utf-8") as f:
        return f.read()


def is_there(test):
    if test == "compare":
        return os.access(os.path.join(TOP, "tests/compare/run"), os.X_OK)
    if test.endswith(".py"):
        return os.access(os.path.join(TOP, "tests/unit", test), os.X_OK)
    if test.endswith(".scn"):
        return os.path.exists(os.path.join(TOP, "tests/scenario", test))
    match = re.fullmatch(r"(test_\w+): (test_\w+)", test)
    path = match and os.path.join(TOP, "tests/unit", f"{match[1]}.c")
    # Run, not only written: it is in the list of its file's main.
    return bool(path) and os.path.exists(path) and f"cmocka_unit_test({match[2]})" in read(path)


def check(text):
    """The rows and tests that are wrong, as lines; how many tests are named."""
    wrong, count = [], 0
    table = text.split("## Beside")[0]
    for line in table.splitlines():
        cells = [c.strip() for c in line.strip("|").split(" | ")]
        if not line.startswith("| ") or cells[0] == "RFC":
            continue
        tests = re.findall(r"`([^`]+)`", cells[-1])
        if len(cells) != 3 or not tests:
            wrong.append(f"a row without a test: {line}")
        for test in tests:
            count += 1
            if not is_there(test):
                wrong.append(f"{cells[0]}: there is no {test}")
    return wrong, count


def main():
    text = read(DOCUMENT)
    wrong, count = check(text)
    print("\n".join(wrong) or f"{count} tests are named, and there")
    # It would notice.
    for old, new in (("test_absent_names", "test_absent"), ("wildcard.scn", "wild.scn"), ("test_dns_tcp:", "test_tcp:")):
        assert old in text and check(text.replace(old, new))[0], old
    return 1 if wrong or count < 30 else 0


sys.exit(main())
