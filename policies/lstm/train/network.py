"""The network: an LSTM over the recent past, and a small perceptron for each step ahead."""
import torch
from torch import nn
import torch.nn.functional as F

LEVELS = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99)
MIDDLE = LEVELS.index(0.5)
Z_LIMIT = 13.0
INPUT_LIMIT = 5.0  # deviations of an input from its mean, in standard deviations: what is stranger counts as this


class Network(nn.Module):
    def __init__(self, seq, once, step, anchors, peak=22, peak_anchors=8, hidden=48, first=64, second=48, peak_hidden=32, drop=0.0):
        super().__init__()
        self.shape = dict(seq=seq, once=once, step=step, anchors=anchors, peak=peak, peak_anchors=peak_anchors, hidden=hidden, first=first, second=second, peak_hidden=peak_hidden)
        self.lstm = nn.LSTM(seq, hidden, batch_first=True)
        self.shared = nn.Linear(hidden + once, first)
        self.step = nn.Linear(step, first, bias=False)
        self.second = nn.Linear(first, second)
        self.drop = nn.Dropout(drop)  # of the first layer, in training
        self.out = nn.Linear(second, anchors + 1 + len(LEVELS) - 1)
        self.peak_first = nn.Linear(hidden + once + peak, peak_hidden)
        self.peak_out = nn.Linear(peak_hidden, peak_anchors + 1 + len(LEVELS) - 1)
        self.anchors, self.peak_anchors = anchors, peak_anchors
        for name, value in (("once_mean", torch.zeros(once)), ("once_scale", torch.ones(once)), ("step_mean", torch.zeros(step)), ("step_scale", torch.ones(step)),
                            ("peak_mean", torch.zeros(peak)), ("peak_scale", torch.ones(peak))):
            self.register_buffer(name, value)

    @staticmethod
    def normal(x, mean, scale):
        return ((x - mean) * scale).clamp(-INPUT_LIMIT, INPUT_LIMIT)

    def context(self, seq, once):
        """What all steps of a forecast share: the memory's last output, then the once-features."""
        _, (h, _) = self.lstm(seq)
        return torch.cat([h[0], self.normal(once, self.once_mean, self.once_scale)], -1)

    def forward(self, seq, once, step, anchors):
        """Quantiles [B, L, Q] in units of z."""
        shared = self.shared(self.context(seq, once))
        x = F.relu(shared[:, None] + self.step(self.normal(step, self.step_mean, self.step_scale)))
        x = F.relu(self.second(self.drop(x)))
        return quantiles(self.out(x), anchors)

    def peak(self, context, peak, anchors):
        """Quantiles [B, Q] of the maximum, in units of z."""
        x = torch.cat([context, self.normal(peak, self.peak_mean, self.peak_scale)], -1)
        return quantiles(self.peak_out(self.drop(F.relu(self.peak_first(x)))), anchors)


def quantiles(o, anchors):
    """Trust divided among anchors and a correction: the median. Then positive gaps: quantiles never cross."""
    n = anchors.shape[-1]
    middle = (torch.softmax(o[..., :n], -1) * anchors).sum(-1, keepdim=True) + 0.3 * o[..., n:n + 1]
    gaps = F.softplus(o[..., n + 1:] - 2.0)
    below, above = gaps[..., :MIDDLE], gaps[..., MIDDLE:]
    return torch.cat([middle - below.cumsum(-1).flip(-1), middle, middle + above.cumsum(-1)], -1).clamp(-Z_LIMIT, Z_LIMIT)


def pinball(q, y, levels, weights):
    e = y[..., None] - q
    return (torch.maximum(levels * e, (levels - 1) * e) * weights).sum(-1)
