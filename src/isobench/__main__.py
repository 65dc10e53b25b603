"""``python -m isobench`` is the command ``isobench``."""

from isobench.cli import main

if __name__ == "__main__":
    main()
