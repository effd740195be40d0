"""Make a bearer token for the service: python -m jobs.tokens --name alice >> tokens.yaml.

The entry for the token file goes to standard output, the token itself to standard error: only its hash is kept.
"""

import argparse
import sys

from jobs.cli import run


def main() -> None:
    """Print a new token and the entry that lets it in."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--name", required=True, help="whose token it is")
    options.add_argument("--requests-per-minute", type=float, default=60, help="how many it may send in the long run")
    options.add_argument("--burst", type=int, default=30, help="how many it may send at once after a pause")
    arguments = options.parse_args()
    from serve.http.tokens import as_yaml, new_token

    secret, entry = new_token(arguments.name, arguments.requests_per_minute, arguments.burst)
    print(as_yaml(entry), end="", flush=True)
    print(f"token of {entry.name}, shown this once: {secret}", file=sys.stderr)


if __name__ == "__main__":
    run(main)
