"""What the command line can ask for, one file each; `pytrace.cli` chooses."""
