"""Roll out another model version in the running service: python -m jobs.rollout --to 3 [--dashboard http://127.0.0.1:8265].

Without --to, roll out the version that the alias means now. A version that fails its check is refused.
"""

import argparse

from jobs.cli import run

ROLLOUT_SECONDS = 600.0


def main() -> None:
    """Roll out and print what is served."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--dashboard", default="http://127.0.0.1:8265", help="address of the cluster's dashboard")
    options.add_argument("--to", default="", metavar="VERSION", help="move the alias to this version first")
    arguments = options.parse_args()
    from serve.deploy.control import rollout

    for served in rollout(arguments.dashboard, ROLLOUT_SECONDS, arguments.to):
        print(f"{served.alias}: {served.label}")


if __name__ == "__main__":
    run(main)
