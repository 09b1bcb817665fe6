"""A UNet on patches is the plain UNet on folded images."""

from pathlib import Path

import pytest
import torch

from leakfront.errors import InputError
from leakfront.models.patches import PatchUNet, patch_of
from leakfront.models.unet import UNet

SMALL = UNet(channels=(8, 16), head_channels=8, patch=2)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("patch", range(1, 17))
def test_the_channels_tell_the_patch(channels: int, patch: int) -> None:
    assert patch_of(channels * patch**2) == patch


def test_it_is_the_plain_network_between_folding_and_unfolding(tmp_path: Path) -> None:
    from diffusers import UNet2DModel

    model = SMALL.build((3, 8, 8), 0, 3)
    model.save(tmp_path)
    assert model.image_shape == (3, 8, 8)
    plain = UNet2DModel.from_pretrained(tmp_path / "unet", use_safetensors=True).eval()
    assert not isinstance(plain, PatchUNet)
    x, t = torch.randn(2, 3, 8, 8), torch.tensor([3, 700])
    folded = x.reshape(2, 3, 4, 2, 4, 2).permute(0, 1, 3, 5, 2, 4).reshape(2, 12, 4, 4)
    with torch.no_grad():
        output = plain(folded, t).sample
        unfolded = output.reshape(2, 3, 2, 2, 4, 4).permute(0, 1, 4, 2, 5, 3).reshape(2, 3, 8, 8)
        torch.testing.assert_close(model.network.eval()(x, t).sample, unfolded)
        torch.testing.assert_close(SMALL.load(tmp_path).predict_noise(x, t), unfolded)


def test_sides_are_multiples_of_the_patch_at_every_resolution() -> None:
    SMALL.check((3, 12, 8))
    with pytest.raises(InputError, match=r"model.patch is 2, so each side of an image must be a multiple of 4 pixels"):
        SMALL.check((3, 8, 6))
