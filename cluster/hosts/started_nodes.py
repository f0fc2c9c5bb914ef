"""A script: asks the node provider of a cluster file what runs, and prints it as one line of JSON.

In a process of its own, since Ray's launcher prints what it likes and ends the process on errors.
"""

import json
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """`python -m cluster.hosts.started_nodes FILE`; what it prints last is the answer."""
    import yaml
    from ray.autoscaler import sdk
    from ray.autoscaler._private.providers import _get_node_provider
    from ray.autoscaler.tags import NODE_KIND_HEAD, TAG_RAY_NODE_KIND

    path = sys.argv[1]
    config: dict[str, Any] = yaml.safe_load(Path(path).read_text())
    provider = _get_node_provider(config["provider"], config["cluster_name"])
    is_internal = bool(config["provider"].get("use_internal_ips"))
    nodes = []
    for node in provider.non_terminated_nodes({}):
        address = provider.internal_ip(node) if is_internal else provider.external_ip(node)
        is_head = provider.node_tags(node).get(TAG_RAY_NODE_KIND) == NODE_KIND_HEAD
        nodes.append({"id": str(node), "is_head": is_head, "address": address})
    auth = config.get("auth") or {}
    if any(n["is_head"] for n in nodes) and not (auth.get("ssh_private_key") and auth.get("ssh_user")):
        # On a cloud Ray makes a key when it starts the head; while that one is there it makes nothing new.
        auth = sdk.bootstrap_config(config).get("auth") or {}
    key, user = auth.get("ssh_private_key"), auth.get("ssh_user")
    print(json.dumps({"nodes": nodes, "ssh_user": user, "ssh_private_key": key}))


if __name__ == "__main__":
    main()
