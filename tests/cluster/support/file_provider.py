"""A node provider for tests of clouds: its machines are the lines of a JSON file, none of them real."""

import json
from pathlib import Path
from typing import Any

from ray.autoscaler.node_provider import NodeProvider


class FileProvider(NodeProvider):
    """Machines by id with their tags, in the file that `provider.machines` names."""

    def _machines(self) -> dict[str, dict[str, str]]:
        machines: dict[str, dict[str, str]] = json.loads(Path(self.provider_config["machines"]).read_text())
        return machines

    def non_terminated_nodes(self, tag_filters: dict[str, str]) -> list[str]:
        machines = self._machines().items()
        return [name for name, tags in machines if tag_filters.items() <= tags.items()]

    def is_running(self, node_id: str) -> bool:
        return node_id in self._machines()

    def is_terminated(self, node_id: str) -> bool:
        return node_id not in self._machines()

    def node_tags(self, node_id: str) -> dict[str, str]:
        return self._machines()[node_id]

    def external_ip(self, node_id: str) -> str:
        return "127.0.0.1"

    def internal_ip(self, node_id: str) -> str:
        return "127.0.0.1"

    def set_node_tags(self, node_id: str, tags: dict[str, str]) -> None:
        machines = self._machines()
        machines[node_id].update(tags)
        self._write(machines)

    def create_node(self, node_config: dict[str, Any], tags: dict[str, str], count: int) -> None:
        raise NotImplementedError("This test starts no machines.")

    def terminate_node(self, node_id: str) -> None:
        machines = self._machines()
        del machines[node_id]
        self._write(machines)

    def _write(self, machines: dict[str, dict[str, str]]) -> None:
        Path(self.provider_config["machines"]).write_text(json.dumps(machines))
