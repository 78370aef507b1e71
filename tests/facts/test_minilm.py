"""MiniLM: what is tapped gives the very attention that the network uses; the terms are the paper's sums, token by token."""

import math

import torch

from understudy.parts.selfattention import relation, relation_kl


def test_the_attention_that_is_matched_is_the_one_the_network_pays():
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=20,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=30,
        attn_implementation="eager",
    )
    net = BertModel(config, add_pooling_layer=False).double().eval()
    ids, mask = torch.randint(20, (3, 6)), torch.tensor([[1] * 6, [1] * 4 + [0] * 2, [1] + [0] * 5])
    seen = {}
    for name in ("query", "key"):
        getattr(net.encoder.layer[-1].attention.self, name).register_forward_hook(
            lambda _m, _x, out, name=name: seen.update({name: out})
        )
    paid = net(ids, attention_mask=mask, output_attentions=True).attentions[-1]
    found = relation(seen["query"], seen["key"], mask > 0, 4).exp()
    for row, length in enumerate((6, 4, 1)):
        torch.testing.assert_close(found[row, :, :length], paid[row, :, :length])


def test_the_terms_are_the_sums_of_the_paper():
    """Eq. 7 and 9 in loops: each row alone, cut to its real tokens; networks of two widths."""
    v_u, v_s = torch.randn(3, 5, 8, dtype=torch.double), torch.randn(3, 5, 4, dtype=torch.double)
    lengths = (5, 3, 1)
    mask = torch.arange(5) < torch.tensor(lengths)[:, None]
    want = 0.0
    for row, n in enumerate(lengths):
        for head in range(2):
            r = []
            for v in (v_u[row, :n, 4 * head : 4 * head + 4], v_s[row, :n, 2 * head : 2 * head + 2]):
                r.append((v @ v.T / math.sqrt(v.shape[1])).softmax(1))
            want += sum((r[0][t] * (r[0][t] / r[1][t]).log()).sum().item() for t in range(n)) / (2 * n * 3)
    got = relation_kl(relation(v_u, v_u, mask, 2), relation(v_s, v_s, mask, 2), mask)
    torch.testing.assert_close(got.item(), want)
