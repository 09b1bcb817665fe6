"""Seeds derived from names, so that no random number depends on the order of execution."""

import hashlib


def derive_seed(*parts: str | int) -> int:
    """Return a 63-bit seed that depends on `parts` alone.

    The same parts give the same seed on every machine; different parts give independent seeds (SHA-256).
    """
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
