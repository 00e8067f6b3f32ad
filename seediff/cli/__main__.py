"""``python -m seediff.cli``: the same as ``seediff``."""

import sys

from seediff.cli import main

if __name__ == "__main__":
    sys.exit(main())
