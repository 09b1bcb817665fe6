"""Book-keeping: per-example norms and weighted sums are those of one backpropagation for each example."""

import gc
import math

import psutil
import pytest
import torch
from opacus.optimizers.optimizer import _mark_as_processed
from torch import nn

import leakfront  # noqa: F401  (lets torchvision, and so diffusers, be imported)
from leakfront.defenses.training.book_keeping import BookKeeping, PrivateOptimizer, UnsupportedError
from leakfront.defenses.training.book_keeping.gradients import Kept, cheaper_form

EXAMPLES = 3
IMAGE, TOKENS, VECTOR = (6, 8, 8), (7, 6), (6,)


class Twice(nn.Module):
    """A convolution that is called at two sizes, and two linear layers with one weight."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(6, 6, 3, padding=1)
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)
        self.second.weight = self.first.weight

    def forward(self, x):
        x = self.conv(nn.functional.avg_pool2d(self.conv(x), 2)).flatten(2).transpose(1, 2)
        return self.second(torch.tanh(self.first(x)))


class Table(nn.Module):
    """An embedding of positions' signs, some of which repeat."""

    def __init__(self, **options):
        super().__init__()
        self.table = nn.Embedding(5, 4, **options)

    def forward(self, x):
        return self.table((x[..., 0] * 2).round().clamp(-2, 2).long() + 2)


LAYERS = {
    "linear": (lambda: nn.Linear(6, 5), VECTOR),
    "linear of tokens": (lambda: nn.Linear(6, 5), TOKENS),
    "linear, no bias": (lambda: nn.Linear(6, 5, bias=False), (2, 3, 6)),
    "conv 3x3": (lambda: nn.Conv2d(6, 5, 3, padding=1), IMAGE),
    "conv 1x1": (lambda: nn.Conv2d(6, 5, 1), IMAGE),
    "conv, stride 2": (lambda: nn.Conv2d(6, 5, 3, stride=2, padding=1), IMAGE),
    "conv, unequal": (lambda: nn.Conv2d(6, 5, (3, 2), stride=(1, 2), padding=(2, 0), dilation=(2, 1)), IMAGE),
    "conv, groups": (lambda: nn.Conv2d(6, 4, 3, groups=2), IMAGE),
    "conv, padding by name": (lambda: nn.Conv2d(6, 4, 3, padding="same"), IMAGE),
    "conv of few positions": (lambda: nn.Conv2d(6, 5, 3, padding=1), (6, 2, 2)),
    "group norm": (lambda: nn.GroupNorm(3, 6), IMAGE),
    "group norm of tokens": (lambda: nn.Sequential(nn.Linear(6, 6), nn.GroupNorm(7, 7)), TOKENS),
    "layer norm, by Opacus": (lambda: nn.LayerNorm(6), TOKENS),
    "conv of sequences, by Opacus": (lambda: nn.Conv1d(7, 3, 3, padding=1), TOKENS),
    "embedding": (Table, TOKENS),
    "embedding with padding": (lambda: Table(padding_idx=2), TOKENS),
    "several equal layers": (
        lambda: nn.Sequential(*(nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.GroupNorm(2, 6)) for _ in range(3))),
        IMAGE,
    ),
    "layers called twice": (Twice, IMAGE),
}


def losses_of(network, rows):
    outputs = network(rows).flatten(1)
    weights = torch.linspace(-1, 2, outputs.shape[1], dtype=rows.dtype)
    return ((outputs * weights).square() + outputs).mean(dim=1)


def one_by_one(network, losses, draws=1):
    """[examples, P]: the gradient of each example's mean loss from a backpropagation of its own."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    found = []
    for own in losses.split(draws):
        gradients = torch.autograd.grad(own.mean(), parameters, retain_graph=True, allow_unused=True)
        parts = zip(gradients, parameters, strict=True)
        found.append(torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for g, p in parts]))
    return torch.stack(found)


def check(network, losses_from, draws, form=None, tolerance=1e-12):
    """Compare norms, norms of tensors, and sums by both ways of weighting with one-by-one backpropagation."""
    truth = one_by_one(network, losses_from(), draws)
    weights = torch.linspace(0.2, 1.0, len(truth), dtype=truth.dtype)
    trained = [p for p in network.parameters() if p.requires_grad]
    book = BookKeeping(network, draws, form)
    for _ in range(2):  # the second pass writes over the memory of the first
        with book:
            losses = losses_from()
            (plain, *_) = book.backward(losses, plain=trained[:1])
            torch.testing.assert_close(plain, truth.sum(0)[: trained[0].numel()].view_as(trained[0]))
            assert book.parameters() == set(trained)
            torch.testing.assert_close(book.norms(), truth.norm(dim=1), rtol=tolerance, atol=0)
            of_tensors = torch.stack([book.squared_norms()[p].sqrt() for p in trained])
            expected = torch.stack([part.norm(dim=1) for part in truth.split([p.numel() for p in trained], dim=1)])
            torch.testing.assert_close(of_tensors, expected, rtol=100 * tolerance, atol=1e-7 * float(truth.norm()))
            for given in (weights, dict.fromkeys(trained, weights)):
                sums = book.weighted_sums(given)
                assert all(sums[p].shape == p.shape for p in trained)
                found = torch.cat([sums[p].flatten() for p in trained])
                torch.testing.assert_close(found, weights @ truth, rtol=0, atol=tolerance * float(truth.norm()))
    return book


@pytest.mark.parametrize("form", ["kept", "ghost"])
@pytest.mark.parametrize("draws", [1, 4])
@pytest.mark.parametrize("name", list(LAYERS))
def test_layers(name, draws, form):
    make, shape = LAYERS[name]
    torch.manual_seed(0)
    network = make().double()
    rows = torch.randn(EXAMPLES * draws, *shape, dtype=torch.float64)
    check(network, lambda: losses_of(network, rows), draws, form)


@pytest.mark.parametrize("draws", [1, 4])
@pytest.mark.parametrize("form", ["kept", "ghost", None])
def test_channels_last_inputs(draws, form):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(6, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.Conv2d(8, 5, 1)).double()
    rows = torch.randn(EXAMPLES * draws, *IMAGE, dtype=torch.float64).to(memory_format=torch.channels_last)
    check(network, lambda: losses_of(network, rows), draws, form)


@pytest.mark.parametrize("draws", [1, 4])
@pytest.mark.parametrize("form", ["kept", "ghost", None])
def test_an_unconditional_and_class_conditional_unet_with_attention(draws, form):
    from diffusers import UNet2DModel

    torch.manual_seed(0)
    network = UNet2DModel(
        sample_size=8, in_channels=1, out_channels=1, layers_per_block=1, block_out_channels=(8, 16),
        down_block_types=("AttnDownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "AttnUpBlock2D"),
        attention_head_dim=8, norm_num_groups=4, num_class_embeds=4,
    ).double()  # fmt: skip
    rows = torch.randn(EXAMPLES * draws, 1, 8, 8, dtype=torch.float64)
    labels, t = torch.arange(len(rows)) % 4, torch.arange(len(rows)) * 7

    def losses():
        return (network(rows, t, class_labels=labels).sample - rows).square().mean(dim=(1, 2, 3))

    check(network, losses, draws, form, tolerance=1e-10)


def test_a_unet_on_patches_with_edms_preconditioning() -> None:
    from leakfront.models.unet import UNet

    model = UNet(channels=(8,), head_channels=8, patch=2, prediction="edm").build((1, 8, 8), 0, 0)
    network, loss = model.network.double(), model.loss()
    images, none = torch.rand(EXAMPLES, 1, 8, 8).double() * 2 - 1, torch.zeros(EXAMPLES, dtype=torch.long)

    def losses():
        return loss(network, images, none, torch.Generator().manual_seed(0))

    check(network, losses, 1, tolerance=1e-5)  # the noise levels are of single precision


@pytest.mark.parametrize("draws", [1, 2])
def test_cross_attention(draws):
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    network = UNet2DConditionModel(
        sample_size=8, in_channels=1, out_channels=1, layers_per_block=1, block_out_channels=(8, 16),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        attention_head_dim=4, norm_num_groups=4, cross_attention_dim=6,
    ).double()  # fmt: skip
    rows, text = torch.randn(EXAMPLES * draws, 1, 8, 8).double(), torch.randn(EXAMPLES * draws, 5, 6).double()
    t = torch.arange(len(rows)) * 7

    def losses():
        return (network(rows, t, encoder_hidden_states=text).sample - rows).square().mean(dim=(1, 2, 3))

    check(network, losses, draws, tolerance=1e-10)


def test_frozen_parameters_have_no_gradients():
    network = nn.Sequential(nn.Conv2d(6, 8, 3), nn.GroupNorm(2, 8), nn.Conv2d(8, 5, 1)).double()
    network[0].weight.requires_grad_(False)
    network[1].requires_grad_(False)
    network[2].bias.requires_grad_(False)
    rows = torch.randn(EXAMPLES, *IMAGE, dtype=torch.float64)
    book = check(network, lambda: losses_of(network, rows), 1)
    with book:
        book.backward(losses_of(network, rows))
        assert book.parameters() == {network[0].bias, network[2].weight}


def test_a_layer_on_which_the_losses_do_not_depend_has_none():
    network = nn.ModuleList([nn.Linear(6, 1), nn.Linear(6, 1)])
    rows = torch.randn(EXAMPLES, 6)
    with BookKeeping(network) as book:
        network[1](rows)
        book.backward(network[0](rows).flatten())
        assert book.parameters() == set(network[0].parameters())


def test_forgotten_examples_count_for_nothing_even_if_they_are_not_finite():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(6, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.Flatten(), nn.Linear(512, 2)).double()
    rows = torch.randn(EXAMPLES, *IMAGE, dtype=torch.float64)
    expected = one_by_one(network, losses_of(network, rows))[[0, 2]].sum(0)
    rows[1, 0, 0, 0] = math.inf
    for form in ("kept", "ghost"):
        with BookKeeping(network, form=form) as book:
            book.backward(losses_of(network, rows))
            broken = ~book.norms().isfinite()
            assert broken.tolist() == [False, True, False]
            book.forget(broken)
            sums = book.weighted_sums(torch.ones(3, dtype=torch.float64))
            found = torch.cat([sums[p].flatten() for p in network.parameters()])
            torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
            assert float(book.norms()[1]) == 0
    assert rows[1, 0, 0, 0] == math.inf  # the images themselves are left alone


class _ChangesItsInput(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x):
        hidden = x * 2
        out = self.linear(hidden)
        hidden.mul_(0.5)
        return out


def test_what_has_no_per_example_gradients_is_refused_with_the_name_of_the_layer():
    network = _ChangesItsInput()
    with BookKeeping(network) as book, pytest.raises(UnsupportedError, match=r"'linear' is changed in place"):
        book.backward(network(torch.randn(3, 6)).sum(1))
    network = nn.Sequential(nn.Linear(6, 6))
    with BookKeeping(network) as book, pytest.raises(UnsupportedError, match=r"'0' sees 6 rows in a batch of 3"):
        book.backward(network(torch.randn(6, 6)).sum(1)[:3])
    with BookKeeping(nn.Sequential(nn.GRU(6, 6))) as book, pytest.raises(UnsupportedError, match=r"one tensor"):
        book._module(torch.randn(3, 4, 6))


def test_hooks_and_attributes_are_gone_afterwards_even_after_an_error():
    network = nn.Sequential(nn.Linear(6, 6), nn.LayerNorm(6))
    book = BookKeeping(network)

    def fail():
        with book:
            network(torch.randn(3, 6))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not any(module._forward_hooks or module._backward_hooks for module in network.modules())
    assert not any(hasattr(p, name) for p in network.parameters() for name in ("grad_sample", "_forward_counter"))
    assert not book._calls
    assert not book._edges


def test_memory_does_not_grow_with_steps():
    network = nn.Sequential(*(nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.GroupNorm(2, 6)) for _ in range(4)))
    book, rows = BookKeeping(network), torch.randn(64, 6, 16, 16)
    used = []
    for step in range(80):
        with book:
            book.backward(losses_of(network, rows))
            book.weighted_sums(torch.ones(64))
        if step in (20, 79):
            gc.collect()
            used.append(psutil.Process().memory_info().rss)
    assert used[1] - used[0] < 16e6  # a step's activations take 16 MB, one of them 0.4; 59 steps lie between


def test_the_form_follows_from_the_shapes():
    assert cheaper_form(positions=64, inputs=144, outputs=16, gram_inputs=16) == "kept"
    assert cheaper_form(positions=16, inputs=1152, outputs=128, gram_inputs=128) == "ghost"
    assert cheaper_form(positions=4096, inputs=2304, outputs=256, gram_inputs=256) == "kept"


def test_shared_weights_are_kept_in_the_order_of_their_own_dimensions():
    network = Twice().double()
    book = BookKeeping(network)
    with book:
        book.backward(losses_of(network, torch.randn(EXAMPLES, *IMAGE, dtype=torch.float64)))
        found = book._gradients[id(network.conv.weight)]
    assert isinstance(found, Kept)


# The optimizer


def optimizer_of(parameters, **settings):
    settings = {"noise_multiplier": 2.0, "max_grad_norm": 0.5, "expected_batch_size": 4, **settings}
    return PrivateOptimizer(torch.optim.SGD(parameters, lr=1.0), **settings)


def test_the_noise_of_all_parameters_has_the_standard_deviation_of_the_mechanism():
    parameters = [nn.Parameter(torch.zeros(size)) for size in ((200, 300), (7,), (40, 50, 3, 3))]
    optimizer = optimizer_of(parameters)
    optimizer.generator = torch.Generator().manual_seed(0)
    parameters[0].grad = torch.full((200, 300), 8.0)
    optimizer.step()
    expected = 2.0 * 0.5 / 4
    for parameter, mean in zip(parameters, (-2.0, 0.0, 0.0), strict=True):
        count = parameter.numel()
        assert parameter.mean().item() == pytest.approx(mean, abs=4 * expected / count**0.5)
        if count > 100:
            assert parameter.std().item() == pytest.approx(expected, rel=4 / (2 * count) ** 0.5)
    noise = torch.cat([(parameter - parameter.mean()).flatten() for parameter in parameters])
    assert len(noise.unique()) > 0.99 * len(noise)  # no part is drawn twice


def test_the_sum_over_processes_comes_before_the_noise():
    parameter = nn.Parameter(torch.zeros(1000))
    optimizer = optimizer_of([parameter], add_up=lambda sums: sums.mul_(3), noise_multiplier=1.0)
    optimizer.generator = torch.Generator().manual_seed(0)
    parameter.grad = torch.ones(1000)
    optimizer.step()
    assert -parameter.mean().item() == pytest.approx(3 / 4, abs=4 * 0.125 / 1000**0.5)
    assert parameter.std().item() == pytest.approx(0.5 / 4, rel=0.1)


def test_a_gradient_with_noise_is_not_taken_for_a_sum():
    parameter = nn.Parameter(torch.zeros(10))
    optimizer = optimizer_of([parameter])
    optimizer.step()
    with pytest.raises(ValueError, match="haven't been cleared"):
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    optimizer.step()
    parameter.grad = torch.zeros(10)
    _mark_as_processed(parameter.grad)
    with pytest.raises(ValueError, match="haven't been cleared"):
        optimizer.step()
