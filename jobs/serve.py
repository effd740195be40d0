"""Serve the registered model on this machine until Ctrl-C: python -m jobs.serve --config quick.

Run it as a module: as a script, this file would hide the package `serve`.
"""

import argparse
import signal

from jobs.cli import config_of, connect, parser, run

REQUEST_SECONDS = 120


def main() -> None:
    """Start Ray Serve, print the addresses and examples, and wait."""
    options = parser(__doc__ or "")
    options.add_argument("--host", default="127.0.0.1", help="address to listen on")
    options.add_argument("--port", type=int, default=8000)
    options.add_argument(
        "--model-uri", default="", help="models:/NAME@ALIAS or models:/NAME/VERSION; the config's when empty"
    )
    options.add_argument("--tracking-uri", default="", help="MLflow server or database; the config's when empty")
    arguments = options.parse_args()
    config = config_of(arguments)
    model_uri = arguments.model_uri or f"models:/{config.tracking.model_name}@{config.tracking.alias}"
    connect(arguments.address)
    from ray import serve
    from ray.serve.config import HTTPOptions

    from diffusegae.tracking.runs import tracking_uri
    from serve.app import ServeArgs, build_app

    app = build_app(ServeArgs(tracking_uri=arguments.tracking_uri or tracking_uri(config), model_uri=model_uri))
    serve.start(http_options=HTTPOptions(host=arguments.host, port=arguments.port, request_timeout_s=REQUEST_SECONDS))
    serve.run(app, name="diffusegae", route_prefix="/")
    print(_examples(arguments, tuple(config.data.attributes)), flush=True)
    for ending in (signal.SIGINT, signal.SIGTERM):  # a shell's background job ignores SIGINT
        signal.signal(ending, signal.default_int_handler)
    try:
        signal.pause()
    except KeyboardInterrupt:
        serve.shutdown()  # type: ignore[no-untyped-call]


def _examples(arguments: argparse.Namespace, names: tuple[str, ...]) -> str:
    url = f"http://{arguments.host}:{arguments.port}"
    donors = " ".join(f"-F donors.{name}=@{name}.png" for name in names)
    return f"""
serving at {url}   docs: {url}/docs   description: {url}/openapi.json

  curl {url}/v1/schema
  curl -F source=@a.png -F donors.{names[-1]}=@b.png {url}/v1/edit -o edited.png
  curl {donors} -F seed=1 {url}/v1/recombine -o recombined.png
  curl -F source=@a.png -F target=@b.png -F attributes={names[0]} {url}/v1/interpolate -o frames.png

Ctrl-C ends it."""


if __name__ == "__main__":
    run(main)
