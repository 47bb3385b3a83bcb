"""Checks the report of an Autobahn run: wstest itself exits with 0 whatever happened."""

import collections
import json
import sys

# 1.* to 10.* without the compression of 12.* and 13.*, which the service does not offer.
CASES = 301
# Close codes and reserved ranges on which RFC 6455 leaves the choice to the server.
INFORMATIONAL = {"7.1.6", "7.13.1", "7.13.2"}
# Invalid UTF-8 is refused at the end of its message, not at the first wrong byte of a fragment.
NON_STRICT = {"6.4.3", "6.4.4"}


def main(path):
    with open(path, encoding="utf-8") as file:
        (results,) = json.load(file).values()
    wrong = []
    for case, result in sorted(results.items()):
        behavior, close = result["behavior"], result["behaviorClose"]
        expected = {"OK"}
        if case in INFORMATIONAL:
            expected = {"OK", "INFORMATIONAL"}
        if case in NON_STRICT:
            expected = {"OK", "NON-STRICT"}
        if behavior not in expected or close not in {"OK", "INFORMATIONAL"}:
            wrong.append(f"{case}: {behavior}, close {close} ({result.get('remoteCloseCode')})")
    counts = collections.Counter(result["behavior"] for result in results.values())
    print(f"autobahn: {len(results)} cases, {dict(counts)}")
    if len(results) != CASES:
        wrong.append(f"{len(results)} cases instead of {CASES}: the suite did not run to its end")
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
