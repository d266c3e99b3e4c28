use crate::cluster::{Cluster, Learnt, Model};
use crate::terms::{LeadTerms, Terms};
use forecasting_kit::{
    Asked, GUESSES, LeadSketches, Ring, Scratch, Season, Spread, forecast_around, peak_error, width,
};
use isobar_model::Link;
use serde::{Deserialize, Serialize};

/// Averages of the offset at present: the last one, and over about two steps, an hour, four hours, a day.
const OFFSETS: usize = 5;
/// Guesses, each above the season's expectation: the usual load, the median of the days, yesterday, the weekday.
const PERIODIC: usize = 4;
/// Sine and cosine of the time of day, whether it is a weekend, whether one begins or ends.
const CALENDAR: usize = 4;
/// The mean offset of the cluster's other shards: the last one, and over an hour.
const OTHERS: usize = 2;
/// What is regressed on, in this order, and last what a leader does.
pub(crate) const FEATURES: usize = OFFSETS + PERIODIC + CALENDAR + OTHERS + 1;
/// The feature whose going on is believed in beforehand: the offset over about two steps.
pub(crate) const CARRIED: usize = 1;
/// The feature that leaders make.
pub(crate) const LED: usize = FEATURES - 1;
/// Numbers kept of each step of the last day, beside the offset itself: its averages, the usual load, the unrest.
const PAST: usize = OFFSETS + 1;
/// An offset, or a feature, of more usual sizes than this is taken for this one.
const LIMIT: f32 = 6.0;
/// What one step counts in the average over two steps, which is also the most in those over hours, where steps are long.
const TWO_STEPS: f32 = 0.4;
/// Steps of a day, to those that averages over an hour, four hours and a day amount to.
const LONGER: [f32; OFFSETS - 2] = [23.0, 6.0, 1.0];
/// What was learnt before the first whole day counts for this much after it: it was learnt without a season.
const BEFORE_FIRST_DAY: f32 = 0.02;
/// In learning which guess is good, and in the unrest, an accident counts as so many usual errors.
const ACCIDENT: f32 = 20.0;
/// What one step counts in the unrest.
const UNREST_SHARE: f32 = 0.15;
/// The cluster's model weighs as much as so many times the samples that beliefs do.
const CLUSTER_STIFFNESS: f32 = 2.0;
/// What past errors count for once other leaders are known than when they were made.
const UNDER_OTHER_LEADERS: f32 = 0.3;
/// Days of a week, and the number, from Monday, of the day the epoch began with: a Thursday.
const WEEK: u64 = 7;
const EPOCH_WEEKDAY: u64 = 3;
const SATURDAY: u64 = 5;

/// One shard's loads, and what they teach.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Shard {
    /// Number of the cluster it is in.
    pub(crate) home: usize,
    history: Ring,
    season: Season,
    spread: Spread,
    now: Known,
    past: [Ring; PAST],
    /// For each lead.
    learnt: Vec<Learnt>,
    /// What is to be expected at each lead: as the cluster goes, and what it has learnt itself.
    models: Vec<Model>,
    sketches: LeadSketches,
    /// Values seen.
    seen: u32,
    /// Whether history has reached back to the same time of an earlier day.
    is_seasonal: bool,
}

/// What is known at one step, beside the history.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Known {
    /// How far the load is above what the season expected of it, in usual sizes: averages.
    offsets: [f32; OFFSETS],
    /// The usual load, whatever the time of day.
    usual: f32,
    /// The mean size of the last offsets, in usual ones.
    unrest: f32,
}

/// What a shard sees of others.
#[derive(Debug)]
pub(crate) struct Around<'a> {
    pub(crate) terms: &'a Terms,
    pub(crate) cluster: &'a Cluster,
    /// Its own offsets, as the others see them.
    pub(crate) own: &'a Ring,
    /// Those of its leaders, the strongest first.
    pub(crate) leaders: Vec<(Link, &'a Ring)>,
}

/// From where a step ahead is looked at.
#[derive(Debug)]
struct Outlook {
    origin: u64,
    known: Known,
    others: [f32; OTHERS],
}

/// What the season expects of a step, the usual size of an error, and what is known beyond that, in such sizes.
#[derive(Debug)]
struct Outset {
    season: f32,
    size: f32,
    features: [f32; FEATURES],
}

impl Shard {
    /// One that has seen nothing; its first value will belong to step `first`. `models`: of its cluster.
    pub(crate) fn new(terms: &Terms, first: u64, home: usize, models: &[Model]) -> Self {
        let bands = &terms.seasons.bands;
        Self {
            home,
            history: Ring::new(terms.history_steps, first),
            season: Season::new(terms.weeks),
            spread: Spread::new(0.0),
            now: Known { offsets: [0.0; OFFSETS], usual: 0.0, unrest: 1.0 },
            past: std::array::from_fn(|_| Ring::new(terms.seasons.day as usize + 1, first)),
            learnt: terms.leads.iter().map(Learnt::new).collect(),
            models: models.to_vec(),
            sketches: LeadSketches::new(bands),
            seen: 0,
            is_seasonal: false,
        }
    }

    /// The step that its next value belongs to.
    pub(crate) fn next(&self) -> u64 {
        self.history.next()
    }

    /// Whether it has seen any value at all.
    pub(crate) fn is_ready(&self) -> bool {
        self.seen > 0
    }

    /// What it has learnt of a lead.
    pub(crate) fn learnt(&self, band: usize) -> Option<&Learnt> {
        self.learnt.get(band)
    }

    /// Fits the model of a lead anew, shrunk towards that of the cluster.
    pub(crate) fn fit(&mut self, lead: &LeadTerms, band: usize, cluster: &Model) {
        if let (Some(learnt), Some(own)) = (self.learnt.get(band), self.models.get_mut(band)) {
            own.powers = cluster.powers;
            let stiffness = lead.stiffness.map(|samples| samples * CLUSTER_STIFFNESS);
            learnt.shares.solve_towards(&lead.belief, &cluster.shares, &stiffness, &mut own.shares);
        }
    }

    /// The model at a lead: between two, in proportion.
    fn model(&self, terms: &Terms, lead: u64) -> Model {
        let spot = terms.seasons.bands.spot(lead);
        let between = |of: &dyn Fn(&Model) -> f32| spot.between(|band| self.models.get(band).map_or(0.0, of));
        Model {
            shares: std::array::from_fn(|feature| between(&|model| model.shares[feature])),
            powers: std::array::from_fn(|power| between(&|model| model.powers[power])),
        }
    }

    /// Adds the value of the next step; NaN: missing. Gives the offset, to be seen by others.
    pub(crate) fn push(&mut self, around: &Around<'_>, value: f32) -> f32 {
        let seasons = &around.terms.seasons;
        let (day, step) = (seasons.day, self.next());
        if value.is_nan() {
            self.history.push(value);
            self.push_past();
            return f32::NAN;
        }
        if self.seen == 0 {
            self.now.usual = value;
            self.spread = Spread::new(value);
        }
        let guesses = self.season.guesses(&self.history, day, step, self.now.usual);
        let size = self.spread.size_at(day, step, self.now.usual);
        self.history.push(value);
        if !self.is_seasonal && Season::is_seasonal(&guesses) {
            self.is_seasonal = true;
            self.sketches.fade(BEFORE_FIRST_DAY);
            self.learnt.iter_mut().for_each(|learnt| learnt.fade(BEFORE_FIRST_DAY));
        }
        self.seen = self.seen.saturating_add(1);
        let above = value - self.season.mix(&guesses);
        if seasons.bands.samples(step) {
            for band in 0..self.learnt.len() {
                self.learn(around, band, step);
            }
            self.spread.learn(seasons, step, above, self.now.usual);
            self.season.weigh();
        }
        self.season.learn(day, &guesses, value, ACCIDENT * size);
        let offset = above / size;
        self.now.push(day, value, offset, self.seen);
        self.push_past();
        offset.clamp(-LIMIT, LIMIT)
    }

    /// Learns one lead anew from what is held of the last day, as other leaders are known than when it was learnt.
    pub(crate) fn learn_anew(&mut self, around: &Around<'_>, band: usize) {
        if let (Some(learnt), Some(lead)) = (self.learnt.get_mut(band), around.terms.leads.get(band)) {
            *learnt = Learnt::new(lead);
        }
        self.for_held_samples(around, |shard, step| shard.learn_sums(around, band, step));
    }

    /// Judges its errors at one lead anew in the same way.
    pub(crate) fn err_anew(&mut self, around: &Around<'_>, band: usize) {
        self.sketches.fade_band(band, UNDER_OTHER_LEADERS);
        self.for_held_samples(around, |shard, step| shard.learn_errors(around, band, step));
    }

    fn for_held_samples(&mut self, around: &Around<'_>, mut learn: impl FnMut(&mut Self, u64)) {
        let held = around.own.capacity() as u64;
        for step in self.next().saturating_sub(held)..self.next() {
            if around.terms.seasons.bands.samples(step) {
                learn(self, step);
            }
        }
    }

    fn learn(&mut self, around: &Around<'_>, band: usize, step: u64) {
        self.learn_errors(around, band, step);
        self.learn_sums(around, band, step);
    }

    /// Learns from what came true at `step`, `lead` steps after it was foreseen.
    fn learn_sums(&mut self, around: &Around<'_>, band: usize, step: u64) {
        let lead = &around.terms.leads[band];
        let Some(outlook) = self.outlook(around, step, lead.lead) else { return };
        let value = self.history.at(step);
        if value.is_nan() {
            return;
        }
        let outset = self.outset(around, &outlook, lead.lead);
        let surprise = ((value - outset.season) / outset.size).clamp(-LIMIT, LIMIT);
        self.learnt[band].shares.learn(&outset.features, surprise, &lead.belief, lead.keep);
    }

    fn learn_errors(&mut self, around: &Around<'_>, band: usize, step: u64) {
        let lead = &around.terms.leads[band];
        let Some(outlook) = self.outlook(around, step, lead.lead) else { return };
        let value = self.history.at(step);
        if value.is_nan() {
            return;
        }
        let (point, size) = self.expected(around, &outlook, lead.lead);
        self.sketches.add(band, (value - point) / size, lead.keep);
        let (known, usual_size) =
            (&outlook.known, self.spread.size_at(around.terms.seasons.day, step, outlook.known.usual));
        let (unrest, level) = (width::unrest(known.unrest), width::level(point, known.usual));
        self.learnt[band].width.learn(lead.reach, (value - point) / usual_size, unrest, level, lead.keep);
        if around.terms.seasons.bands.ends_window(band, step) {
            let expected = |ahead| self.expected(around, &outlook, ahead);
            if let Some(error) = peak_error(&self.history, outlook.origin, lead.lead, expected) {
                self.sketches.add_peak(band, error, lead.peak_keep);
            }
        }
    }

    /// From `lead` steps before `step`. None where it is not known any more what was known then.
    fn outlook(&self, around: &Around<'_>, step: u64, lead: u64) -> Option<Outlook> {
        let origin = step.checked_sub(lead)?;
        let [two, hour, four_hours, day, usual, unrest] = self.past.each_ref().map(|ring| ring.at(origin));
        let last = around.own.at(origin);
        let last = if last.is_nan() { two } else { last };
        let known = Known { offsets: [last, two, hour, four_hours, day], usual, unrest };
        (!usual.is_nan()).then(|| Outlook { origin, known, others: self.others(around, origin) })
    }

    fn others(&self, around: &Around<'_>, origin: u64) -> [f32; OTHERS] {
        around.cluster.crowd.others(origin, around.terms.hour, around.own)
    }

    fn outset(&self, around: &Around<'_>, outlook: &Outlook, lead: u64) -> Outset {
        let day = around.terms.seasons.day;
        let (step, known) = (outlook.origin + lead, &outlook.known);
        let guesses = self.season.guesses(&self.history, day, step, known.usual);
        let season = self.season.mix(&guesses);
        let size = self.spread.size_at(day, step, known.usual);
        let unit = 1.0 / size;
        let above = guesses.map(|guess| {
            let above = ((guess - season) * unit).clamp(-LIMIT, LIMIT);
            if above.is_nan() { 0.0 } else { above }
        });
        let [yesterday, _, median, weekday, usual]: [f32; GUESSES] = above;
        let [last, two, hour, four_hours, whole_day] = known.offsets;
        let [sine, cosine, weekend, turn] = calendar(day, step);
        let [others, others_hour] = outlook.others;
        let led = led(&around.leaders, step, lead);
        let features = [
            last,
            two,
            hour,
            four_hours,
            whole_day,
            usual,
            median,
            yesterday,
            weekday,
            sine,
            cosine,
            weekend,
            turn,
            others,
            others_hour,
            led,
        ];
        Outset { season, size, features }
    }

    /// What was, or is, expected `lead` steps ahead, and the usual size of an error.
    fn expected(&self, around: &Around<'_>, outlook: &Outlook, lead: u64) -> (f32, f32) {
        let outset = self.outset(around, outlook, lead);
        let model = self.model(around.terms, lead);
        let above: f32 = outset.features.iter().zip(model.shares).map(|(feature, share)| feature * share).sum();
        let point = outset.season + above * outset.size;
        let [of_unrest, of_level] = model.powers;
        let widening =
            of_unrest * width::unrest(outlook.known.unrest) + of_level * width::level(point, outlook.known.usual);
        (point, width::widened(outset.size, widening))
    }

    /// Quantiles of the load to come and of its maximum.
    pub(crate) fn forecast(
        &self,
        around: &Around<'_>,
        asked: &Asked<'_>,
        scratch: &mut Scratch,
        values: &mut [f32],
        peaks: &mut [f32],
    ) {
        let origin = self.next() - 1;
        let outlook = Outlook { origin, known: self.now, others: self.others(around, origin) };
        let expect = |points: &mut [f32], sizes: &mut [f32]| {
            for (lead, (point, size)) in (asked.first..).zip(points.iter_mut().zip(sizes)) {
                (*point, *size) = self.expected(around, &outlook, lead);
            }
        };
        forecast_around(asked, &self.sketches, expect, |load| load, scratch, values, peaks);
    }

    fn push_past(&mut self) {
        let [_, two, hour, four_hours, day] = self.now.offsets;
        let parts = [two, hour, four_hours, day, self.now.usual, self.now.unrest];
        for (ring, part) in self.past.iter_mut().zip(parts) {
            ring.push(if self.seen > 0 { part } else { f32::NAN });
        }
    }

    /// Whether pushing could have made it, in one of `homes` clusters and standing at most at step `next`.
    pub(crate) fn is_sound(&self, terms: &Terms, homes: usize, next: u64) -> bool {
        let stands = self.next();
        stands <= next
            && self.home < homes
            && self.history.fits(terms.history_steps, stands)
            && self.season.is_sound()
            && self.spread.is_sound()
            && self.now.offsets.iter().chain([&self.now.usual, &self.now.unrest]).all(|number| number.is_finite())
            && self.past.iter().all(|ring| ring.fits(terms.seasons.day as usize + 1, stands))
            && self.learnt.len() == terms.leads.len()
            && self.learnt.iter().all(Learnt::is_sound)
            && self.models.len() == terms.leads.len()
            && self.models.iter().all(Model::is_sound)
            && self.sketches.is_sound(&terms.seasons.bands)
    }
}

impl Known {
    /// Takes in the `seen`th value, `offset` above what the season expected.
    fn push(&mut self, day: u64, value: f32, offset: f32, seen: u32) {
        self.unrest += UNREST_SHARE * (offset.abs().min(ACCIDENT) - self.unrest);
        let offset = offset.clamp(-LIMIT, LIMIT);
        let [hour, four_hours, whole_day] = LONGER.map(|steps| (steps / day as f32).min(TWO_STEPS));
        for (mean, share) in self.offsets.iter_mut().zip([1.0, TWO_STEPS, hour, four_hours, whole_day]) {
            *mean += share * (offset - *mean);
        }
        self.usual += (value - self.usual) / (seen as f32).min(day as f32);
    }
}

/// What the calendar says of a step: sine and cosine of the time of day; −1 on workdays and 1 on weekends; 1 where the day before was none
/// of a weekend and this is one, −1 the other way round.
fn calendar(day: u64, step: u64) -> [f32; CALENDAR] {
    let angle = (step % day) as f32 / day as f32 * std::f32::consts::TAU;
    let is_weekend = |days: u64| (days + EPOCH_WEEKDAY) % WEEK >= SATURDAY;
    let days = step / day;
    let weekend = |days: u64| if is_weekend(days) { 1.0f32 } else { -1.0 };
    let turn = 0.5 * (weekend(days) - weekend(days + WEEK - 1));
    [angle.sin(), angle.cos(), weekend(days), turn]
}

/// What the strongest leader whose offset is known `lead` steps ahead makes of `step`.
fn led(leaders: &[(Link, &Ring)], step: u64, lead: u64) -> f32 {
    let known = leaders.iter().filter(|(link, _)| u64::from(link.lag_steps) >= lead).find_map(|(link, offsets)| {
        let offset = offsets.before(step, u64::from(link.lag_steps));
        (!offset.is_nan()).then_some(link.strength * offset)
    });
    known.unwrap_or(0.0)
}
