"""`python -m mezzotint` is the `mezzotint` command."""

from mezzotint.cli.app import main

main()
