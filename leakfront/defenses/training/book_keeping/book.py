"""The book: what a forward and a backward pass leave behind, and the clipped sums that follow from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from opacus.grad_sample.functorch import prepare_layer
from opacus.grad_sample.grad_sample_module_fast_gradient_clipping import GradSampleHooksFastGradientClipping
from torch import nn
from torch.autograd.graph import GradientEdge

from leakfront.defenses.training.book_keeping.gradients import Call, Form, Ghost, Kept
from leakfront.defenses.training.book_keeping.layers import likeness, per_example
from leakfront.defenses.training.book_keeping.workspace import Workspace

SHORT = 4096  # numbers of a parameter whose gradients are copied into one matrix with those of others


class UnsupportedError(NotImplementedError):
    """A network without per-example gradients."""


class BookKeeping(GradSampleHooksFastGradientClipping):  # type: ignore[misc]
    """Opacus' hooks for fast gradient clipping, which only note a layer's input in the forward pass.

    Inside `with book:`, a forward pass gives losses [B K] of B examples with `draws` = K consecutive rows each. Then
    `backward(losses)` asks autograd for the gradients of the layers' outputs alone; it computes no gradient of a
    weight. The gradients of an example's mean loss follow from both, layer by layer. `norms` and `squared_norms` are
    theirs, and `weighted_sums` their sums with any weights. The next pass or the end of the block discards them.

    The network must not mix examples, and each layer with trainable parameters must see B K rows. On leaving, the
    network is as it was. form: "kept" or "ghost" forces a form of gradients, for tests; see `gradients.py`.

    Raises `NotImplementedError` on construction for a network that Opacus refuses, and `UnsupportedError` in the
    forward pass for a layer that does not map one tensor to one tensor.
    """

    def __init__(self, network: nn.Module, draws: int = 1, form: Form | None = None) -> None:
        super().__init__(network, loss_reduction="sum")
        self.cleanup()
        self._workspace, self._form = Workspace(draws), form
        self._names = {module: name for name, module in network.named_modules()}
        self._layers = list(self.iterate_submodules(network))
        uses = Counter(id(parameter) for layer in self._layers for parameter in layer.parameters())
        self._tied = {layer for layer in self._layers if any(uses[id(p)] > 1 for p in layer.parameters())}
        self._calls: list[tuple[nn.Module, torch.Tensor, int, Any]] = []
        self._edges: list[GradientEdge] = []
        self._gradients: dict[int, Kept | Ghost] = {}  # by the parameter's id, which is quicker than its hash
        self._short, self._long = list[Kept](), list[Kept | Ghost]()
        self._joined = torch.empty(0)

    def __enter__(self) -> Self:
        for layer in self._layers:
            if type(layer) not in self.GRAD_SAMPLERS:
                prepare_layer(layer)
        self.autograd_grad_sample_hooks = [
            layer.register_forward_hook(self.capture_activations_hook) for layer in self._layers
        ]
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()
        self.remove_hooks()

    def clear(self) -> None:
        """Discard what was noted and computed."""
        self._calls, self._edges = [], []
        self._gradients, self._short, self._long, self._joined = {}, [], [], torch.empty(0)
        self._workspace.reset()

    def add_hooks(self, **_: Any) -> None:
        """Nothing: hooks are on the layers only inside the block, and none of them acts in the backward pass."""

    def remove_hooks(self) -> None:
        """Take the hooks off, and what functorch left on layers without a grad sampler."""
        for handle in getattr(self, "autograd_grad_sample_hooks", []):
            handle.remove()
        self.autograd_grad_sample_hooks = []
        for layer in getattr(self, "_layers", []):
            layer.__dict__.pop("ft_compute_sample_grad", None)

    def capture_activations_hook(self, module: nn.Module, forward_input: Sequence[Any], output: Any) -> None:
        """Note a call of a layer, unless it computes no gradients."""
        if not isinstance(output, torch.Tensor) or len(forward_input) != 1:
            raise UnsupportedError(f"the layer {self._names[module]!r} must map one tensor to one tensor")
        node = output.grad_fn
        if node is None or not torch.is_grad_enabled():
            return
        statistics = None
        if type(module) is nn.GroupNorm and hasattr(node, "_saved_result1"):
            # detached, since a saved output holds its node, and the node everything before it
            statistics = node._saved_result1.detach(), node._saved_result2.detach()  # type: ignore[attr-defined]
        x = forward_input[0].detach()
        self._calls.append((module, x, x._version, statistics))
        self._edges.append(GradientEdge(node, output.output_nr))

    def backward(
        self, losses: torch.Tensor, rows: int | None = None, plain: Sequence[nn.Parameter] = ()
    ) -> list[torch.Tensor | None]:
        """Compute the gradients of the examples' mean losses, from losses [B K] that were computed inside the block.

        rows: the rows that passed through this network, if they are not all of the losses'. Returns the gradients of
        the sum over examples that autograd finds for the parameters of `plain`; None for one that it does not find.

        Raises `UnsupportedError` for a layer that sees another number of rows, or whose input was changed since.
        """
        calls, edges = self._calls, self._edges
        self.clear()
        rows = len(losses) if rows is None else rows
        total = losses.sum() / self._workspace.draws
        asked: list[Any] = [*edges, *plain]
        outputs: list[torch.Tensor | None] = [*torch.autograd.grad(total, asked, allow_unused=True)]
        found = outputs[len(edges) :]
        del outputs[len(edges) :]
        edges.clear()
        times = Counter(module for module, *_ in calls)
        alike: dict[Any, list[Call]] = {}
        with torch.no_grad():
            while calls:  # from the last layer to the first, so that memory is given back as it is taken
                (module, x, version, statistics), g = calls.pop(), outputs.pop()
                if g is None:  # the losses do not depend on this call
                    continue
                self._refuse(module, x, version, rows)
                call = Call(module, x, g, statistics, shared=times[module] > 1 or module in self._tied)
                key = likeness(call)
                if key is None:
                    self._take([call])
                else:
                    alike.setdefault(key, []).append(call)
            for together in alike.values():
                self._take(together)
            self._join()
        return found

    def _refuse(self, module: nn.Module, x: torch.Tensor, version: int, rows: int) -> None:
        if x._version != version:
            raise UnsupportedError(f"the input of the layer {self._names[module]!r} is changed in place behind it")
        if len(x) != rows:
            raise UnsupportedError(f"the layer {self._names[module]!r} sees {len(x)} rows in a batch of {rows}")

    def _take(self, calls: list[Call]) -> None:
        for found in per_example(calls, self._workspace, self._form):
            before = self._gradients.get(id(found.parameter))
            if isinstance(before, Kept) and isinstance(found, Kept):  # of a parameter that several calls use
                found.gradients += before.gradients
            self._gradients[id(found.parameter)] = found

    def _join(self) -> None:
        """Put the gradients of short parameters into one matrix, for one norm and one product instead of many."""
        for found in self._gradients.values():
            if isinstance(found, Kept) and found.shape is None and found.gradients.shape[2] <= SHORT:
                self._short.append(found)
            else:
                self._long.append(found)
        if self._short:
            lengths = [short.gradients.shape[2] for short in self._short]
            self._joined = torch.cat([short.gradients[0] for short in self._short], dim=1)
            for short, part in zip(self._short, torch.split(self._joined, lengths, dim=1), strict=True):
                short.gradients = part[None]

    def parameters(self) -> set[nn.Parameter]:
        """The parameters for which there are gradients."""
        return {found.parameter for found in self._gradients.values()}

    def squared_norms(self) -> dict[nn.Parameter, torch.Tensor]:
        """The squared norm of each example's gradient [B], for each parameter."""
        return {found.parameter: found.squared_norms() for found in self._gradients.values()}

    def norms(self) -> torch.Tensor:
        """The norm of each example's gradient [B], of all parameters together."""
        squared = [found.squared_norms() for found in self._long]
        if self._short:
            squared.append(torch.linalg.vector_norm(self._joined, dim=1).square_())
        return torch.stack(squared).sum(0).sqrt_()

    @torch.no_grad()  # else the kernel that gets a weight would record its use
    def weighted_sums(
        self, weights: torch.Tensor | Mapping[nn.Parameter, torch.Tensor]
    ) -> dict[nn.Parameter, torch.Tensor]:
        """The sum of the examples' gradients with weights [B], or with weights [B] for each parameter."""
        if isinstance(weights, Mapping):
            return {f.parameter: f.weighted_sum(weights[f.parameter]) for f in self._gradients.values()}
        sums = {found.parameter: found.weighted_sum(weights) for found in self._long}
        if self._short:
            parts = torch.split(weights @ self._joined, [short.gradients.shape[2] for short in self._short])
            sums |= {s.parameter: part.view_as(s.parameter) for s, part in zip(self._short, parts, strict=True)}
        return sums

    def forget(self, examples: torch.Tensor) -> None:
        """Set the gradients of examples to zero; bool [B]."""
        for found in self._gradients.values():
            found.forget(examples)
