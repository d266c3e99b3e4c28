use crate::arma::Order;
use crate::filter::{Filter, Reach, VALUES};
use crate::season::Season;
use forecasting_kit::{LeadSketches, Ring, Seasons, Spread};
use serde::{Deserialize, Serialize};

/// A model at work: what was fitted, where it stands, and how far off it has been. All values are square roots of loads.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Live {
    pub(crate) season: Season,
    /// The order of the ARIMA model; none before there is one.
    order: Option<Order>,
    filter: Filter,
    reach: Reach,
    /// Of the last day: values, what the season said of each, what was left, and the innovations in that.
    recent: Ring,
    seasons: Ring,
    remainders: Ring,
    innovations: Ring,
    /// The usual value, whatever the time of day.
    usual: f32,
    guess: Option<f32>,
    spread: Spread,
    seen: u32,
    sketches: LeadSketches,
}

fn steps(day: u64) -> usize {
    // The longest lead is a day, and before its origin lie the values that it looked back on.
    day as usize + 1 + VALUES
}

impl Live {
    /// Of a model whose first value will belong to step `first`; its errors are
    /// believed to be of size `guess` before there are any; none: half of the first value.
    pub(crate) fn new(seasons: &Seasons, season: Season, filter: Filter, first: u64, guess: Option<f32>) -> Self {
        let ring = || Ring::new(steps(seasons.day), first);
        Self {
            season,
            order: None,
            reach: Reach::of(&filter, seasons.bands.leads()),
            filter,
            recent: ring(),
            seasons: ring(),
            remainders: ring(),
            innovations: ring(),
            usual: 0.0,
            guess,
            spread: Spread::new(0.0),
            seen: 0,
            sketches: LeadSketches::new(&seasons.bands),
        }
    }

    /// Before the first fit: the last value goes on.
    pub(crate) fn unfitted(seasons: &Seasons, first: u64) -> Self {
        Self::new(seasons, Season::flat(first), Filter::unfitted(), first, None)
    }

    /// Adds the value of the next step, of which the season says `season`.
    pub(crate) fn push(&mut self, seasons: &Seasons, season: f32, value: f32) {
        let (day, step) = (seasons.day, self.recent.next());
        let is_first = !self.filter.has_begun() && !value.is_nan();
        if is_first {
            self.usual = value;
            // It takes half of what it is given for the size of an error.
            self.spread = Spread::new(self.guess.map_or(value, |size| 2.0 * size));
        }
        let miss = if self.seen == 0 { 0.0 } else { value - season - self.filter.next() };
        self.go_on(season, value);
        if value.is_nan() {
            return;
        }
        if seasons.bands.samples(step) {
            let Self { recent, seasons: past, remainders, innovations, reach, usual, spread, sketches, .. } = self;
            let carried = |origin, band| reach.from(remainders, innovations, origin, band);
            sketches.learn(&seasons.bands, recent, past, carried, |at| spread.size_at(day, at, *usual));
            self.spread.learn(seasons, step, miss, self.usual);
        }
        self.seen = self.seen.saturating_add(1);
        self.usual += (value - self.usual) / (self.seen as f32).min(day as f32);
    }

    fn go_on(&mut self, season: f32, value: f32) {
        let (remainder, innovation) = self.filter.push(value - season);
        self.recent.push(value);
        self.seasons.push(season);
        self.remainders.push(remainder);
        self.innovations.push(innovation);
    }

    /// Puts another season and filter in its place, as if they had always been there: `steps` tells, of the steps from `first` on, what the season
    /// would have said and what came. What is known of its errors stays.
    pub(crate) fn replace(
        &mut self,
        seasons: &Seasons,
        season: Season,
        filter: Filter,
        first: u64,
        steps: impl Iterator<Item = (f32, f32)>,
    ) {
        self.season = season;
        self.reach = Reach::of(&filter, seasons.bands.leads());
        self.filter = filter;
        for ring in [&mut self.recent, &mut self.seasons, &mut self.remainders, &mut self.innovations] {
            *ring = Ring::new(self::steps(seasons.day), first);
        }
        steps.for_each(|(season, value)| self.go_on(season, value));
    }

    pub(crate) fn order(&self) -> Option<Order> {
        self.order
    }

    pub(crate) fn set_order(&mut self, order: Option<Order>) {
        self.order = order;
    }

    /// Writes what it expects, and the usual size of its errors, from lead `first` on.
    pub(crate) fn expect(&self, seasons: &Seasons, first: u64, points: &mut [f32], sizes: &mut [f32]) {
        let mut filter = self.filter.clone();
        // After a day without a value nothing more fades.
        for _ in 1..first.min(seasons.day) {
            filter.push(f32::NAN);
        }
        let next = self.recent.next() - 1 + first;
        for ((point, size), step) in points.iter_mut().zip(sizes).zip(next..) {
            let (remainder, _) = filter.push(f32::NAN);
            *point = self.season.at(step) + remainder;
            *size = self.spread.size_at(seasons.day, step, self.usual);
        }
    }

    pub(crate) fn sketches(&self) -> &LeadSketches {
        &self.sketches
    }

    pub(crate) fn is_sound(&self, seasons: &Seasons, next: u64) -> bool {
        let rings = [&self.recent, &self.seasons, &self.remainders, &self.innovations];
        self.season.is_sound(seasons.day)
            && self.order.is_none_or(Order::is_sound)
            && self.filter.is_sound()
            && self.reach.is_sound(seasons.bands.leads().len())
            && rings.iter().all(|ring| ring.fits(steps(seasons.day), next))
            && self.usual.is_finite()
            && self.spread.is_sound()
            && self.sketches.is_sound(&seasons.bands)
    }
}
