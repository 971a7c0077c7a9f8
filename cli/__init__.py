"""The command line: parse, call one library function, report."""
