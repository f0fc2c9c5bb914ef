"""How many workers a machine gets."""

import pytest

from cluster.local import Machine
from dgad.errors import SettingsError
from tune.resources import WORKER_BYTES, plan_workers

GIB = 1024**3


def test_two_cores_get_two_workers_of_one_thread() -> None:
    workers = plan_workers(Machine(num_cpus=2, num_gpus=0, memory_bytes=16 * GIB), "cpu", None)
    assert (workers.count, workers.threads_each, workers.gpus_each) == (2, 1, 0.0)
    assert workers.cache_bytes_each <= 2 * GIB


def test_little_memory_means_fewer_workers_with_more_threads() -> None:
    small = Machine(num_cpus=8, num_gpus=0, memory_bytes=int(2.5 * WORKER_BYTES))
    workers = plan_workers(small, "cpu", None)
    assert (workers.count, workers.threads_each) == (2, 4)


def test_a_gpu_is_shared_by_a_few_workers_and_unused_on_cpu() -> None:
    big = Machine(num_cpus=16, num_gpus=2, memory_bytes=256 * GIB)
    assert plan_workers(big, "cuda", None).count == 8
    assert plan_workers(big, "cuda", None).gpus_each == 0.25
    assert plan_workers(big, "cpu", None).gpus_each == 0.0


def test_an_asked_for_number_is_taken_and_nonsense_refused() -> None:
    two = Machine(num_cpus=2, num_gpus=0, memory_bytes=16 * GIB)
    assert plan_workers(two, "cpu", 3).count == 3
    with pytest.raises(SettingsError, match="`workers` must be at least 1"):
        plan_workers(two, "cpu", 0)
