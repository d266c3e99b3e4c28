use crate::weights::{Damage, Reader};

/// Outputs computed at once: eight vectors of 128 bits, as many as can be added to while the first is still being added.
const WIDE: usize = 32;
/// What is left over is computed so many at once.
const NARROW: usize = 16;

/// A fully connected layer. Each output is summed in the order of the inputs, so that vectors give the same bits as single numbers.
#[derive(Debug)]
pub(crate) struct Dense {
    inputs: usize,
    room: usize,
    /// For each block of outputs, its bias, then one row for each input; the last block is filled up with 0.
    wide: Vec<[f32; WIDE]>,
    narrow: Vec<[f32; NARROW]>,
}

impl Dense {
    /// From the weights, input by input, and after them the biases.
    pub(crate) fn read(reader: &mut Reader<'_>, inputs: usize, outputs: usize) -> Result<Self, Damage> {
        let weights = reader.numbers(inputs * outputs)?;
        let biases = reader.numbers(outputs)?;
        Ok(Self::of(&weights, &biases, inputs))
    }

    fn of(weights: &[f32], biases: &[f32], inputs: usize) -> Self {
        let outputs = biases.len();
        // One narrow block if that is enough for what wide ones leave.
        let is_narrow = (1..=NARROW).contains(&(outputs % WIDE));
        let wide = if is_narrow { outputs / WIDE } else { outputs.div_ceil(WIDE) };
        let table = Table { weights, biases };
        Self {
            inputs,
            room: wide * WIDE + if is_narrow { NARROW } else { 0 },
            wide: (0..wide).flat_map(|block| table.rows(block * WIDE)).collect(),
            narrow: if is_narrow { table.rows(wide * WIDE).collect() } else { Vec::new() },
        }
    }

    /// Numbers that [`apply`](Self::apply) writes: as many as there are outputs, and a few more to fill the last block.
    pub(crate) fn room(&self) -> usize {
        self.room
    }

    /// Adds to `out`, which is `room` long, the layer's answer to `x`.
    pub(crate) fn add(&self, x: &[f32], out: &mut [f32]) {
        let (wide, narrow) = out.split_at_mut(self.wide.len() / (self.inputs + 1) * WIDE);
        for (out, rows) in wide.chunks_exact_mut(WIDE).zip(self.wide.chunks_exact(self.inputs + 1)) {
            add_block(rows, x, out);
        }
        add_block(&self.narrow, x, narrow);
    }

    /// Writes to `out`, which is `room` long, the layer's answer to `x`.
    pub(crate) fn apply(&self, x: &[f32], out: &mut [f32]) {
        out.fill(0.0);
        self.add(x, out);
    }
}

#[derive(Clone, Copy)]
struct Table<'a> {
    weights: &'a [f32],
    biases: &'a [f32],
}

impl<'a> Table<'a> {
    /// Bias and weights of the outputs from `first` on.
    fn rows<const N: usize>(self, first: usize) -> impl Iterator<Item = [f32; N]> + use<'a, N> {
        let Self { weights, biases } = self;
        let row = move |values: &[f32]| std::array::from_fn(|lane| values.get(first + lane).copied().unwrap_or(0.0));
        std::iter::once(row(biases)).chain(weights.chunks(biases.len().max(1)).map(row))
    }
}

/// `rows`: the bias, then one for each of `x`.
fn add_block<const N: usize>(rows: &[[f32; N]], x: &[f32], out: &mut [f32]) {
    let Some((bias, rows)) = rows.split_first() else { return };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_any_width_give_the_plain_sums() {
        let x = [1.0, -2.0, 0.5];
        for outputs in [1, 15, 16, 17, 31, 32, 33, 48, 49, 64, 80] {
            let weights: Vec<f32> = (0..x.len() * outputs).map(|i| (i % 13) as f32 - 6.0).collect();
            let biases: Vec<f32> = (0..outputs).map(|i| i as f32).collect();
            let layer = Dense::of(&weights, &biases, x.len());
            let mut out = vec![f32::NAN; layer.room()];
            layer.apply(&x, &mut out);
            for (i, found) in out.iter().take(outputs).enumerate() {
                let plain = x.iter().enumerate().fold(biases[i], |sum, (j, x)| sum + x * weights[j * outputs + i]);
                assert_eq!(*found, plain, "output {i} of {outputs}");
            }
        }
    }
}
