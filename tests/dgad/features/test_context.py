"""How far networks see, measured and by hand."""

import pytest
import timm
import torch
from torch import Tensor, nn

from dgad.features.context import Context, measure_context

CPU = torch.device("cpu")


class _Net(nn.Module):
    """Layers of which every one gives a level."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        maps = []
        for layer in self.layers:
            pixels = layer(pixels)
            maps.append(pixels)
        return maps


def conv(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2)


@pytest.mark.parametrize(
    ("layers", "strides", "reach_px"),
    [
        ([conv(3, 4, 1, 1)], (1,), 0),
        ([conv(3, 4, 3, 1)], (1,), 1),
        # A cell at c sees 4 c - 3 to 4 c + 3: three before its square, and none behind.
        ([conv(3, 4, 7, 4)], (4,), 4),
        # Cells of stride 2 see one pixel before; two of those further, and one of the second level's.
        ([conv(3, 4, 3, 2), conv(4, 4, 5, 2)], (2, 4), 8),
        ([nn.Sequential(conv(3, 4, 3, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)), conv(4, 4, 1, 1)], (4, 4), 4),
    ],
)
def test_reach_is_that_of_the_layers(
    layers: list[nn.Module], strides: tuple[int, ...], reach_px: int
) -> None:
    assert measure_context(_Net(*layers), strides, device=CPU) == Context(
        align_px=max(strides), reach_px=reach_px
    )


def test_a_mean_over_the_image_has_no_end() -> None:
    class Gate(nn.Module):
        def forward(self, pixels: Tensor) -> Tensor:
            return pixels * pixels.mean((2, 3), keepdim=True).sigmoid()

    found = measure_context(_Net(conv(3, 4, 3, 2), Gate()), (2, 2), device=CPU)
    assert found == Context(align_px=2, reach_px=None)


def test_a_grid_inside_the_network_that_is_coarser_than_its_levels_is_found() -> None:
    class Detour(nn.Module):
        def forward(self, pixels: Tensor) -> Tensor:
            coarse = nn.functional.avg_pool2d(pixels, 4)
            return pixels + nn.functional.interpolate(coarse, scale_factor=4.0)

    found = measure_context(_Net(conv(3, 4, 3, 2), Detour()), (2, 2), device=CPU)
    assert (found.align_px, found.has_cells) == (8, True)
    assert found.reach_px == 8


def test_levels_whose_cells_are_not_where_their_stride_says() -> None:
    found = measure_context(_Net(nn.Conv2d(3, 4, 3, 2)), (2,), device=CPU)
    assert not found.has_cells


@pytest.mark.parametrize(
    ("name", "strides", "expected"),
    [
        ("resnet18", (4, 8), Context(align_px=8, reach_px=56)),
        ("mobilenetv3_small_100", (4, 8), Context(align_px=8, reach_px=None)),
        ("tf_mobilenetv3_small_minimal_100", (4, 8), Context(align_px=8, reach_px=16)),
    ],
)
def test_context_of_known_networks(name: str, strides: tuple[int, ...], expected: Context) -> None:
    reductions = timm.create_model(name, features_only=True).feature_info.reduction()
    indices = [reductions.index(s) for s in strides]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        body = timm.create_model(name, features_only=True, out_indices=indices).eval()
    assert measure_context(body, strides, device=CPU) == expected
