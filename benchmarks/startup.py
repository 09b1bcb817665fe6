"""Start-up time of the command line: `leakfront --help`, compared with bare Python and `import torch`.

Run: python -m benchmarks.startup
"""

from __future__ import annotations

import subprocess
import sys

from benchmarks.side_by_side import compare


def main() -> None:
    """Print times."""

    def command(*arguments: str) -> None:
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)

    compare(
        "start-up",
        {
            "python -c pass (limit)": lambda: command("-c", "pass"),
            "leakfront --help": lambda: command("-m", "leakfront", "--help"),
            "import torch": lambda: command("-c", "import torch"),
        },
        rounds=9,
    )


if __name__ == "__main__":
    main()
