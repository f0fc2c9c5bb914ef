"""A service as a Serve config: what `up` and `deploy` send to Ray's dashboard, and `serve deploy` takes."""

from collections.abc import Mapping
from typing import Any

import yaml

from dgad.settings import to_dict
from serve.replicas.environment import LOGGING, SERVE_ENVIRONMENT
from serve.settings import ServeSettings

APPLICATION, INGRESS = "dgad", "Ingress"
IS_DRAINING = "is_draining"
"""Key of the ingresses' `user_config`: true, they let nobody in any more."""
BUNDLE_ID_VARIABLE = "DGAD_BUNDLE_ID"
"""Says which bundle a config is for, so that a folder with another bundle in it is something new to Serve."""
_BUILDER = "serve.replicas.deployments:build"
_HEADER = """\
# A service of dgad as Ray Serve takes it:  serve deploy service.yaml
# dgad must be installed on every node, and bundle and store must lie where every node reaches them by the
# same name; `dgad-serve deploy` ships code and bundle instead.
"""


def make_service_config(
    settings: ServeSettings, *, bundle_id: str, working_dir: str | None = None, is_draining: bool = False
) -> dict[str, Any]:
    """The config with this one application; `working_dir` is the URI of a package of code."""
    runtime_env: dict[str, Any] = {"env_vars": {**SERVE_ENVIRONMENT, BUNDLE_ID_VARIABLE: bundle_id}}
    if working_dir is not None:
        runtime_env["working_dir"] = working_dir
    # On loopback proxies beside the head's would reach nobody.
    location = "Disabled" if settings.listener else "HeadOnly" if settings.is_loopback else "EveryNode"
    return {
        "proxy_location": location,
        "http_options": {
            "host": settings.host,
            "port": settings.port,
            # The application's own limits come first; this one is for what they miss.
            "request_timeout_s": settings.limits.upload_timeout_s + settings.max_scoring_s + 30,
        },
        "grpc_options": {"grpc_servicer_functions": []},  # none: then Serve opens no gRPC port
        "logging_config": dict(LOGGING),
        "applications": [
            {
                "name": APPLICATION,
                "route_prefix": "/",
                "import_path": _BUILDER,
                "runtime_env": runtime_env,
                "args": to_dict(settings),
                "deployments": [{"name": INGRESS, "user_config": {IS_DRAINING: is_draining}}],
            }
        ],
    }


def render_yaml(config: Mapping[str, Any]) -> str:
    """The file that `serve deploy` takes."""
    return _HEADER + yaml.safe_dump(dict(config), sort_keys=False)
