"""The former import path of the application builder, `serve.app:build_app`; remove it after the next version."""

import logging

from ray.serve import Application

from serve.deploy import app
from serve.deploy.app import ServeArgs

logger = logging.getLogger(__name__)


def build_app(args: ServeArgs) -> Application:
    """Return the application, and warn of the former path; see `serve.deploy.app.build_app`."""
    logger.warning("import_path: serve.app:build_app has moved; write serve.deploy.app:build_app")
    return app.build_app(args)
