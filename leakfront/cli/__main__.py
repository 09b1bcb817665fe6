"""`python -m leakfront.cli`: the command line."""

from leakfront.cli import main

if __name__ == "__main__":
    main()
