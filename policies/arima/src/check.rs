//! The estimates against those of statsforecast and statsmodels, as `check/reference.py` wrote them down, and of the crate anofox-forecast, as
//! `check/anofox` did.

use crate::arma::{Arma, Lags, MAX_LAGS, Order, PARTIAL_LIMIT, to_partials};
use crate::filter::Filter;
use crate::fit::{Effort, Fit, Sample, fit};
use crate::kpss::kpss;
use crate::order_search::{Bounds, search};
use crate::start::Start;
use serde_json::Value;

struct Reference {
    name: String,
    d: usize,
    values: Vec<f64>,
    json: Value,
}

impl Reference {
    fn differenced(&self) -> Vec<f64> {
        if self.d == 0 { self.values.clone() } else { self.values.windows(2).map(|pair| pair[1] - pair[0]).collect() }
    }
}

fn references() -> Vec<Reference> {
    let all: Value =
        serde_json::from_str(include_str!("../check/reference.json")).unwrap_or_else(|error| panic!("{error}"));
    let references: Vec<Reference> = list(&all["series"])
        .iter()
        .map(|json| Reference {
            name: json["name"].to_string(),
            d: integer(&json["d"]),
            values: numbers(&json["values"]),
            json: json.clone(),
        })
        .collect();
    assert!(references.len() >= 8);
    references
}

fn list(json: &Value) -> &[Value] {
    json.as_array().unwrap_or_else(|| panic!("{json} is no list"))
}

fn number(json: &Value) -> f64 {
    json.as_f64().unwrap_or_else(|| panic!("{json} is no number"))
}

fn integer(json: &Value) -> usize {
    number(json) as usize
}

fn numbers(json: &Value) -> Vec<f64> {
    list(json).iter().map(number).collect()
}

fn order(json: &Value) -> Order {
    Order { p: integer(&json["p"]), q: integer(&json["q"]), mean: json["mean"] == true }
}

fn coefficients(json: &Value, key: &str) -> Lags {
    let mut lags = [0.0; MAX_LAGS];
    lags.iter_mut().zip(numbers(&json[key])).for_each(|(lag, theirs)| *lag = theirs);
    lags
}

fn fitted(values: &[f64], order: Order) -> Fit {
    let sample = Sample { values, known: &vec![true; values.len()], skip: order.p };
    fit(sample, &Start::new(values).model(order), Effort { iterations: 100, tolerance: 1e-12 })
}

#[test]
fn fixed_orders_are_estimated_as_statsforecast_does() {
    let (mut compared, mut same, mut worse) = (0, 0, 0);
    for reference in references() {
        let values = reference.differenced();
        for theirs in list(&reference.json["fits"]) {
            let order = order(theirs);
            let inverted = coefficients(theirs, "ma").map(|lag| -lag);
            let is_proper = to_partials(&coefficients(theirs, "ar"), order.p).is_some()
                && to_partials(&inverted, order.q)
                    .is_some_and(|partials| partials.iter().all(|partial| partial.abs() < PARTIAL_LIMIT));
            // Nothing keeps their moving averages invertible: of one that is not, the sum of squares means nothing.
            if !is_proper {
                continue;
            }
            compared += 1;
            let ours = fitted(&values, order);
            let name = format!("{} {order:?}: {ours:?}, theirs {theirs}", reference.name);
            let gain = ours.log_likelihood(values.len()) - number(&theirs["loglik"]);
            println!("{gain:.4} {} {order:?}", reference.name);
            // With more lags than a series has there are several valleys: one near the deepest will do.
            assert!(gain > -2.0, "{gain} {name}");
            let criterion = ours.criterion(values.len()) - number(&theirs["aicc"]);
            assert!((criterion + 2.0 * gain).abs() < 1e-3, "{criterion} {name}");
            if gain.abs() < 1e-3 {
                let pairs = [(ours.model.ar, "ar"), (ours.model.ma, "ma")];
                for (ours, theirs) in pairs.iter().flat_map(|(ours, key)| ours.iter().zip(coefficients(theirs, key))) {
                    assert!((ours - theirs).abs() < 0.02, "{ours} {theirs}: {name}");
                }
                assert!((ours.variance() / number(&theirs["sigma2"]) - 1.0).abs() < 1e-4, "{name}");
                assert!((ours.model.mean - number(&theirs["level"])).abs() < 0.02, "{name}");
                same += 1;
            } else if gain < 0.0 {
                worse += 1;
            }
        }
    }
    println!("{same} the same, {worse} worse, of {compared}");
    assert!(compared >= 60 && same * 10 >= compared * 9 && worse <= 2, "{same} the same, {worse} worse, of {compared}");
}

#[test]
fn forecasts_are_those_of_a_kalman_filter() {
    for reference in references() {
        for theirs in list(&reference.json["fits"]) {
            let (ar, ma) = (coefficients(theirs, "ar"), coefficients(theirs, "ma"));
            let model = Arma { order: order(theirs), ar, ma, mean: number(&theirs["level"]) };
            let mut filter = Filter::new(&model, reference.d, f32::INFINITY);
            for value in &reference.values {
                filter.push(*value as f32);
            }
            for (step, theirs) in numbers(&theirs["ahead"]).into_iter().enumerate() {
                let (ours, _) = filter.push(f32::NAN);
                assert!(
                    (f64::from(ours) - theirs).abs() < 2e-3,
                    "{} {model:?} step {step}: {ours}, not {theirs}",
                    reference.name
                );
            }
        }
    }
}

#[test]
fn the_chosen_order_is_as_good_as_the_one_statsforecast_chooses() {
    for reference in references() {
        let values = reference.differenced();
        let bounds = Bounds { max_p: 3, max_q: 3, mean: reference.d == 0 };
        let ours = search(&values, &vec![true; values.len()], bounds).model.order;
        // Both by statsforecast's own criterion.
        let grid = list(&reference.json["grid"]);
        let criterion_of =
            |wanted: Order| grid.iter().find(|entry| order(entry) == wanted).map(|entry| number(&entry["aicc"]));
        let theirs = order(&reference.json["chosen"]);
        let (Some(found), Some(wanted)) = (criterion_of(ours), criterion_of(theirs)) else {
            panic!("{}: {ours:?} or {theirs:?} is not in the table", reference.name);
        };
        assert!(found <= wanted + 2.0, "{}: {ours:?} with {found}, theirs {theirs:?} with {wanted}", reference.name);
    }
}

#[test]
fn kpss_is_that_of_statsmodels() {
    for reference in references() {
        for theirs in list(&reference.json["kpss"]) {
            let ours = kpss(&reference.values, integer(&theirs["lags"]));
            let theirs = number(&theirs["statistic"]);
            assert!((ours - theirs).abs() < 1e-6 * theirs.max(1.0), "{}: {ours}, not {theirs}", reference.name);
        }
    }
}

/// What anofox-forecast made of a series.
fn of_anofox() -> Vec<(Vec<f64>, Value)> {
    let all: Value =
        serde_json::from_str(include_str!("../check/anofox.json")).unwrap_or_else(|error| panic!("{error}"));
    let series: Vec<_> = list(&all["series"]).iter().map(|json| (numbers(&json["values"]), json.clone())).collect();
    assert!(series.len() >= 7);
    series
}

fn order_with_mean(json: &Value) -> Order {
    Order { p: integer(&json["p"]), q: integer(&json["q"]), mean: true }
}

#[test]
fn models_are_found_where_anofox_finds_them() {
    /// Theirs maximise the exact likelihood. What the first few values weigh beside all is below the error of any estimate, about 1 / sqrt(600).
    const ESTIMATE_ERROR: f64 = 0.04;
    /// Of the innovations' standard deviation: what models so near say of the next 12 steps.
    const FORECAST_ERROR: f64 = 0.1;
    for (values, json) in of_anofox().iter().filter(|(_, json)| json["made_by"].is_object()) {
        let order = order_with_mean(&json["made_by"]);
        let theirs = list(&json["fits"]).iter().find(|fit| order_with_mean(fit) == order);
        let theirs = theirs.unwrap_or_else(|| panic!("they fitted no {order:?}"));
        let ours = fitted(values, order);
        for (ours, key) in [(ours.model.ar, "ar"), (ours.model.ma, "ma")] {
            for (ours, theirs) in ours.iter().zip(coefficients(theirs, key)) {
                assert!((ours - theirs).abs() < ESTIMATE_ERROR, "{order:?} {key}: {ours}, not {theirs}");
            }
        }
        let mut filter = Filter::new(&ours.model, 0, f32::INFINITY);
        for value in values {
            filter.push(*value as f32);
        }
        for theirs in numbers(&theirs["ahead"]) {
            let (ahead, _) = filter.push(f32::NAN);
            let off = (f64::from(ahead) - theirs).abs();
            assert!(off < FORECAST_ERROR * ours.variance().sqrt(), "{order:?}: {ahead}, not {theirs}");
        }
    }
}

#[test]
fn no_coefficients_of_anofox_leave_less() {
    for (values, json) in of_anofox() {
        for theirs in list(&json["fits"]) {
            let order = order_with_mean(theirs);
            let ours = fitted(&values, order);
            // With our mean: what they call the intercept is of another form.
            let (ar, ma) = (coefficients(theirs, "ar"), coefficients(theirs, "ma"));
            let sample = Sample { values: &values, known: &vec![true; values.len()], skip: order.p };
            let model = Arma { order, ar, ma, mean: ours.model.mean };
            let at_theirs = fit(sample, &model, Effort { iterations: 0, tolerance: 0.0 });
            assert!(ours.sum <= at_theirs.sum * (1.0 + 1e-9), "{order:?}: {ours:?}, theirs {at_theirs:?}");
        }
    }
}

#[test]
fn the_order_anofox_chooses_is_no_better() {
    for (values, json) in of_anofox() {
        let known = vec![true; values.len()];
        let ours = search(&values, &known, Bounds { max_p: MAX_LAGS, max_q: MAX_LAGS, mean: true }).model.order;
        // Both by our own criterion, over the same steps.
        let criterion_of = |order: Order| {
            let sample = Sample { values: &values, known: &known, skip: MAX_LAGS };
            let fit = fit(sample, &Start::new(&values).model(order), Effort { iterations: 100, tolerance: 1e-12 });
            fit.criterion(fit.count)
        };
        let theirs = order_with_mean(&json["chosen"]);
        let wanted = criterion_of(theirs).min(criterion_of(Order { mean: false, ..theirs }));
        let found = criterion_of(ours);
        assert!(found <= wanted + 2.0, "{ours:?} with {found}, theirs {theirs:?} with {wanted}");
    }
}
