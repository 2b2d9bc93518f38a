"""Structured pruning: removes whole channels, those of least importance per cost first, down to the target.

torch-pruning (Fang et al., "DepGraph", CVPR 2023) says which layers' channels hang together; which go is decided here,
by importance lost over multiply-accumulates saved. Both halves and all inner blocks of a C2f keep one width, so the
result is an ordinary ultralytics network again (see `chunks`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from detector.core.errors import ModelError, UsageError
from detector.core.progress import Progress, quiet

from .importance import Scores, magnitude, sensitivity
from .network import Size, keep_deployed, output_layers, positions, raw, size_of
from .split_blocks import SplitBlock, join, split

ROUND = 8
"""Widths are multiples of this: what vector units and tensor cores work in."""

_LEAST = 0.25  # of a layer's width stays: thinner ones cut the network in two
_RESCORE = 6  # so many times on the way: what is left becomes more important as the rest goes
_TRACE = (320, 320)  # px; shapes do not matter to what hangs together
_MIN_TARGET = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """The pruned network, in eval mode, and its size beside the original's; `widths` by layer name, before and after.

    `original` is the given network with its deployed head alone.
    """

    model: Any
    original: Any
    before: Size
    after: Size
    widths: Mapping[str, tuple[int, int]]


@dataclass(slots=True, kw_only=True)
class _Unit:
    """Groups whose widths must stay equal, each by its first convolution; `least` channels stay."""

    roots: list[Any]
    least: int


def prune(
    model: Any,
    *,
    macs: float,
    size: tuple[int, int],
    pictures: Sequence[Any] = (),
    round_to: int = ROUND,
    seed: int = 0,
    report: Progress = quiet,
) -> Pruned:
    """`model` (an ultralytics detection network, left as it is) cut to the share `macs` of its work at `size` (w, h px).

    `pictures` (float32 [1,3,H,W], RGB 0..1) say what matters; without them weights' magnitudes must. Raises UsageError
    for a share that no pruning gives, ModelError for a network that cannot be taken apart.
    """
    check_share(macs)
    original = copy.deepcopy(model).eval()
    keep_deployed(original)
    work = copy.deepcopy(original)
    for parameter in work.parameters():
        parameter.requires_grad_(True)  # checkpoints come frozen, and a graph without gradients has no edges
    blocks = split(work)
    cut = _Cut(work, blocks, places=positions(work, *size), round_to=round_to)
    before = size_of(work, cut.places)
    cut.down_to(macs * before.macs, scorer(pictures, seed), report)
    names = {layer: name for name, layer in work.named_modules()}
    widths = {names[root]: (start, root.out_channels) for root, start in cut.started.items()}
    after = size_of(work, cut.places)
    join(work)
    return Pruned(model=work.eval(), original=original, before=before, after=after, widths=widths)


def check_share(macs: float) -> None:
    """Raises UsageError for a share of the work that is none, or less than pruning can leave."""
    if not _MIN_TARGET <= macs < 1.0:
        raise UsageError(f"--macs {macs:g}: the share of the work to keep must lie in {_MIN_TARGET:g}..1")


def scorer(pictures: Sequence[Any], seed: int) -> Callable[[Any], Scores]:
    """How channels are judged: by the outputs on `pictures` where there are any, else by their weights."""
    return lambda model: sensitivity(model, pictures, seed=seed) if pictures else magnitude(model)


class _Cut:
    """The network under the knife: its groups of channels that go together, and what they cost."""

    def __init__(self, model: Any, blocks: Sequence[SplitBlock], *, places: Mapping[Any, int], round_to: int) -> None:
        self.places = places
        self._model, self._round = model, round_to
        self._graph, groups = _trace(model)
        self._units = self._tied(groups, {block.cv2.conv: number for number, block in enumerate(blocks)})
        self.started = {root: root.out_channels for unit in self._units for root in unit.roots}
        self._scores: Scores = {}

    def _tied(self, groups: Sequence[Any], collectors: Mapping[Any, int]) -> list[_Unit]:
        """One unit a group, but one a C2f for all that its last convolution reads."""
        tied: dict[Any, list[Any]] = {}
        for group in groups:
            root = group[0].dep.target.module
            reads = [
                collectors[item.dep.target.module]
                for item in group
                if item.dep.target.module in collectors and not self._is_out(item)
            ]
            tied.setdefault(reads[0] if reads else root, []).append(root)
        step, found = self._round, []
        for roots in tied.values():
            width = int(roots[0].out_channels * _LEAST)
            found.append(_Unit(roots=roots, least=max(step, -(-width // step) * step)))
        return found

    def down_to(self, target: float, score: Callable[[Any], Scores], report: Progress) -> None:
        """Takes one step of channels after the other; raises UsageError where nothing is left to take."""
        whole = self._macs()
        prices: list[float] = []
        rescore_at = float(whole)
        while (now := self._macs()) > target:
            if now <= rescore_at:
                self._scores, rescore_at = score(self._model), now - (whole - target) / _RESCORE
                prices = [self._price(unit) for unit in self._units]
            chosen = prices.index(min(prices))
            if prices[chosen] == float("inf"):
                raise UsageError(f"--macs: {now / whole:.2f} of the work is the least that pruning can leave here")
            self._take(self._units[chosen])
            prices[chosen] = self._price(
                self._units[chosen]
            )  # its neighbours' hardly change: seen to at the next score
            report(whole - max(self._macs(), round(target)), whole - round(target), "pruning")

    def _macs(self) -> int:
        return size_of(self._model, self.places).macs

    def _price(self, unit: _Unit) -> float:
        """Importance lost for each multiply-accumulate saved by the next step."""
        width = unit.roots[0].out_channels
        count = width % self._round or self._round
        if width - count < unit.least:
            return float("inf")
        lost, saved = 0.0, 0.0
        for root in unit.roots:
            group = self._group(root)
            lost += float(self._importance(group).sort().values[:count].sum())
            saved += self._saved(group) * count / width
        return lost / max(saved, 1.0)

    def _take(self, unit: _Unit) -> None:
        for root in unit.roots:
            count = root.out_channels % self._round or self._round
            least = self._importance(self._group(root)).argsort()[:count].tolist()
            going = self._graph.get_pruning_group(root, _out_channels(), least)
            for item in going:
                if item.dep.target.module in self._scores and self._is_out(item):
                    kept = sorted(set(range(len(self._scores[item.dep.target.module]))) - set(item.idxs))
                    self._scores[item.dep.target.module] = self._scores[item.dep.target.module][kept]
            going.prune()

    def _group(self, root: Any) -> Any:
        return self._graph.get_pruning_group(root, _out_channels(), list(range(root.out_channels)))

    def _importance(self, group: Any) -> Any:
        """Of each channel of the group: the sum over its batch norms. float32 [channels]."""
        total = torch.zeros(group[0].dep.target.module.out_channels)
        for item in group:
            if item.dep.target.module in self._scores and self._is_out(item):
                total.index_add_(0, torch.tensor(item.root_idxs), self._scores[item.dep.target.module][item.idxs])
        return total

    def _saved(self, group: Any) -> float:
        """Multiply-accumulates that all of the group's channels stand for."""
        saved = 0.0
        for item in group:
            layer = item.dep.target.module
            if isinstance(layer, nn.Conv2d):
                width = layer.out_channels if self._is_out(item) else layer.in_channels
                saved += self.places.get(layer, 0) * layer.weight.numel() * len(item.idxs) / width
        return saved

    def _is_out(self, item: Any) -> bool:
        return bool(self._graph.is_out_channel_pruning_fn(item.dep.handler))


def _out_channels() -> Any:
    import torch_pruning

    return torch_pruning.prune_conv_out_channels


def _trace(model: Any) -> tuple[Any, list[Any]]:
    """The dependency graph and its groups, attention and outputs left whole; raises ModelError."""
    try:
        import torch_pruning
    except ImportError:
        raise ModelError("torch-pruning is not installed: pip install 'detector[optimize]'") from None

    def outputs(traced: Any, pictures: Any) -> Any:
        found = raw(traced, pictures)
        return [found.boxes, found.scores]

    whole = [*output_layers(model), model.model[-1].dfl, *_attention(model)]
    inner = [module for each in whole for module in each.modules()]
    try:
        graph = torch_pruning.DependencyGraph().build_dependency(
            model, example_inputs=torch.zeros(1, 3, *_TRACE), forward_fn=outputs, verbose=False
        )
        groups = list(graph.get_all_groups(ignored_layers=inner, root_module_types=[nn.Conv2d]))
    except (RuntimeError, ValueError, AssertionError, KeyError, AttributeError, IndexError) as error:
        reason = " ".join(str(error).split())[:150]
        raise ModelError(f"this network's layers cannot be followed for pruning: {reason or type(error)}") from None
    if not groups:
        raise ModelError("this network has no channels that pruning could take")
    return graph, groups


def _attention(model: Any) -> list[Any]:
    """Blocks around attention: query, key and value share one convolution's channels, heads and halves."""
    found = []
    for module in model.modules():
        if any(type(inner).__name__ == "Attention" for inner in module.children()):
            found += [layer for name, layer in module.named_children() if name in ("cv1", "attn")]
        if type(module).__name__ in ("C2PSA", "C2fPSA"):
            found.append(module.cv1)
    return found
