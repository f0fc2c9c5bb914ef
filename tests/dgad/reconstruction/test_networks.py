"""Shapes, scales, and that nothing at scoring depends on the batch."""

import pytest
import torch

from dgad.reconstruction.crops import random_crops
from dgad.reconstruction.memory import Bottleneck
from dgad.reconstruction.networks import ConvEncoder, Decoder, Reconstructor, _stage_widths


@pytest.mark.parametrize("stride", [4, 8, 16])
def test_encoder_and_decoder_meet_at_the_stride(stride: int) -> None:
    encoder = ConvEncoder(stride)
    coded = encoder(torch.zeros(2, 3, 64, 64))
    assert coded.shape == (2, encoder.channels, 64 // stride, 64 // stride)
    assert encoder.channels == _stage_widths(stride)[-1]
    assert Decoder(5, stride)(torch.zeros(2, 5, 64 // stride, 64 // stride)).shape == (2, 3, 64, 64)


def test_the_widths_are_memaes() -> None:
    assert _stage_widths(16) == (96, 128, 256, 256)
    assert _stage_widths(4) == (96, 128)


@pytest.mark.parametrize("in_channels", [None, 7])
def test_a_reconstruction_does_not_depend_on_its_batch(in_channels: int | None) -> None:
    network = Reconstructor(Bottleneck(), in_channels=in_channels, width=4, stride=8)
    shape = (3, 3, 32, 32) if in_channels is None else (3, 7, 4, 4)
    seen = torch.randn(shape)
    network.train()(seen)
    whole, loss = network.eval()(seen)
    assert whole.shape == (3, 3, 32, 32)
    assert float(loss) == 0.0
    torch.testing.assert_close(network(seen[1:2])[0], whole[1:2], rtol=1e-4, atol=1e-5)


def test_latents_have_variance_one_whatever_the_encoder_gives() -> None:
    network = Reconstructor(Bottleneck(), in_channels=7, width=4, stride=8).train()
    latent = network.latent(50 + 30 * torch.randn(8, 7, 4, 4))
    torch.testing.assert_close(latent.var((0, 2, 3), correction=0), torch.ones(4), rtol=1e-3, atol=1e-3)


def test_the_order_of_locations_survives_the_bottleneck() -> None:
    network = Reconstructor(Bottleneck(), in_channels=7, width=4, stride=8).eval()
    seen = torch.randn(2, 7, 4, 4)
    torch.testing.assert_close(network(seen)[0], network.decoder(network.latent(seen)))


def test_pixels_are_standardised_by_the_references_and_back() -> None:
    network = Reconstructor(Bottleneck(), in_channels=7, width=4, stride=8)
    references = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    network.standardise_by(references)
    pixels = network.standardise(references)
    torch.testing.assert_close(pixels.mean((0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-4)
    torch.testing.assert_close(pixels.square().mean(), torch.ones(()), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(network.images(pixels), references.float(), rtol=0, atol=1e-3)
    assert {"mean", "std"} <= network.state_dict().keys()


def test_a_blank_reference_is_no_division_by_zero() -> None:
    network = Reconstructor(Bottleneck(), in_channels=7, width=4, stride=8)
    network.standardise_by(torch.full((1, 3, 32, 32), 9, dtype=torch.uint8))
    assert float(network.standardise(torch.full((1, 3, 32, 32), 10, dtype=torch.uint8)).max()) == 1.0


def test_crops_are_windows_of_their_images_and_repeat() -> None:
    images = torch.arange(2 * 3 * 48 * 48).remainder(251).to(torch.uint8).view(2, 3, 48, 48)
    crops = random_crops(images, 32, torch.Generator().manual_seed(3))
    assert crops.shape == (2, 3, 32, 32)
    windows = images.unfold(2, 32, 1).unfold(3, 32, 1)
    for n in range(2):
        assert (windows[n] == crops[n][:, None, None]).all(-1).all(-1).all(0).any()
    assert torch.equal(crops, random_crops(images, 32, torch.Generator().manual_seed(3)))
    assert torch.equal(random_crops(images, 64, torch.Generator().manual_seed(3)), images)
