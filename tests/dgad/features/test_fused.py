"""A network as a CPU runs it quickest gives the maps of the network, whatever shape it has."""

import copy
import threading

import pytest
import timm
import torch
from torch import Tensor, nn

from dgad.features.fused import FusedConv, fuse_layers


def drawn(network: nn.Module) -> nn.Module:
    """In eval mode, with statistics and weights of BatchNorm that are all of them other than 0 and 1."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values, mean in ((module.running_mean, 0.0), (module.running_var, 1.0)):
                assert values is not None
                values.copy_(mean + 0.5 * torch.rand(values.shape, generator=generator))
            for parameter in (module.weight, module.bias):
                parameter.data = 0.5 + torch.rand(parameter.shape, generator=generator)
    return network.eval()


def count(network: nn.Module, kind: type[nn.Module]) -> int:
    return sum(isinstance(module, kind) for module in network.modules())


@torch.no_grad()
def assert_alike(network: nn.Module, *, num_images: int, size_px: int = 64) -> None:
    generator = torch.Generator().manual_seed(1)
    images_N3SS = torch.randn(num_images, 3, size_px, size_px, generator=generator)
    images_N3SS = images_N3SS.contiguous(memory_format=torch.channels_last)
    found = fuse_layers(network)(images_N3SS)
    exact = copy.deepcopy(network).double()(images_N3SS.double())
    for own, reference in zip(found, exact, strict=True):
        largest = float(reference.abs().max())
        torch.testing.assert_close(own.double(), reference, rtol=0, atol=2e-5 * largest)
        assert own.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("name", "num_norms"), [("resnet18", 0), ("resnet50d", 0), ("mobilenetv3_small_100", None)]
)
def test_maps_are_those_of_the_network(name: str, num_norms: int | None) -> None:
    network = drawn(timm.create_model(name, features_only=True, out_indices=(1, 2)))
    before = copy.deepcopy(network.state_dict())
    made = fuse_layers(network)
    assert count(made, FusedConv) >= 10
    assert num_norms is None or count(made, nn.BatchNorm2d) == num_norms
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert not count(network, FusedConv)
    for num_images, size_px in ((1, 64), (3, 64), (2, 96)):
        assert_alike(network, num_images=num_images, size_px=size_px)


def test_one_fused_network_takes_batches_of_any_shape() -> None:
    network = drawn(timm.create_model("resnet18", features_only=True, out_indices=(1, 2)))
    made = fuse_layers(network)
    with torch.no_grad():
        for num_images, size_px in ((1, 64), (5, 64), (2, 64), (1, 96), (7, 32)):
            images = torch.randn(num_images, 3, size_px, size_px)
            for own, reference in zip(made(images), network(images), strict=True):
                torch.testing.assert_close(own, reference, rtol=0, atol=2e-5 * float(reference.abs().max()))


class Branches(nn.Module):
    """Maps that are used twice, before BatchNorm and before ReLU, and a convolution that is run twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.nothing = nn.Identity()
        self.second_norm = nn.BatchNorm2d(8)
        self.twice = nn.Conv2d(8, 8, 3, padding=1)
        self.twice_norm = nn.BatchNorm2d(8)
        self.border = nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect")
        self.border_norm = nn.BatchNorm2d(8)
        self.even = nn.Conv2d(8, 8, 3, padding="same")
        self.even_norm = nn.BatchNorm2d(8)
        self.relu = nn.ReLU()

    def forward(self, images_N3SS: Tensor) -> list[Tensor]:
        first = self.first(images_N3SS)
        both = self.relu(self.first_norm(first)) + first
        second = self.second_norm(self.nothing(self.second(both)))
        both = self.relu(second) - second
        both = self.relu(self.twice_norm(self.twice(both))) + self.twice(both)
        both = self.relu(self.border_norm(self.border(both)))
        return [self.relu(self.even_norm(self.even(both)))]


def test_what_else_takes_a_map_still_gets_it() -> None:
    network = drawn(Branches())
    made = fuse_layers(network)
    assert count(made, FusedConv) == 2, "the first and the second one"
    assert count(made, nn.BatchNorm2d) == 4, "all but the second one"
    assert_alike(network, num_images=2)


class Looks(nn.Module):
    """Goes by what it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

    def forward(self, images_N3SS: Tensor) -> Tensor:
        return self.conv(images_N3SS) if images_N3SS.mean() > 0 else self.norm(self.conv(images_N3SS))


@pytest.mark.parametrize(
    "network", [Looks(), nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()), nn.Identity()], ids=repr
)
def test_where_there_is_nothing_to_fuse_it_is_the_network_itself(network: nn.Module) -> None:
    assert fuse_layers(network.eval()) is network


def test_other_threads_run_their_networks_meanwhile() -> None:
    done = threading.Event()
    faults: list[Exception] = []
    num_runs = 0

    def run() -> None:
        nonlocal num_runs
        other = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
        while not done.is_set():
            try:
                assert isinstance(other(torch.ones(1, 4)), Tensor)
                num_runs += 1
            except Exception as fault:
                faults.append(fault)
                return

    thread = threading.Thread(target=run)
    thread.start()
    network = drawn(timm.create_model("resnet18", features_only=True, out_indices=(1, 2)))
    for _ in range(10):
        fuse_layers(network)
    done.set()
    thread.join()
    assert not faults
    assert num_runs > 10
