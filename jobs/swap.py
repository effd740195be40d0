"""Put another model version into the running service: python -m jobs.swap --to 3 [--dashboard http://127.0.0.1:8265].

Without --to, it takes what the alias means now. The version is loaded and checked first; one that fails is not put in.
"""

import argparse

from jobs.cli import run

SWAP_SECONDS = 600.0


def main() -> None:
    """Swap and print what is served."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--dashboard", default="http://127.0.0.1:8265", help="address of the cluster's dashboard")
    options.add_argument("--to", default="", metavar="VERSION", help="move the alias to this version first")
    arguments = options.parse_args()
    from serve.deploy.control import swap

    for served in swap(arguments.dashboard, SWAP_SECONDS, arguments.to):
        print(f"{served.alias}: {served.label}")


if __name__ == "__main__":
    run(main)
