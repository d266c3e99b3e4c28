//! Powers of two and their logarithms, good to a thousandth: the same bits on every machine, which the C library's are not, and a few
//! instructions each.

/// Exponents of results that are still normal numbers.
const EXPONENTS: (f32, f32) = (-126.0, 127.0);
/// Bits of an f32's fraction, and the exponent's bias.
const FRACTION_BITS: u32 = 23;
const BIAS: i32 = 127;

/// The logarithm to base 2 of a positive, normal number.
#[must_use]
pub fn log2(value: f32) -> f32 {
    let bits = value.to_bits();
    let exponent = (bits >> FRACTION_BITS) as i32 - BIAS;
    let fraction = f32::from_bits((bits & ((1 << FRACTION_BITS) - 1)) | ((BIAS as u32) << FRACTION_BITS));
    // ln((1 + t) / (1 - t)) = 2 (t + t³ / 3 + t⁵ / 5 …), with t below a third.
    let t = (fraction - 1.0) / (fraction + 1.0);
    let square = t * t;
    let series = t * (2.0 + square * (2.0 / 3.0 + square * (2.0 / 5.0)));
    exponent as f32 + series * std::f32::consts::LOG2_E
}

/// Two to the power of `exponent`, which is held within what an f32 can say.
#[must_use]
pub fn exp2(exponent: f32) -> f32 {
    let exponent = exponent.clamp(EXPONENTS.0, EXPONENTS.1);
    let whole = exponent.floor();
    let rest = (exponent - whole) * std::f32::consts::LN_2;
    // eˣ for x within 0 to ln 2.
    let series = 1.0 + rest * (1.0 + rest * (0.5 + rest * (1.0 / 6.0 + rest * (1.0 / 24.0))));
    f32::from_bits(((whole as i32 + BIAS) as u32) << FRACTION_BITS) * series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_to_a_thousandth() {
        for i in -1200..1200 {
            let exponent = i as f32 * 0.1;
            let value = exponent.exp2();
            assert!((log2(value) - exponent).abs() < 1e-3, "log2 of {value}: {}", log2(value));
            assert!((exp2(exponent) / value - 1.0).abs() < 1e-3, "2 to the {exponent}: {}", exp2(exponent));
        }
        assert!(exp2(1e9).is_finite() && exp2(-1e9) > 0.0);
    }
}
