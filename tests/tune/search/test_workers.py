"""How many workers a machine gets."""

import pytest

from cluster.embedded import Machine
from dgad.errors import SettingsError
from tune.search.workers import WORKER_BYTES, Demand, plan_cluster_workers, plan_workers

GIB = 1024**3


def test_two_cores_get_two_workers_of_one_thread() -> None:
    workers = plan_workers(Machine(num_cpus=2, num_gpus=0, memory_bytes=16 * GIB), "cpu", Demand())
    assert (workers.count, workers.threads_each, workers.gpus_each) == (2, 1, 0.0)
    assert workers.cache_bytes_each <= 2 * GIB


def test_little_memory_means_fewer_workers_with_more_threads() -> None:
    small = Machine(num_cpus=8, num_gpus=0, memory_bytes=int(2.5 * WORKER_BYTES))
    workers = plan_workers(small, "cpu", Demand())
    assert (workers.count, workers.threads_each) == (2, 4)


def test_a_gpu_is_shared_by_a_few_workers_and_unused_on_cpu() -> None:
    big = Machine(num_cpus=16, num_gpus=2, memory_bytes=256 * GIB)
    assert plan_workers(big, "cuda", Demand()).count == 8
    assert plan_workers(big, "cuda", Demand()).gpus_each == 0.25
    assert plan_workers(big, "cpu", Demand()).gpus_each == 0.0


def test_an_asked_for_number_is_taken_and_nonsense_refused() -> None:
    two = Machine(num_cpus=2, num_gpus=0, memory_bytes=16 * GIB)
    assert plan_workers(two, "cpu", Demand(workers=3)).count == 3
    with pytest.raises(SettingsError, match="`workers` must be at least 1"):
        plan_workers(two, "cpu", Demand(workers=0))


def test_cores_and_shares_of_a_gpu_that_a_trial_asks_for_bound_how_many_run() -> None:
    big = Machine(num_cpus=16, num_gpus=2, memory_bytes=256 * GIB)
    on_cpu = plan_workers(big, "cpu", Demand(cpus_per_trial=4))
    assert (on_cpu.count, on_cpu.cpus_each, on_cpu.threads_each) == (4, 4, 4)
    assert plan_workers(big, "cpu", Demand(cpus_per_trial=4, workers=99)).count == 4
    third = plan_workers(big, "cuda", Demand(gpus_per_trial=1 / 3))
    assert (third.count, third.gpus_each) == (6, 1 / 3)
    assert plan_workers(big, "cuda", Demand(gpus_per_trial=0.4)).count == 4
    assert plan_workers(big, "cuda", Demand(gpus_per_trial=2)).count == 1


@pytest.mark.parametrize(
    ("device", "demand", "message"),
    [
        ("cpu", Demand(cpus_per_trial=3), "`cpus_per_trial` must be at most 2, the cores of this machine"),
        ("cpu", Demand(cpus_per_trial=0), "`cpus_per_trial` must be at least 1"),
        ("cpu", Demand(gpus_per_trial=0.5), "`gpus_per_trial` must be at most 0"),
        ("cuda", Demand(gpus_per_trial=2), "`gpus_per_trial` must be at most 1"),
        ("cuda", Demand(gpus_per_trial=1.5), "`gpus_per_trial` must be 0 to 1, or whole"),
        ("cuda", Demand(gpus_per_trial=0), "`gpus_per_trial` must be above 0 on CUDA"),
    ],
)
def test_a_trial_that_fits_nowhere_is_refused_instead_of_waiting(
    device: str, demand: Demand, message: str
) -> None:
    small = Machine(num_cpus=2, num_gpus=1, memory_bytes=16 * GIB)
    with pytest.raises(SettingsError, match=message):
        plan_workers(small, device, demand)


def test_a_cluster_holds_what_its_nodes_hold_and_sets_memory_aside() -> None:
    wide = Machine(num_cpus=8, num_gpus=0, memory_bytes=64 * GIB)
    poor = Machine(num_cpus=8, num_gpus=0, memory_bytes=int(2.5 * WORKER_BYTES))
    workers = plan_cluster_workers([wide, poor], "cpu", Demand())
    assert (workers.count, workers.cpus_each, workers.threads_each) == (10, 1, 1)
    assert workers.ray_resources == {"CPU": 1, "memory": WORKER_BYTES}
    assert workers.is_elastic
    bounded = plan_cluster_workers([wide, wide], "cpu", Demand(workers=3))
    assert (bounded.count, bounded.is_elastic) == (3, False)


def test_on_a_cluster_only_nodes_with_a_gpu_count_on_cuda() -> None:
    head = Machine(num_cpus=4, num_gpus=0, memory_bytes=16 * GIB)
    node = Machine(num_cpus=16, num_gpus=2, memory_bytes=128 * GIB)
    workers = plan_cluster_workers([head, node, node], "cuda", Demand())
    assert (workers.count, workers.gpus_each) == (16, 0.25)
    with pytest.raises(SettingsError, match="`device` must be cpu on a cluster without GPUs"):
        plan_cluster_workers([head], "cuda", Demand())


def test_a_trial_that_fits_no_node_of_a_cluster_is_refused() -> None:
    head = Machine(num_cpus=4, num_gpus=0, memory_bytes=16 * GIB)
    wide = Machine(num_cpus=8, num_gpus=0, memory_bytes=16 * GIB)
    with pytest.raises(SettingsError, match="No node of the cluster holds a trial: `cpus_per_trial`"):
        plan_cluster_workers([head, wide], "cpu", Demand(cpus_per_trial=9))
    assert plan_cluster_workers([head, wide], "cpu", Demand(cpus_per_trial=8)).count == 1
