"""TOML and JSON that would take a parser's time, memory or stack."""

from __future__ import annotations

JSON: dict[str, bytes] = {
    "nothing": b"",
    "cut": b'{"a": [1, ',
    "brackets": b"[" * 100_000,
    "nested lists": b"[" * 100_000 + b"]" * 100_000,
    "nested tables": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "nested within Python's stack": b"[" * 500 + b"]" * 500,
    "digits": b"9" * 100_000,
    "not text": b"\xff\xfe{}",
    "a list": b"[]",
    "a number": b"1",
    "large": b" " * 17 * 2**20 + b"{}",
}
TOML: dict[str, bytes] = {
    "cut": b"name = ",
    "dotted key": b"a." * 40_000 + b"a = 1\n",
    "dotted header": b"[" + b"a." * 40_000 + b"a]\n",
    "many dotted keys": b"".join(b"k%d." % i + b"a." * 999 + b"a = 1\n" for i in range(500)),
    "keys below a dotted header": b"[" + b"a." * 1_000 + b"a]\n" + b"".join(b"k%d = 1\n" % i for i in range(50_000)),
    "dotted keys in tables": b"x = [" + b",".join(b"{" + b"a." * 30_000 + b"a = 1}" for _ in range(10)) + b"]",
    "brackets": b"x = " + b"[" * 100_000,
    "nested tables": b"x = " + b"{a = " * 10_000 + b"1" + b"}" * 10_000,
    "nested within Python's stack": b"x = " + b"[" * 200 + b"]" * 200,
    "hexadecimal digits": b"seed = 0x" + b"f" * 100_000,
    "not text": b"\xff\xfe",
    "large": b"# " + b"a" * 2**20,
}
WELL_FORMED = ("a list", "a number")  # of JSON: within all limits, only not what a file should hold
