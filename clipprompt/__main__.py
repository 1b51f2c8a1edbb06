"""``python -m clipprompt``."""

from clipprompt.cli import main

if __name__ == "__main__":
    main()
