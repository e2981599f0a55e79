"""`python -m warpgroup`: the same as the `warpgroup` command."""

from .cli.main import main

if __name__ == "__main__":
    main()
