"""Networks compared before they have learned anything."""

import torch
import torch.nn.functional as F
from torch import nn

from understudy.core.seeds import stream
from understudy.models.tiny import CNN
from understudy.parts.proxy import cams, gap, reborn, semantics


def test_a_linear_head_behind_a_mean_over_places_is_the_class_activation_map_of_its_weights(double):
    """Zhou et al. (2016): sum_f w_cf A_f, over the number of places."""
    maps, head = torch.randn(5, 7, 4, 3, requires_grad=True), nn.Linear(7, 6).double()
    out = head(maps.mean((2, 3)))
    by_hand = torch.einsum("cf,nfhw->cnhw", head.weight, maps).flatten(2) / 12
    torch.testing.assert_close(cams(out, maps), by_hand, rtol=1e-10, atol=1e-12)
    rows = by_hand.flatten(1)
    torch.testing.assert_close(semantics(out, maps), F.normalize(rows @ rows.T, dim=1), rtol=1e-10, atol=1e-12)


def test_tokens_are_places_too(double):
    tokens, head = torch.randn(5, 9, 7, requires_grad=True), nn.Linear(7, 6).double()
    maps = tokens.detach().mT.unflatten(2, (3, 3)).requires_grad_()
    torch.testing.assert_close(cams(head(tokens.mean(1)), tokens), cams(head(maps.mean((2, 3))), maps))


def test_reborn_is_the_architecture_alone():
    with stream("reborn"):
        net = CNN((1, 8, 8), 10, 4, (1, 1)).eval()
        net.register_forward_pre_hook(lambda _m, x: (x[0].roll(1, 0),))
        before = {k: v.clone() for k, v in net.state_dict().items()}
        made, other = reborn(net), reborn(net)
    assert not made._forward_pre_hooks and made.training and not net.training
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert not torch.equal(made.head.weight, net.head.weight) and not torch.equal(made.head.weight, other.head.weight)
    assert gap(made.head.weight.detach(), made.head.weight.detach()) == 0
