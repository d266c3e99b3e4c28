//! Colours of pictures.

/// Levels from cold to hot: neighbours can't be told apart with many more, and equal neighbours make pictures small.
pub(super) const LEVELS: usize = 64;

/// Red, green, blue.
pub(super) type Rgb = [u8; 3];

pub(super) const BACKGROUND: Rgb = [255, 255, 255];
pub(super) const INK: Rgb = [30, 30, 36];
/// A cell of which nothing is known, and the lines that hatch it.
pub(super) const MISSING: Rgb = [226, 226, 230];
pub(super) const HATCH: Rgb = [176, 176, 184];
/// The line of now: a hue that no level has.
pub(super) const NOW: Rgb = [0, 168, 214];

/// Cold to hot, at equal distances: from night over violet and ember to pale straw, each lighter than the one before, so that the order can be
/// seen in grey and by those who don't see some hues.
const ANCHORS: [Rgb; 6] = [[12, 10, 44], [70, 22, 112], [150, 38, 104], [216, 84, 58], [246, 166, 42], [252, 244, 182]];

/// The colour of a level.
pub(super) fn heat(level: usize) -> Rgb {
    let at = level.min(LEVELS - 1) as f32 / (LEVELS - 1) as f32 * (ANCHORS.len() - 1) as f32;
    let below = (at as usize).min(ANCHORS.len() - 2);
    let share = at - below as f32;
    let mix = |channel: usize| {
        let (from, to) = (f32::from(ANCHORS[below][channel]), f32::from(ANCHORS[below + 1][channel]));
        (from + (to - from) * share).round() as u8
    };
    [mix(0), mix(1), mix(2)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance by the sRGB standard.
    fn luminance(colour: Rgb) -> f32 {
        let linear = |channel: u8| {
            let share = f32::from(channel) / 255.0;
            if share <= 0.04045 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(colour[0]) + 0.7152 * linear(colour[1]) + 0.0722 * linear(colour[2])
    }

    #[test]
    fn hotter_is_lighter() {
        let lights: Vec<f32> = (0..LEVELS).map(|level| luminance(heat(level))).collect();
        assert!(lights.windows(2).all(|pair| pair[0] < pair[1]), "{lights:?}");
        assert_eq!((heat(0), heat(LEVELS - 1)), (ANCHORS[0], ANCHORS[5]));
        assert_eq!(heat(usize::MAX), ANCHORS[5]);
    }
}
