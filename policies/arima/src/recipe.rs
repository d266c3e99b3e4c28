use crate::days::{Days, WEEK};
use crate::waves::{PARTS, Waves};

/// The parts, and what is left.
const SHARES: usize = PARTS.len() + 1;
/// What each older day counts beside the one after it.
const FADINGS: [f32; 3] = [1.0, 0.85, 0.6];
/// How many times as much a day counts that is whole weeks back.
const WEEKDAYS: [f32; 3] = [1.0, 4.0, 16.0];
/// What foreseeing by weekdays must save before it is preferred: it rests on fewer days.
const CLEARLY_LESS: f32 = 0.98;

/// How days are averaged, and how far each part of the average is believed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recipe {
    fading: f32,
    /// How many times as much a day counts that is whole weeks back.
    pub(crate) weekday: f32,
    shares: [f32; SHARES],
}

impl Recipe {
    /// Adds to `out` what it foresees of day `day`.
    pub(crate) fn foresee(&self, days: &Days, waves: &Waves, day: usize, out: &mut Vec<f32>) {
        let weight = |past: usize| {
            let weekday = if (day - past).is_multiple_of(WEEK) { self.weekday } else { 1.0 };
            // However far ahead, the newest day counts as much.
            days.weights[past] * weekday * self.fading.powi((days.count().min(day) - 1 - past) as i32)
        };
        let mut average = Average::nothing(days, waves);
        (0..day.min(days.count())).for_each(|past| average.add(waves, past, weight(past)));
        let unit = if average.weight > 0.0 { 1.0 / average.weight } else { 0.0 };
        let rest = self.shares[SHARES - 1];
        let (from, mean) = (out.len(), unit * average.waves[0]);
        out.extend(average.centred.iter().map(|value| mean + unit * rest * value));
        // What the parts are believed beyond the rest.
        for (part, (low, high)) in waves.parts().enumerate() {
            average.waves[low..high].iter_mut().for_each(|wave| *wave *= unit * (self.shares[part] - rest));
        }
        waves.add(&average.waves, &mut out[from..]);
    }
}

/// A weighted sum of days, step by step and wave by wave.
#[derive(Debug)]
struct Average {
    weight: f32,
    /// Each day less its mean.
    centred: Vec<f32>,
    waves: Vec<f32>,
}

impl Average {
    fn nothing(days: &Days, waves: &Waves) -> Self {
        Self { weight: 0.0, centred: vec![0.0; days.length], waves: vec![0.0; waves.width()] }
    }

    /// Lets what was added count `fading` of what it did.
    fn fade(&mut self, fading: f32) {
        self.weight *= fading;
        self.centred.iter_mut().chain(&mut self.waves).for_each(|sum| *sum *= fading);
    }

    fn add(&mut self, waves: &Waves, day: usize, weight: f32) {
        if weight > 0.0 {
            self.weight += weight;
            self.centred.iter_mut().zip(waves.centred(day)).for_each(|(sum, value)| *sum += weight * value);
            self.waves.iter_mut().zip(waves.of_day(day)).for_each(|(sum, wave)| *sum += weight * wave);
        }
    }
}

/// What decides how far each part is believed, summed over days: of each part, products of what its average foresaw with what came, and the
/// squares of what it foresaw; and the squares that are left when nothing but the mean is foreseen.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    products: [f32; SHARES],
    squares: [f32; SHARES],
    total: f32,
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.products.iter_mut().zip(other.products).for_each(|(sum, product)| *sum += product);
        self.squares.iter_mut().zip(other.squares).for_each(|(sum, square)| *sum += square);
        self.total += other.total;
    }

    /// The shares that leave least, and what they leave.
    fn shares(&self) -> ([f32; SHARES], f32) {
        let (mut shares, mut left) = ([0.0; SHARES], self.total);
        for ((share, product), square) in shares.iter_mut().zip(self.products).zip(self.squares) {
            *share = if square > 0.0 { (product / square).clamp(0.0, 1.0) } else { 0.0 };
            left -= 2.0 * *share * product - *share * *share * square;
        }
        (shares, left)
    }
}

/// Every way of averaging, tried on the past days.
#[derive(Debug)]
pub(crate) struct Trials {
    /// The first day tried on.
    from: usize,
    /// Each with its shares to come, and its sums of each day tried on.
    trials: Vec<(Recipe, Vec<Sums>)>,
}

impl Trials {
    pub(crate) fn of(days: &Days, waves: &Waves, from: usize) -> Self {
        let weekdays = if days.count() > WEEK { &WEEKDAYS[..] } else { &WEEKDAYS[..1] };
        let recipe = |fading: f32, weekday: f32| Recipe { fading, weekday, shares: [0.0; SHARES] };
        let mut trials = Vec::with_capacity(FADINGS.len() * weekdays.len());
        for fading in FADINGS {
            let first = trials.len();
            trials.extend(weekdays.iter().map(|weekday| (recipe(fading, *weekday), Vec::new())));
            let mut all = Average::nothing(days, waves);
            for day in 0..days.count() {
                if day >= from {
                    // The days whole weeks back once more: with those a recipe's average is a sum of two.
                    let mut weeks = Average::nothing(days, waves);
                    for past in (1..).map_while(|back| day.checked_sub(back * WEEK)) {
                        weeks.add(waves, past, days.weights[past] * fading.powi((day - 1 - past) as i32));
                    }
                    let pair = Pair::of(days, waves, day, &all, &weeks);
                    for (recipe, sums) in &mut trials[first..] {
                        sums.push(pair.sums(recipe.weekday - 1.0));
                    }
                }
                all.fade(fading);
                all.add(waves, day, days.weights[day]);
            }
        }
        Self { from, trials }
    }

    /// What would have foreseen all days best, or all but one.
    pub(crate) fn best_but_for(&self, left_out: Option<usize>) -> Recipe {
        let mut best = Recipe { fading: 1.0, weekday: 1.0, shares: [0.0; SHARES] };
        let mut least = f32::INFINITY;
        for (recipe, sums) in &self.trials {
            let mut all = Sums::default();
            for (day, sums) in (self.from..).zip(sums) {
                // The only day tried on can't be left out.
                if Some(day) != left_out || self.trials[0].1.len() == 1 {
                    all.add(sums);
                }
            }
            let (shares, mut cost) = all.shares();
            if recipe.weekday > 1.0 {
                cost /= CLEARLY_LESS;
            }
            if cost < least {
                (best, least) = (Recipe { shares, ..*recipe }, cost);
            }
        }
        best
    }
}

/// What a day has in common with two sums of earlier days, and they with each other.
#[derive(Clone, Copy, Debug, Default)]
struct Products {
    own_all: f32,
    own_weeks: f32,
    all_all: f32,
    all_weeks: f32,
    weeks_weeks: f32,
}

impl Products {
    fn of(own: &[f32], all: &[f32], weeks: &[f32]) -> Self {
        let mut sums = Self::default();
        for ((own, all), weeks) in own.iter().zip(all).zip(weeks) {
            sums.own_all += own * all;
            sums.own_weeks += own * weeks;
            sums.all_all += all * all;
            sums.all_weeks += all * weeks;
            sums.weeks_weeks += weeks * weeks;
        }
        sums
    }

    /// The day's product with `unit * (all + more * weeks)`, and the square of that.
    fn with(&self, more: f32, unit: f32) -> (f32, f32) {
        let square = self.all_all + more * (2.0 * self.all_weeks + more * self.weeks_weeks);
        (unit * (self.own_all + more * self.own_weeks), unit * unit * square)
    }
}

/// One day, and what can be said of it by the sum of all days before it and by that of the days whole weeks before it.
#[derive(Debug)]
struct Pair {
    weight: f32,
    length: f32,
    /// The day's own square, less its mean, and that mean.
    square: f32,
    mean: f32,
    /// Weights and means of the two sums.
    weights: (f32, f32),
    means: (f32, f32),
    /// Of each part, and of the whole.
    products: [Products; SHARES],
}

impl Pair {
    fn of(days: &Days, waves: &Waves, day: usize, all: &Average, weeks: &Average) -> Self {
        let (own, centred) = (waves.of_day(day), waves.centred(day));
        let mut products = [Products::default(); SHARES];
        for (products, (from, to)) in products.iter_mut().zip(waves.parts()) {
            *products = Products::of(&own[from..to], &all.waves[from..to], &weeks.waves[from..to]);
        }
        products[SHARES - 1] = Products::of(centred, &all.centred, &weeks.centred);
        Self {
            weight: days.weights[day],
            length: days.length as f32,
            square: centred.iter().map(|value| value * value).sum(),
            mean: own[0],
            weights: (all.weight, weeks.weight),
            means: (all.waves[0], weeks.waves[0]),
            products,
        }
    }

    /// The sums of a recipe by which days whole weeks back count `more` than once.
    fn sums(&self, more: f32) -> Sums {
        let mut sums = Sums::default();
        if self.weight <= 0.0 {
            return sums;
        }
        let weight = self.weights.0 + more * self.weights.1;
        let unit = if weight > 0.0 { 1.0 / weight } else { 0.0 };
        let off = self.mean - unit * (self.means.0 + more * self.means.1);
        sums.total = self.weight * (self.square + self.length * off * off);
        let (mut product_below, mut square_below) = (0.0, 0.0);
        // A harmonic of amplitude a is worth half its square at each step.
        let of_wave = self.weight * 0.5 * self.length;
        for part in 0..SHARES - 1 {
            let (product, square) = self.products[part].with(more, unit);
            (sums.products[part], sums.squares[part]) = (of_wave * product, of_wave * square);
            product_below += of_wave * product;
            square_below += of_wave * square;
        }
        let (product, square) = self.products[SHARES - 1].with(more, unit);
        sums.products[SHARES - 1] = self.weight * product - product_below;
        sums.squares[SHARES - 1] = self.weight * square - square_below;
        sums
    }
}
