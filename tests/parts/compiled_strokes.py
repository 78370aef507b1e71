"""Run by test_fused.py in a process of its own, since UNDERSTUDY_COMPILE is read once: what the compiled passes give beside the others."""

import torch

from understudy.parts import strokes, strokes_compiled, sweep
from understudy.parts.kinds import jensen

assert sweep.strokes_for("cpu", torch.float32) is strokes_compiled
torch.manual_seed(0)
z, u = torch.randn(6, 50), 3 * torch.randn(6, 50)
over, over_p = (strokes.log_sum_exp(x).to(x) for x in (z, u))
torch.testing.assert_close(strokes_compiled.log_sum_exp(z), strokes.log_sum_exp(z), rtol=1e-6, atol=1e-6)
w, v = u.clone(), u.clone()
torch.testing.assert_close(
    strokes_compiled.compare(jensen(0.5), z, w, over, over_p), strokes.compare(jensen(0.5), z, v, over, over_p)
)
torch.testing.assert_close(w, v)
a = torch.randn(6, 1)
torch.testing.assert_close(strokes_compiled.slope(z, over, a, w, a), strokes.slope(z, over, a, v, a))
