"""``python -m isobench`` is the command ``isobench``."""

import sys

from isobench.cli import main

if __name__ == "__main__":
    sys.exit(main())
