//! The few functions the network needs, from additions and multiplications alone: the same bits on every machine, in Wasm or native,
//! which the standard library's do not promise. Relative errors are below 3e-7 for the exponential and the logarithm.

/// Added to a small number and taken away again, it leaves the nearest integer, which stands in the last bits meanwhile: 1.5 times 2^23.
const ROUND: f32 = 12_582_912.0;

/// 2^x is taken apart at the nearest integer; the rest is a polynomial (Taylor, to the sixth power).
#[inline]
pub(crate) fn exp(x: f32) -> f32 {
    // Past these the result is 0 or no longer an f32.
    let x = x.clamp(-87.0, 88.0);
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let turns = rounded - ROUND;
    // ln 2 in two parts, so that the rest is exact (Cody and Waite).
    let r = x - turns * 0.693_359_4 + turns * 2.121_944_4e-4;
    let p = 1.0 / 720.0;
    let p = p * r + 1.0 / 120.0;
    let p = p * r + 1.0 / 24.0;
    let p = p * r + 1.0 / 6.0;
    let p = p * r + 0.5;
    let p = p * r + 1.0;
    let p = p * r + 1.0;
    let power = rounded.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127);
    p * f32::from_bits(power << 23)
}

/// The natural logarithm of a positive number; of others, that of the least one.
#[inline]
pub(crate) fn ln(x: f32) -> f32 {
    let x = x.clamp(f32::MIN_POSITIVE, f32::MAX);
    // Mantissa within √½ to √2.
    let bits = x.to_bits() as i32 - 0x3f35_04f3;
    let power = bits >> 23;
    let m = f32::from_bits((bits - (power << 23) + 0x3f35_04f3) as u32);
    // ln m = 2 artanh s.
    let s = (m - 1.0) / (m + 1.0);
    let t = s * s;
    let p = 2.0 / 9.0;
    let p = p * t + 2.0 / 7.0;
    let p = p * t + 2.0 / 5.0;
    let p = p * t + 2.0 / 3.0;
    let p = p * t + 2.0;
    power as f32 * std::f32::consts::LN_2 + s * p
}

/// The inverse of [`sinh`].
#[inline]
pub(crate) fn asinh(x: f32) -> f32 {
    let a = x.abs();
    // Where the square would be lost, the series: x - x³/6. Both are computed, so that many can be computed at once.
    let (series, log) = (a - a * a * a * (1.0 / 6.0), ln(a + (a * a + 1.0).sqrt()));
    let y = if a < 0.03 { series } else { log };
    if x < 0.0 { -y } else { y }
}

pub(crate) fn sinh(x: f32) -> f32 {
    if x.abs() < 0.03 {
        return x + x * x * x * (1.0 / 6.0);
    }
    let e = exp(x);
    0.5 * (e - 1.0 / e)
}

#[inline]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[inline]
pub(crate) fn tanh(x: f32) -> f32 {
    2.0 / (1.0 + exp(-2.0 * x)) - 1.0
}

/// ln(1 + e^x).
#[inline]
pub(crate) fn softplus(x: f32) -> f32 {
    let log = ln(1.0 + exp(x));
    if x > 15.0 { x } else { log }
}

/// Sine and cosine of so many turns.
pub(crate) fn sin_cos_turns(turns: f32) -> (f32, f32) {
    let quarters = (turns * 4.0 + 0.5).floor();
    let r = (turns - quarters * 0.25) * std::f32::consts::TAU;
    let t = r * r;
    let sin = r * (1.0 + t * (-1.0 / 6.0 + t * (1.0 / 120.0 - t * (1.0 / 5040.0))));
    let cos = 1.0 + t * (-0.5 + t * (1.0 / 24.0 + t * (-1.0 / 720.0 + t * (1.0 / 40320.0))));
    match (quarters as i64).rem_euclid(4) {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_near(ours: f32, truth: f64, within: f64, what: &str, x: f32) {
        assert!((f64::from(ours) - truth).abs() <= within, "{what}({x}) = {ours}, not {truth}");
    }

    #[test]
    fn each_is_as_exact_as_the_network_needs() {
        for i in -4000..=4000 {
            let x = i as f32 / 100.0;
            let wide = f64::from(x);
            assert_near(exp(x), wide.exp(), wide.exp() * 3e-6, "exp", x);
            assert_near(sigmoid(x), 1.0 / (1.0 + (-wide).exp()), 1e-6, "sigmoid", x);
            assert_near(tanh(x), wide.tanh(), 1e-6, "tanh", x);
            assert_near(softplus(x), wide.exp().ln_1p(), 3e-6, "softplus", x);
            assert_near(asinh(x), wide.asinh(), 1e-6, "asinh", x);
            assert_near(sin_cos_turns(x).0, (wide * std::f64::consts::TAU).sin(), 3e-5, "sin", x);
            assert_near(sin_cos_turns(x).1, (wide * std::f64::consts::TAU).cos(), 3e-5, "cos", x);
            let grown = exp(x / 2.0);
            assert_near(ln(grown), f64::from(grown).ln(), 2e-6, "ln", grown);
        }
        for x in [-12.0, -3.0, -0.02, 0.0, 0.001, 0.029, 0.031, 5.0, 13.0f32] {
            assert_near(sinh(x), f64::from(x).sinh(), f64::from(x).sinh().abs() * 3e-5 + 1e-7, "sinh", x);
        }
    }

    #[test]
    fn the_ends_are_finite() {
        for x in [f32::MAX, f32::MIN, 0.0, f32::MIN_POSITIVE, f32::NEG_INFINITY, f32::INFINITY] {
            assert!(exp(x).is_finite() && ln(x).is_finite() && sigmoid(x).is_finite() && tanh(x).is_finite());
        }
        assert!(asinh(f32::MAX).is_finite());
    }
}
