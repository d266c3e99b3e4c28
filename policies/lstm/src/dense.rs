use crate::weights::{Damage, Reader};

/// Outputs computed at once: four vectors of 128 bits.
const LANES: usize = 16;

/// A fully connected layer. Each output is summed in the order of the inputs, so that vectors give the same bits as single numbers.
#[derive(Debug)]
pub(crate) struct Dense {
    inputs: usize,
    outputs: usize,
    /// For each block of outputs, its bias, then one row for each input; the last block is filled up with 0.
    rows: Vec<[f32; LANES]>,
}

impl Dense {
    /// From the weights, input by input, and after them the biases.
    pub(crate) fn read(reader: &mut Reader<'_>, inputs: usize, outputs: usize) -> Result<Self, Damage> {
        let weights = reader.numbers(inputs * outputs)?;
        let biases = reader.numbers(outputs)?;
        let rows_of = |block: usize| {
            let row = move |values: &[f32]| {
                std::array::from_fn(|lane| values.get(block * LANES + lane).copied().unwrap_or(0.0))
            };
            std::iter::once(row(&biases)).chain(weights.chunks(outputs).map(row)).collect::<Vec<_>>()
        };
        Ok(Self { inputs, outputs, rows: (0..outputs.div_ceil(LANES)).flat_map(rows_of).collect() })
    }

    /// Numbers that [`apply`](Self::apply) writes: as many as there are outputs, and a few more to fill the last block.
    pub(crate) fn room(&self) -> usize {
        self.outputs.div_ceil(LANES) * LANES
    }

    /// Adds to `out`, which is `room` long, the layer's answer to `x`.
    #[cfg_attr(target_family = "wasm", target_feature(enable = "simd128"))]
    pub(crate) fn add(&self, x: &[f32], out: &mut [f32]) {
        for (out, rows) in out.chunks_exact_mut(LANES).zip(self.rows.chunks_exact(self.inputs + 1)) {
            let Some((bias, rows)) = rows.split_first() else { continue };
            let mut sums = *bias;
            for (x, row) in x.iter().zip(rows) {
                for (sum, weight) in sums.iter_mut().zip(row) {
                    *sum += x * weight;
                }
            }
            for (out, sum) in out.iter_mut().zip(sums) {
                *out += sum;
            }
        }
    }

    /// Writes to `out`, which is `room` long, the layer's answer to `x`.
    pub(crate) fn apply(&self, x: &[f32], out: &mut [f32]) {
        out.fill(0.0);
        self.add(x, out);
    }
}
