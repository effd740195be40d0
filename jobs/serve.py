"""Serve the registered model on this machine until Ctrl-C: python -m jobs.serve --config quick.

Run it as a module: as a script, this file would hide the package `serve`.
"""

import argparse
import signal
from functools import partial
from pathlib import Path
from typing import Any

from diffusegae.config.pipeline import PipelineConfig
from jobs.cli import config_of, connect, parser, run
from serve.deploy.proxy import local_environment

START_SECONDS = 300.0


def main() -> None:
    """Start Ray Serve, print the addresses and examples, and wait."""
    options = parser(__doc__ or "")
    options.add_argument("--host", default="127.0.0.1", help="address to listen on; others than loopback need --tokens")
    options.add_argument("--port", type=int, default=8000)
    options.add_argument("--tokens", default="", help="token file; python -m jobs.tokens makes its entries")
    options.add_argument(
        "--model-uri", default="", help="models:/NAME@ALIAS or models:/NAME/VERSION; the config's when empty"
    )
    options.add_argument("--tracking-uri", default="", help="MLflow server or database; the config's when empty")
    options.add_argument(
        "--argument", action="append", default=[], metavar="KEY=VALUE", help="of ServeArgs, e.g. max_replicas=2"
    )
    arguments = options.parse_args()
    config = config_of(arguments)
    check = partial(_deployment, arguments, config, check=True)
    dashboard = connect(arguments.address, partial(local_environment, arguments.host, arguments.port), check)
    import ray

    from serve.deploy.control import deploy

    working_dir = str(ray.get_runtime_context().runtime_env.get("working_dir", ""))  # of a submitted job
    deploy(dashboard, _deployment(arguments, config, working_dir), START_SECONDS)
    print(_examples(arguments, tuple(config.data.attributes), dashboard), flush=True)
    for ending in (signal.SIGINT, signal.SIGTERM):  # a shell's background job ignores SIGINT
        signal.signal(ending, signal.default_int_handler)
    try:
        signal.pause()
    except KeyboardInterrupt:
        from ray import serve

        serve.shutdown()  # type: ignore[no-untyped-call]


def _deployment(
    arguments: argparse.Namespace, config: PipelineConfig, working_dir: str = "", check: bool = False
) -> dict[str, Any]:
    from serve.deploy.control import checked, deployment_config, served_by

    tokens = str(Path(arguments.tokens).absolute()) if arguments.tokens else ""
    named = {"tracking_uri": arguments.tracking_uri, "model_uri": arguments.model_uri, "tokens": tokens}
    args = served_by(config, named, arguments.argument)
    deployment = deployment_config(args, arguments.host, arguments.port, working_dir)
    return checked(deployment) if check else deployment


def _examples(arguments: argparse.Namespace, names: tuple[str, ...], dashboard: str) -> str:
    host = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
    url = f"http://{host}:{arguments.port}"
    return f"""
serving at {url}   API: {url}/docs   description: {url}/openapi.json

  curl {url}/v1/schema
  curl -F source=@a.png -F donors.{names[-1]}=@b.png {url}/v1/edit -o edited.png
  python -m jobs.rollout --dashboard {dashboard}  # after the alias was moved; --to VERSION moves it

Ctrl-C ends it."""


if __name__ == "__main__":
    run(main)
