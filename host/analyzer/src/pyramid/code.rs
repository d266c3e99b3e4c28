//! How one value of an older step is stored: sixteen bits, a float without a sign.
//!
//! Six bits of exponent and ten of mantissa: from 2^-10 to 2^54 the error is at most 2^-11 (0.05 %) of the value; what is smaller is zero.
//! Values and their codes are in the same order, so that a peak never falls below its mean.

/// The code of a value that is not known.
const MISSING: u16 = u16::MAX;
/// Exponent and mantissa of the smallest code, 2^-10, as the upper bits of an `f32` have them.
const BASE: u32 = (127 - 10) << MANTISSA_BITS;
const MANTISSA_BITS: u32 = 10;
/// Bits of an `f32`'s mantissa that are rounded away.
const DROPPED_BITS: u32 = 23 - MANTISSA_BITS;

/// The code of a value; not finite: missing, negative: zero.
pub(super) fn encode(value: f32) -> u16 {
    if !value.is_finite() {
        return MISSING;
    }
    if value <= 0.0 {
        return 0;
    }
    let rounded = (value.to_bits() + (1 << (DROPPED_BITS - 1))) >> DROPPED_BITS;
    u16::try_from(rounded.saturating_sub(BASE)).unwrap_or(MISSING).min(MISSING - 1)
}

/// The value of a code.
pub(super) fn decode(code: u16) -> f32 {
    match code {
        0 => 0.0,
        MISSING => f32::NAN,
        code => f32::from_bits((BASE + u32::from(code)) << DROPPED_BITS),
    }
}

/// The share of a step that is covered, in 255ths; all of it is 255 and any of it is not 0.
pub(super) fn encode_cover(covered_ms: u32, step_ms: u32) -> u8 {
    if covered_ms >= step_ms {
        return u8::MAX;
    }
    let share = (u64::from(covered_ms) * 255 / u64::from(step_ms.max(1))).clamp(u64::from(covered_ms > 0), 254);
    share as u8
}

/// The milliseconds that a share stands for.
pub(super) fn decode_cover(cover: u8, step_ms: u32) -> u32 {
    (u64::from(cover) * u64::from(step_ms) / 255) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn zero_missing_and_the_ends_of_the_range() {
        assert_eq!((encode(0.0), encode(-1.0), encode(1e-9), encode(f32::MIN_POSITIVE)), (0, 0, 0, 0));
        assert!(decode(encode(f32::NAN)).is_nan() && decode(encode(f32::INFINITY)).is_nan());
        assert!(decode(encode(f32::MAX)) > 1.7e16, "what is too large is the largest there is");
        assert_eq!(decode(encode(1024.0)), 1024.0);
    }

    #[test]
    fn all_of_a_step_and_none_of_it_are_told_from_part_of_it() {
        assert_eq!((encode_cover(0, 10_000), encode_cover(10_000, 10_000)), (0, 255));
        assert_eq!((encode_cover(1, 3_600_000), encode_cover(3_599_999, 3_600_000)), (1, 254));
        assert_eq!(decode_cover(255, 3_600_000), 3_600_000);
    }

    proptest! {
        #[test]
        fn the_error_is_as_stated_and_the_order_is_kept(a in 0.001f32..1e16, b in 0.001f32..1e16) {
            prop_assert!((decode(encode(a)) - a).abs() <= a / 2048.0 * 1.0001, "{a} became {}", decode(encode(a)));
            prop_assert_eq!(encode(a) < encode(b), decode(encode(a)) < decode(encode(b)));
            if a < b {
                prop_assert!(encode(a) <= encode(b));
            }
        }
    }
}
