"""The writer's own thread; what it writes is asked of the whole service."""

from pathlib import Path

import pytest
import torch

from cluster.embedded import inspect_machine
from serve.replicas.writer_replica import WriterReplica
from serve.settings import ServeSettings
from tests.serve.support.surfaces import bundled


def test_the_writing_thread_has_all_cores_whatever_the_process_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve.replicas.writer_replica.log_to_worker", lambda: None)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        writer = WriterReplica(ServeSettings(bundle=str(bundled(tmp_path / "b")), store=str(tmp_path / "s")))
        assert writer._thread.run_and_wait(torch.get_num_threads) == inspect_machine().num_cpus
    finally:
        torch.set_num_threads(before)
