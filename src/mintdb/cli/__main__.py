"""`python -m mintdb.cli`: the command line where the script `mintdb` is not on PATH."""

from __future__ import annotations

from mintdb.cli import main

if __name__ == "__main__":
    main()
