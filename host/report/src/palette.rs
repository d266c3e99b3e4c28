//! Colours, of pages and of plots, and the one style sheet.

/// Most lines or kinds of bars in one plot: no more colours can be told apart.
pub const MAX_SERIES: usize = 8;

/// Levels from cold to hot: as in the heat map of the command line.
pub(crate) const LEVELS: usize = 64;

/// How lines are broken, so that they can be told apart without colour.
pub(crate) const DASHES: [&str; MAX_SERIES] = ["none", "7 3", "2 3", "9 3 2 3", "12 4", "4 2 1 2", "1 2", "14 3 3 3"];

/// Cold to hot, at equal distances: from night over violet and ember to pale straw, each lighter than the one before, so that the order can be
/// seen in grey and by those who don't see some hues.
const ANCHORS: [[u8; 3]; 6] =
    [[12, 10, 44], [70, 22, 112], [150, 38, 104], [216, 84, 58], [246, 166, 42], [252, 244, 182]];

/// The colour of a level, as CSS says it.
pub(crate) fn heat(level: usize) -> String {
    let at = level.min(LEVELS - 1) as f32 / (LEVELS - 1) as f32 * (ANCHORS.len() - 1) as f32;
    let below = (at as usize).min(ANCHORS.len() - 2);
    let share = at - below as f32;
    let mix = |channel: usize| {
        let (from, to) = (f32::from(ANCHORS[below][channel]), f32::from(ANCHORS[below + 1][channel]));
        (from + (to - from) * share).round() as u8
    };
    format!("#{:02x}{:02x}{:02x}", mix(0), mix(1), mix(2))
}

/// Hues after Okabe and Ito, "Color Universal Design" (2008), darker on white and lighter on black, so that each keeps a contrast of 3 to 1
/// or more with the page.
pub(crate) const STYLE: &str = "
:root { color-scheme: light dark; --paper: #fff; --ink: #1e1e24; --quiet: #5b5b66; --rule: #d9d9df; --panel: #f6f6f8;
  --good: #00704f; --warn: #9a4700; --missing: #e2e2e6; --hatch: #b0b0b8;
  --s0: #0068a8; --s1: #c65300; --s2: #00805c; --s3: #a8437f; --s4: #8a6d00; --s5: #2a8fc4; --s6: #6a6a74; --s7: #6f3fc0; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #15151a; --ink: #ececf1; --quiet: #a3a3ae; --rule: #3a3a44; --panel: #1f1f26;
    --good: #4fd6a6; --warn: #ffa25c; --missing: #33333c; --hatch: #5a5a66;
    --s0: #58b4f0; --s1: #ff935a; --s2: #45d0a2; --s3: #e79ac6; --s4: #e2c552; --s5: #a2dcff; --s6: #b8b8c2; --s7: #c2a2ff; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .5rem; }
h2 { font-size: 1.25rem; margin: 2.75rem 0 .5rem; padding-top: .75rem; border-top: 1px solid var(--rule); }
p, ul { margin: .5rem 0; max-width: 46rem; }
.lead { font-size: 1.1rem; color: var(--quiet); }
.note, footer { color: var(--quiet); font-size: .875rem; }
footer { margin-top: 3rem; border-top: 1px solid var(--rule); padding-top: .75rem; }
pre { background: var(--panel); padding: .75rem 1rem; overflow-x: auto; font-size: .875rem; border-radius: 4px; white-space: pre-wrap;
  overflow-wrap: anywhere; }
.callout { border-left: 4px solid var(--quiet); background: var(--panel); padding: .75rem 1rem; margin: 1rem 0; max-width: none; }
.callout.good { border-color: var(--good); } .callout.warn { border-color: var(--warn); }
.callout b { display: block; } .callout.good b { color: var(--good); } .callout.warn b { color: var(--warn); }
dl.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: .75rem; margin: 1rem 0; }
dl.figures div { background: var(--panel); border-radius: 4px; padding: .75rem 1rem; display: flex; flex-direction: column; }
dl.figures dt { color: var(--quiet); font-size: .875rem; order: 2; }
dl.figures dd { margin: 0; } dl.figures .value { font-size: 1.6rem; line-height: 1.25; order: 1; font-variant-numeric: tabular-nums; }
dl.figures .detail { color: var(--quiet); font-size: .8rem; order: 3; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; margin: .75rem 0; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--quiet); padding-bottom: .25rem; }
th, td { padding: .25rem .75rem .25rem 0; border-bottom: 1px solid var(--rule); text-align: left; vertical-align: top; }
th { font-weight: 600; } .num { text-align: right; white-space: nowrap; }
figure { margin: 1.25rem 0; } figcaption { font-weight: 600; margin-bottom: .25rem; }
figcaption .what { display: block; font-weight: 400; color: var(--quiet); font-size: .875rem; }
details { font-size: .875rem; } summary { color: var(--quiet); cursor: pointer; }
svg { display: block; width: 100%; height: auto; font: 12px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; }
svg text { fill: var(--quiet); } svg .name { fill: var(--ink); paint-order: stroke; stroke: var(--paper); stroke-width: 3px; }
svg .grid { stroke: var(--rule); stroke-width: 1; fill: none; } svg .axis { stroke: var(--quiet); stroke-width: 1; fill: none; }
svg .line { fill: none; stroke-width: 1.75; stroke-linejoin: round; } svg .band { opacity: .18; stroke: none; }
svg .level { stroke: var(--ink); stroke-width: 1; stroke-dasharray: 5 3; fill: none; }
svg .mark { stroke: var(--quiet); stroke-width: 1; fill: none; opacity: .7; }
svg .whisker { stroke: var(--ink); stroke-width: 1.25; fill: none; }
@media print { body { max-width: none; padding: 0; } figure, table, .callout { break-inside: avoid; } }
";

/// The style sheet, the series' colours among it.
pub(crate) fn style() -> String {
    let series = (0..MAX_SERIES).map(|series| {
        format!("svg .s{series} {{ stroke: var(--s{series}); }} svg .f{series} {{ fill: var(--s{series}); }}\n")
    });
    STYLE.chars().chain(series.collect::<String>().chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance by the sRGB standard.
    fn luminance(colour: &str) -> f32 {
        let channel = |at: usize| {
            let share = f32::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
            if share <= 0.04045 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    /// The colours of a block of the style sheet, by name.
    fn colours(block: &str) -> Vec<(&str, f32)> {
        let long = |value: &str| match value.len() {
            4 => value.chars().flat_map(|sign| if sign == '#' { vec![sign] } else { vec![sign; 2] }).collect(),
            _ => value.to_owned(),
        };
        let declared = block.split("--").skip(1).filter_map(|part| part.split_once(": "));
        declared.map(|(name, rest)| (name, luminance(&long(rest.split(';').next().unwrap())))).collect()
    }

    #[test]
    fn whatever_is_drawn_stands_out_from_the_page_light_or_dark() {
        let (light, dark) = STYLE.split_once("@media (prefers-color-scheme: dark)").unwrap();
        let dark = dark.split_once("* {").unwrap().0;
        for block in [light, dark] {
            let colours = colours(block);
            let paper = colours.iter().find(|(name, _)| *name == "paper").unwrap().1;
            let contrast = |light: f32| (light.max(paper) + 0.05) / (light.min(paper) + 0.05);
            let mut seen = 0;
            for (name, light) in &colours {
                let least = match *name {
                    "ink" | "quiet" | "good" | "warn" => 4.5,
                    name if name.len() == 2 && name.starts_with('s') => 3.0,
                    _ => continue,
                };
                seen += 1;
                assert!(contrast(*light) >= least, "{name}: {}", contrast(*light));
            }
            assert_eq!(seen, 4 + MAX_SERIES);
        }
    }

    #[test]
    fn hotter_is_lighter() {
        let lights: Vec<f32> = (0..LEVELS).map(|level| luminance(&heat(level))).collect();
        assert!(lights.windows(2).all(|pair| pair[0] < pair[1]), "{lights:?}");
        assert_eq!((heat(0).as_str(), heat(usize::MAX).as_str()), ("#0c0a2c", "#fcf4b6"));
    }
}
