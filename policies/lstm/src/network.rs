use crate::dense::Dense;
use crate::features::{ANCHORS, Ahead, Features, ONCE, SEQUENCE_INPUTS, STEP};
use crate::math::{exp, sigmoid, softplus, tanh};
use crate::peak::{PEAK, PEAK_ANCHORS, PeakFeatures};
use crate::quantiles::{LEVELS, MIDDLE};
use crate::weights::{Damage, Reader};

/// Inputs are shown as deviations from their mean in training, in standard deviations; what is stranger than this counts as this.
const INPUT_LIMIT: f32 = 5.0;
/// No answer is further out, in units of z.
const Z_LIMIT: f32 = 13.0;
/// Room for an answer's anchors, or its gaps, in whole vectors of 128 bits.
const VECTORS: usize = 16;
const _: () = assert!(ANCHORS <= VECTORS && PEAK_ANCHORS <= VECTORS && LEVELS.len() <= VECTORS);
/// The median is corrected in these units, and gaps between quantiles start this narrow: where training began.
const CORRECTION: f32 = 0.3;
const GAP: f32 = -2.0;

/// A long short-term memory (Hochreiter and Schmidhuber 1997) over the recent past, one perceptron for each step ahead, one for the maximum.
#[derive(Debug)]
pub(crate) struct Network {
    hidden: usize,
    once: Standard,
    step: Standard,
    peak: Standard,
    gates: Dense,
    shared: Dense,
    first: Dense,
    second: Dense,
    out: Dense,
    peak_first: Dense,
    peak_out: Dense,
}

/// Widths that training is free to choose.
#[derive(Debug)]
pub(crate) struct Widths {
    hidden: usize,
    first: usize,
    second: usize,
    peak: usize,
}

impl Widths {
    /// From the head of a file, after the sizes that the code depends on.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Damage> {
        for size in [SEQUENCE_INPUTS, ONCE, STEP, ANCHORS, PEAK, PEAK_ANCHORS, LEVELS.len()] {
            reader.fixed(size)?;
        }
        Ok(Self { hidden: reader.width()?, first: reader.width()?, second: reader.width()?, peak: reader.width()? })
    }
}

/// Means and inverse standard deviations of inputs.
#[derive(Debug)]
struct Standard {
    means: Vec<f32>,
    scales: Vec<f32>,
}

/// One forecast being made: what all its steps share.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    network: &'a Network,
    /// Memory's last output, then the once-inputs.
    context: Vec<f32>,
    /// Their share of the first layer.
    shared: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
    out: Vec<f32>,
}

/// Quantiles at [`LEVELS`], in units of z.
pub(crate) type Answer = [f32; LEVELS.len()];

impl Network {
    /// The next one of a file.
    pub(crate) fn read(reader: &mut Reader<'_>, widths: &Widths) -> Result<Self, Damage> {
        let Widths { hidden, first, second, peak } = *widths;
        Ok(Self {
            hidden,
            once: Standard::read(reader, ONCE)?,
            step: Standard::read(reader, STEP)?,
            peak: Standard::read(reader, PEAK)?,
            gates: Dense::read(reader, SEQUENCE_INPUTS + hidden, 4 * hidden)?,
            shared: Dense::read(reader, hidden + ONCE, first)?,
            first: Dense::read(reader, STEP, first)?,
            second: Dense::read(reader, first, second)?,
            out: Dense::read(reader, second, ANCHORS + LEVELS.len())?,
            peak_first: Dense::read(reader, hidden + ONCE + PEAK, peak)?,
            peak_out: Dense::read(reader, peak, PEAK_ANCHORS + LEVELS.len())?,
        })
    }

    pub(crate) fn pass(&self, features: &Features) -> Pass<'_> {
        let hidden = self.hidden;
        let mut context = vec![0.0; hidden + ONCE];
        let mut cells = vec![0.0; hidden];
        let mut input = vec![0.0; SEQUENCE_INPUTS + hidden];
        let mut gates = vec![0.0; self.gates.room()];
        for step in &features.sequence {
            input[..SEQUENCE_INPUTS].copy_from_slice(step);
            self.gates.apply(&input, &mut gates);
            for (i, (cell, output)) in cells.iter_mut().zip(&mut input[SEQUENCE_INPUTS..]).enumerate() {
                let gate = |which: usize| gates[which * hidden + i];
                *cell = sigmoid(gate(1)) * *cell + sigmoid(gate(0)) * tanh(gate(2));
                *output = sigmoid(gate(3)) * tanh(*cell);
            }
        }
        context[..hidden].copy_from_slice(&input[SEQUENCE_INPUTS..]);
        self.once.apply(&features.once, &mut context[hidden..]);
        let mut shared = vec![0.0; self.shared.room()];
        self.shared.apply(&context, &mut shared);
        let room = |layer: &Dense| vec![0.0; layer.room()];
        Pass {
            network: self,
            context,
            shared,
            first: room(&self.first),
            second: room(&self.second),
            out: room(&self.out),
        }
    }
}

impl Pass<'_> {
    pub(crate) fn step(&mut self, ahead: &Ahead) -> Answer {
        let mut inputs = [0.0; STEP];
        self.network.step.apply(&ahead.inputs, &mut inputs);
        self.first.copy_from_slice(&self.shared);
        self.network.first.add(&inputs, &mut self.first);
        rectify(&mut self.first);
        self.network.second.apply(&self.first, &mut self.second);
        rectify(&mut self.second);
        self.network.out.apply(&self.second, &mut self.out);
        answer(&ahead.anchors, &self.out)
    }

    pub(crate) fn peak(&self, peak: &PeakFeatures) -> Answer {
        let network = self.network;
        let mut inputs = vec![0.0; self.context.len() + PEAK];
        let (context, own) = inputs.split_at_mut(self.context.len());
        context.copy_from_slice(&self.context);
        network.peak.apply(&peak.inputs, own);
        let mut first = vec![0.0; network.peak_first.room()];
        network.peak_first.apply(&inputs, &mut first);
        rectify(&mut first);
        let mut out = vec![0.0; network.peak_out.room()];
        network.peak_out.apply(&first, &mut out);
        answer(&peak.anchors, &out)
    }
}

/// Trust divided among the anchors, then a correction: the median. Then the gaps between it and the other quantiles, which are positive:
/// they never cross.
fn answer<const N: usize>(anchors: &[f32; N], out: &[f32]) -> Answer {
    let (trust, rest) = out.split_at(N);
    let most = trust.iter().copied().fold(f32::MIN, f32::max);
    // A few more than there are, so that all fit into vectors.
    let mut weights = [f32::MIN; VECTORS];
    weights[..N].copy_from_slice(trust);
    for weight in &mut weights {
        *weight = exp(*weight - most);
    }
    let (mut sum, mut total) = (0.0, 0.0);
    for (anchor, weight) in anchors.iter().zip(weights) {
        sum += weight * anchor;
        total += weight;
    }
    let middle = sum / total + CORRECTION * rest[0];
    let mut gaps = [0.0; VECTORS];
    gaps[..LEVELS.len() - 1].copy_from_slice(&rest[1..LEVELS.len()]);
    for gap in &mut gaps {
        *gap = softplus(*gap + GAP);
    }
    let gap = |i: usize| gaps[i];
    let mut answer = [middle; LEVELS.len()];
    for below in 0..MIDDLE {
        answer[MIDDLE - 1 - below] = answer[MIDDLE - below] - gap(below);
    }
    for above in MIDDLE + 1..LEVELS.len() {
        answer[above] = answer[above - 1] + gap(above - 1);
    }
    answer.map(|z| z.clamp(-Z_LIMIT, Z_LIMIT))
}

/// Never below 0.
fn rectify(values: &mut [f32]) {
    for value in values {
        *value = value.max(0.0);
    }
}

impl Standard {
    fn read(reader: &mut Reader<'_>, count: usize) -> Result<Self, Damage> {
        Ok(Self { means: reader.numbers(count)?, scales: reader.numbers(count)? })
    }

    fn apply(&self, inputs: &[f32], out: &mut [f32]) {
        for (((out, input), mean), scale) in out.iter_mut().zip(inputs).zip(&self.means).zip(&self.scales) {
            *out = ((input - mean) * scale).clamp(-INPUT_LIMIT, INPUT_LIMIT);
        }
    }
}
