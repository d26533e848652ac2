"""`python -m tsujiban`: the command line."""

from tsujiban.cli.main import main

main(prog_name="tsujiban")
