"""Networks of tokens: which tokens are the image's and where, against a reshape of what plain hooks see."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import netviz
from netviz.capture import capture, channels_first, index_layers
from netviz.errors import LayerError
from netviz.geometry.field import geometry
from netviz.models.torchvision_import import import_torchvision
from support.gradients import network as check_fields

SIZE, GRID, WIDTH, OTHERS = (32, 48), (4, 6), 16, 3


class Attention(nn.Module):
    def __init__(self, fused: bool):
        super().__init__()
        self.qkv, self.proj, self.fused = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH), fused

    def forward(self, x):
        n, t, _ = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, 2, WIDTH // 2).permute(2, 0, 3, 1, 4).unbind(0)
        if self.fused:
            x = F.scaled_dot_product_attention(q, k, v)
        else:
            x = (q @ k.transpose(-2, -1) * 0.35).softmax(-1) @ v
        return self.proj(x.transpose(1, 2).reshape(n, t, WIDTH))


class Block(nn.Module):
    def __init__(self, fused: bool):
        super().__init__()
        self.norm1, self.attn, self.norm2 = nn.LayerNorm(WIDTH), Attention(fused), nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 32), nn.GELU(), nn.Linear(32, WIDTH))

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    """Two blocks on patches of 8 pixels, with a class token and two registers; classes by the class token."""

    def __init__(self, stem: bool = False, fused: bool = True):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1) if stem else nn.Identity()
        self.proj = nn.Conv2d(8, WIDTH, 4, 4) if stem else nn.Conv2d(3, WIDTH, 8, 8)
        self.others = nn.Parameter(torch.randn(1, OTHERS, WIDTH))
        self.place = nn.Parameter(torch.randn(1, OTHERS + GRID[0] * GRID[1], WIDTH))
        self.drop = nn.Dropout(0.1)
        self.blocks = nn.Sequential(Block(fused), Block(fused))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, 5)

    def forward(self, x):
        x = self.proj(self.stem(x)).flatten(2).transpose(1, 2)
        x = self.drop(torch.cat([self.others.expand(len(x), -1, -1), x], 1) + self.place)
        return self.head(self.norm(self.blocks(x))[:, 0])


def torchvision():
    return import_torchvision().models.VisionTransformer(32, 8, 2, 2, WIDTH, 32, num_classes=5)


NETWORKS = {
    "plain": (lambda: ViT(), SIZE, GRID, OTHERS),
    "stem": (lambda: ViT(stem=True, fused=False), SIZE, GRID, OTHERS),
    "torchvision": (torchvision, (32, 32), (4, 4), 1),
}


@pytest.fixture(params=NETWORKS)
def made(request):
    make, *rest = NETWORKS[request.param]
    torch.manual_seed(0)
    return (make().eval(), *rest)


def test_maps_are_the_tokens_of_the_image_on_the_grid(made):
    network, size, grid, others = made
    index = index_layers(network, size=size)
    tokens = [one for one in index if one.arrangement is not None]
    assert len(tokens) > 12
    assert {one.shape[1:] for one in tokens} == {grid}
    assert {str(one.arrangement) for one in tokens} == {f"tokens +{others}"}
    seen = {}
    handles = [
        module.register_forward_hook(lambda _, __, output, name=name: seen.setdefault(name, output))
        for name, module in network.named_modules()
    ]
    image = torch.rand(2, 3, *size)
    with torch.no_grad():
        network(image)
    for handle in handles:
        handle.remove()
    with torch.no_grad(), capture(network, tokens) as run:
        run(image)
    for layer in tokens:
        output = seen[layer.module][0] if isinstance(seen[layer.module], tuple) else seen[layer.module]
        maps = np.moveaxis(output.numpy()[:, others:], 1, 2).reshape(2, -1, *grid)
        assert np.array_equal(channels_first(layer, run[layer]).numpy(), maps), layer.name
    head = next(one for one in reversed(index) if one.kind == "fc")
    assert (head.shape, head.spatial) == ((5,), False)


def test_a_token_sees_its_patch_until_attention_shows_it_all(made):
    network, size, _, _ = made
    index = index_layers(network, size=size)
    fields = geometry(network, index)
    tokens = [fields[one] for one in index if one.arrangement is not None]
    first = next(at for at, one in enumerate(tokens) if one.status == "global")
    assert first in (1, 2, 3)
    assert not any(one.status == "global" for one in tokens[:first])
    assert {(one.status, one.size, one.stride) for one in tokens[first:]} == {("global", size, (0.0, 0.0))}
    assert {one.local for one in tokens[:first]} == {None}
    assert {one.local for one in tokens[first:]} == {tokens[0]}
    assert tokens[0].stride == (8, 8)
    assert tokens[0].center(0, 0) == ((3.5, 3.5) if tokens[0].size == (8, 8) else (3.0, 3.0))
    statuses, found = check_fields(network, size, 6)
    assert set(statuses) == {"exact", "global"}
    assert not [one for one in found if one.status == "wrong"]


def test_layers_says_tokens():
    network = ViT().eval()
    told = next(one for one in netviz.layers(network, size=SIZE) if one.name == "blocks.1").describe()
    assert (told["shape"], told["tokens"]) == ([WIDTH, *GRID], {"form": "tokens", "others": OTHERS})


def test_another_size_of_image_is_refused_where_it_would_move_tokens():
    network = nn.Sequential(nn.Conv2d(3, 4, 4, 4), nn.Flatten(2))
    layer = index_layers(network, size=(32, 48)).resolve("1")
    with (
        capture(network, [layer]) as run,
        pytest.raises(LayerError, match="for images of 32×48 pixels, not of"),
    ):
        run(torch.rand(1, 3, 48, 32))


TIMM = [
    "beit_base_patch16_224",
    "cait_xxs24_224",
    "caformer_s18",
    "convit_tiny",
    "crossvit_9_240",
    "davit_tiny",
    "deit3_small_patch16_224",
    "deit_tiny_distilled_patch16_224",
    "deit_tiny_patch16_224",
    "efficientvit_m0",
    "eva02_tiny_patch14_224",
    "hiera_tiny_224",
    "levit_128s",
    "mixer_s32_224",
    "mobilevit_xxs",
    "mvitv2_tiny",
    "nest_tiny",
    "pit_ti_224",
    "pvt_v2_b0",
    "resmlp_12_224",
    "sam2_hiera_tiny",
    "swin_tiny_patch4_window7_224",
    "swinv2_tiny_window8_256",
    "tiny_vit_5m_224",
    "twins_svt_small",
    "vit_base_resnet26d_224",
    "vit_small_patch14_reg4_dinov2",
    "vit_small_r26_s32_224",
    "vit_tiny_patch16_224",
    "volo_d1_224",
    "xcit_nano_12_p16_224",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", TIMM)
def test_what_timm_gives_as_maps_is_among_the_layers(name):
    import_torchvision()
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    network = timm.create_model(name).eval()
    size = network.default_cfg["input_size"][1:]
    index = index_layers(network, size=size)
    image = torch.rand(1, 3, *size)
    layers = [one for one in index if one.spatial]
    with torch.no_grad():
        with capture(network, layers) as run:
            run(image)
        kept = {one: channels_first(one, run[one]) for one in layers}
        wanted = network.forward_intermediates(image, output_fmt="NCHW", norm=False, intermediates_only=True)
    for maps in wanted:
        same = [one for one in kept.values() if one.shape == maps.shape]
        assert any(torch.allclose(one, maps, rtol=1e-4, atol=1e-5) for one in same), maps.shape
    assert all(
        one.no_maps for one in index if one.shape is not None and len(one.shape) > 1 and not one.spatial
    )
