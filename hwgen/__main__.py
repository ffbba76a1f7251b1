"""`python -m hwgen`: the command line without the installed script."""

from hwgen.entry import main

if __name__ == "__main__":
    raise SystemExit(main())
