"""What a study would take on a cluster, before there is one."""

from pathlib import Path

import pytest

from cluster.file.config_file import ClusterFile, read_cluster_file
from dgad.errors import SettingsError
from tune.launcher.cluster_estimate import describe_cluster_plan, plan_cluster
from tune.launcher.estimate import START_S
from tune.search.workers import Demand

FILE = """
cluster_name: x
max_workers: 4
provider: {type: aws, region: eu-west-1}
auth: {ssh_user: ubuntu}
available_node_types:
  head: {resources: {CPU: 0}, node_config: {}, max_workers: 0}
  gpu: {resources: {CPU: 16, GPU: 2}, node_config: {}, min_workers: 0, max_workers: 4}
head_node_type: head
"""


@pytest.fixture
def file(tmp_path: Path) -> ClusterFile:
    (tmp_path / "cluster.yaml").write_text(FILE)
    return read_cluster_file(tmp_path / "cluster.yaml")


def test_nodes_trials_hours_and_cost_are_told(file: ClusterFile) -> None:
    plan = plan_cluster(file, Demand(), ["head=0.10", "gpu=1.50"], work_s=32 * 3600)
    assert [(n.name, n.count, n.trials_each) for n in plan.nodes] == [("head", 1, 0), ("gpu", 4, 8)]
    assert plan.workers == 32
    assert plan.estimate_s == START_S + 3600
    assert plan.price == pytest.approx((0.10 + 4 * 1.50) * plan.estimate_s / 3600)
    text = "\n".join(": ".join(line) for line in describe_cluster_plan(plan))
    assert "node gpu: 4 at most, 8 trials each" in text
    assert "cost: about 6.1" in text


def test_a_missing_price_gives_no_cost_and_an_asked_number_bounds_the_workers(file: ClusterFile) -> None:
    plan = plan_cluster(file, Demand(workers=5), ["gpu=1"], work_s=100)
    assert plan.price is None
    assert plan.workers == 5
    assert "cost" not in dict(describe_cluster_plan(plan))


@pytest.mark.parametrize(
    ("price", "message"),
    [
        ("gpu", "--price must be TYPE=PRICE, such as head=1.20, but got 'gpu'"),
        ("gpu=cheap", "--price must be TYPE=PRICE"),
        ("gpu=-1", "--price must be TYPE=PRICE"),
        ("gpus=1", "--price names `gpus`, but the cluster file has the node types head, gpu"),
    ],
)
def test_a_price_that_is_none_is_refused(file: ClusterFile, price: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        plan_cluster(file, Demand(), [price], work_s=1)
