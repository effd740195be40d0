"""Entry points: parse, load the config, call one library function, print the result's address."""
