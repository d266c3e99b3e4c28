use crate::seasonality::MAX_ORDER;
use serde::Deserialize;

/// The configuration of [`Prophet`](crate::Prophet).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Days of history fitted, 2 to 42.
    pub history_days: u32,
    /// The most places where the trend may bend, 0 to 50.
    pub changepoints: u32,
    /// The first share of the history over which they are spread, 0.1 to 1.
    pub changepoint_range: f64,
    /// Scale of the Laplace prior of a bend, 0.0001 to 10.
    pub changepoint_prior: f64,
    /// Waves a day at most, 0 to 24.
    pub daily_order: u32,
    /// Standard deviation of the prior of daily coefficients, 0.001 to 100.
    pub daily_prior: f64,
    /// Waves a week at most, 0 to 24.
    pub weekly_order: u32,
    /// Standard deviation of the prior of weekly coefficients, 0.001 to 100.
    pub weekly_prior: f64,
    /// Hours from one fit to the next, 1 to 168.
    pub refit_hours: u32,
    /// Whether the present deviation is carried on and quantiles are those of past errors. If not, it is Prophet and nothing else.
    pub corrected: bool,
    /// Days after which a past error counts half, 1 to 60.
    pub error_half_life_days: f32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            history_days: 28,
            changepoints: 25,
            changepoint_range: 0.8,
            changepoint_prior: 0.05,
            daily_order: 10,
            daily_prior: 10.0,
            weekly_order: 3,
            weekly_prior: 10.0,
            refit_hours: 24,
            corrected: true,
            error_half_life_days: 7.0,
        }
    }
}

impl Config {
    /// Refuses values out of range; the text names the field.
    pub(crate) fn check(&self) -> Result<(), String> {
        let integers = [
            ("history_days", self.history_days, 2, 42),
            ("changepoints", self.changepoints, 0, 50),
            ("daily_order", self.daily_order, 0, MAX_ORDER),
            ("weekly_order", self.weekly_order, 0, MAX_ORDER),
            ("refit_hours", self.refit_hours, 1, 168),
        ];
        let numbers = [
            ("changepoint_range", self.changepoint_range, 0.1, 1.0),
            ("changepoint_prior", self.changepoint_prior, 0.0001, 10.0),
            ("daily_prior", self.daily_prior, 0.001, 100.0),
            ("weekly_prior", self.weekly_prior, 0.001, 100.0),
            ("error_half_life_days", f64::from(self.error_half_life_days), 1.0, 60.0),
        ];
        for (name, value, least, most) in integers {
            if !(least..=most).contains(&value) {
                return Err(format!("`{name}` is {least} to {most}, not {value}"));
            }
        }
        for (name, value, least, most) in numbers {
            if !(least..=most).contains(&value) {
                return Err(format!("`{name}` is {least} to {most}, not {value}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn the_schema_says_what_the_code_checks() {
        let schema: Value = serde_json::from_str(include_str!("config.schema.json")).expect("the schema is JSON");
        let fields = schema["properties"].as_object().expect("it lists the fields");
        let read = |config: Value| serde_json::from_value::<Config>(config).expect("a field of the schema is known");
        let defaults: serde_json::Map<_, _> =
            fields.iter().map(|(name, field)| (name.clone(), field["default"].clone())).collect();
        assert_eq!(format!("{:?}", read(defaults.into())), format!("{:?}", Config::default()));
        for (name, field) in fields {
            let (Some(least), Some(most)) = (field["minimum"].as_f64(), field["maximum"].as_f64()) else {
                assert!(field["type"] == "boolean", "{name} has no bounds");
                continue;
            };
            let with = |value: f64| {
                let value = if field["type"] == "integer" { Value::from(value as u64) } else { Value::from(value) };
                read(Value::Object([(name.clone(), value)].into_iter().collect())).check()
            };
            assert_eq!((with(least), with(most)), (Ok(()), Ok(())), "{name}");
            let refused = with(most + 1.0).expect_err("over the maximum");
            assert!(refused.contains(name), "{refused}");
        }
    }
}
