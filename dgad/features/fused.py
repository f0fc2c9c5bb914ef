"""A frozen network as a CPU runs it quickest: fewer passes over memory, and weights laid out once.

Its maps are the network's own but for rounding (about 1e-6 of the largest value).
"""

import copy
import functools
from collections import Counter

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class FusedConv(nn.Module):
    """A convolution with the ReLU behind it, if there is one, by oneDNN.

    PyTorch's own way there lays out the weights at every call, which tells where there are few images
    (`benchmarks/scoring_parts.py`).
    """

    def __init__(self, conv: nn.Conv2d, *, relu: bool) -> None:
        super().__init__()
        self._weight, self._bias = conv.weight.detach(), conv.bias
        self._where = (list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups)
        self._after = "relu" if relu else "none"
        self._packed: dict[bool, Tensor] = {}

    def forward(self, map_NChw: Tensor) -> Tensor:
        """The map after it, of any shape."""
        # oneDNN lays weights out otherwise for one image than for several, and anew where it finds the other.
        several = map_NChw.shape[0] > 1
        if several not in self._packed:
            self._packed[several] = torch.ops.mkldnn._reorder_convolution_weight(
                self._weight, *self._where, list(map_NChw.shape)
            )
        made: Tensor = torch.ops.mkldnn._convolution_pointwise(
            map_NChw, self._packed[several], self._bias, *self._where, self._after, [], ""
        )
        return made


@torch.no_grad()
def fuse_layers(network: nn.Module) -> nn.Module:
    """The network in eval mode with BatchNorm in its convolutions' weights and ReLU behind them in one step.

    The given one stays as it is, and is itself the answer where there is nothing to be won: on a GPU, without
    oneDNN, without BatchNorm, or where what it does depends on its input so that it has no fixed graph.
    """
    if not can_fuse(network):
        return network
    try:
        traced = _traced(network)
    except (fx.proxy.TraceError, TypeError, ValueError, NotImplementedError):  # as proxies refuse
        return network
    steps = [node for node in traced.graph.nodes if node.op == "call_module"]
    uses = Counter(str(node.target) for node in steps)
    for node in steps:
        name = str(node.target)
        conv = traced.get_submodule(name)
        if not _is_plain(conv) or uses[name] > 1:
            continue
        assert isinstance(conv, nn.Conv2d)
        norm = _only_user(traced, node, nn.BatchNorm2d)
        if norm is not None:
            module = traced.get_submodule(str(norm.target))
            assert isinstance(module, nn.BatchNorm2d)
            conv = fuse_conv_bn_eval(conv, module)
            _drop(traced, norm)
        relu = _only_user(traced, node, nn.ReLU)
        if relu is not None:
            _drop(traced, relu)
        traced.set_submodule(name, FusedConv(conv, relu=relu is not None))
    traced.recompile()
    traced.delete_all_unused_submodules()
    return traced


def can_fuse(network: nn.Module) -> bool:
    """Whether there is something to be won."""
    weight = next(network.parameters(), None)
    return (
        weight is not None
        and weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
        and any(type(module) is nn.BatchNorm2d for module in network.modules())
    )


def _traced(network: nn.Module) -> fx.GraphModule:
    """The network as the graph of its steps, with its own modules in it.

    `fx.symbolic_trace` changes what calling any module does while it runs, also for other threads.
    """
    own = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    shell = copy.deepcopy(network, own)  # the tensors stay where they are
    graph = fx.Graph()
    tracer = fx.proxy.GraphAppendingTracer(graph)
    for name, module in shell.named_modules():
        if _is_step(module):
            module.__dict__["forward"] = functools.partial(_step, tracer, name)
    made = shell(fx.Proxy(graph.placeholder("images"), tracer))
    graph.output(tracer.create_arg(made))
    return fx.GraphModule(network, graph)


def _is_step(module: nn.Module) -> bool:
    """Whether it is taken as it is, and not by what it is made of."""
    has_own = any(True for _ in (*module.parameters(recurse=False), *module.buffers(recurse=False)))
    return has_own or not list(module.children())


def _step(tracer: fx.proxy.TracerBase, name: str, *given: object) -> fx.Proxy:
    made: fx.Proxy = tracer.create_proxy("call_module", name, given, {})
    return made


def _is_plain(module: nn.Module) -> bool:
    return (
        type(module) is nn.Conv2d and module.padding_mode == "zeros" and not isinstance(module.padding, str)
    )


def _only_user(traced: fx.GraphModule, node: fx.Node, kind: type[nn.Module]) -> fx.Node | None:
    """What takes the node's map, if nothing else does and it is of that kind.

    What does nothing between them is dropped.
    """
    while len(node.users) == 1:
        (user,) = node.users
        if user.op != "call_module":
            return None
        module = traced.get_submodule(str(user.target))
        if type(module) is kind:
            return user
        if type(module) is not nn.Identity:
            return None
        _drop(traced, user)
    return None


def _drop(traced: fx.GraphModule, node: fx.Node) -> None:
    node.replace_all_uses_with(node.all_input_nodes[0])
    traced.graph.erase_node(node)
