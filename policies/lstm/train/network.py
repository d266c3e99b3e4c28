"""The network: an LSTM over the recent past, and a small perceptron for each step ahead."""
import torch
from torch import nn
import torch.nn.functional as F

LEVELS = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99)
MIDDLE = LEVELS.index(0.5)
Z_LIMIT = 13.0


class Network(nn.Module):
    def __init__(self, seq, once, step, anchors, hidden=48, first=64, second=48):
        super().__init__()
        self.lstm = nn.LSTM(seq, hidden, batch_first=True)
        self.shared = nn.Linear(hidden + once, first)
        self.step = nn.Linear(step, first, bias=False)
        self.second = nn.Linear(first, second)
        self.out = nn.Linear(second, anchors + 1 + len(LEVELS) - 1)
        self.anchors = anchors
        for name, value in (("once_mean", torch.zeros(once)), ("once_scale", torch.ones(once)), ("step_mean", torch.zeros(step)), ("step_scale", torch.ones(step))):
            self.register_buffer(name, value)

    def encode(self, seq, once):
        _, (h, _) = self.lstm(seq)
        return self.shared(torch.cat([h[0], (once - self.once_mean) * self.once_scale], -1))

    def forward(self, seq, once, step, anchors):
        """Quantiles [B, L, Q] in units of z."""
        shared = self.encode(seq, once)
        x = F.relu(shared[:, None] + self.step((step - self.step_mean) * self.step_scale))
        x = F.relu(self.second(x))
        o = self.out(x)
        n = self.anchors
        middle = (torch.softmax(o[..., :n], -1) * anchors).sum(-1) + 0.3 * o[..., n]
        gaps = F.softplus(o[..., n + 1:] - 2.0)
        below, above = gaps[..., :MIDDLE], gaps[..., MIDDLE:]
        low = middle[..., None] - below.cumsum(-1).flip(-1)
        high = middle[..., None] + above.cumsum(-1)
        return torch.cat([low, middle[..., None], high], -1).clamp(-Z_LIMIT, Z_LIMIT)


def pinball(q, y, levels, weights):
    e = y[..., None] - q
    return (torch.maximum(levels * e, (levels - 1) * e) * weights).sum(-1)
