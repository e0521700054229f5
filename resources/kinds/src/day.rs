//! Days as people write them, and as shadow(5) counts them.

use std::fmt;

use converge_model::{PropertyType, TypeSchema, Value};

/// When an account expires: on a day counted from 1970-01-01, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expiry(pub(crate) Option<i64>);

impl fmt::Display for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("never"),
            Some(day) => {
                let (year, month, day) = date(day);
                write!(f, "{year:04}-{month:02}-{day:02}")
            }
        }
    }
}

impl PropertyType for Expiry {
    fn schema() -> TypeSchema {
        TypeSchema::Text { what: "date", pattern: Some(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$|^never$|\{\{") }
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        let wrong = || format!("{value} is not a date; write `YYYY-MM-DD`, or `never`");
        match value.as_str().ok_or_else(wrong)? {
            "never" => Ok(Self(None)),
            text => parse(text).map(|day| Self(Some(day))).ok_or_else(wrong),
        }
    }
}

fn parse(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let mut number = |digits: usize| {
        let part = parts.next().filter(|part| part.len() == digits && part.bytes().all(|c| c.is_ascii_digit()))?;
        part.parse::<i64>().ok()
    };
    let (year, month, day) = (number(4)?, number(2)?, number(2)?);
    let count = count(year, month, day);
    // Only a day that exists is counted back to itself: 30 February is not.
    (parts.next().is_none() && date(count) == (year, month, day)).then_some(count)
}

/// How many days before each month of a year that begins in March, so that a leap day comes last.
fn before_month(month_from_march: i64) -> i64 {
    (153 * month_from_march + 2) / 5
}

/// The day's number, counted from 1970-01-01, in the Gregorian calendar.
fn count(year: i64, month: i64, day: i64) -> i64 {
    let from_march = (month + 9) % 12;
    let year = year - i64::from(month <= 2);
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + before_month(from_march) + day
        - 1
        - 719_468
}

/// The inverse of [`count`].
fn date(count: i64) -> (i64, i64, i64) {
    const DAYS_OF_400_YEARS: i64 = 146_097;
    let days = count + 719_468;
    let (era, of_era) = (days.div_euclid(DAYS_OF_400_YEARS), days.rem_euclid(DAYS_OF_400_YEARS));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, of_year - before_month(from_march) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_as_shadow_counts_them() {
        for (text, day) in [
            ("1970-01-01", 0),
            ("1970-03-01", 59),
            ("2000-02-29", 11_016),
            ("2024-12-31", 20_088),
            ("2100-03-01", 47_541),
        ] {
            let expiry = Expiry::from_value(&Value::from(text)).unwrap();
            assert_eq!((expiry, expiry.to_string().as_str()), (Expiry(Some(day)), text));
        }
        for wrong in ["2023-02-29", "2100-02-29", "2024-13-01", "2024-00-10", "2024-1-1", "2024-01-01-01", "soon", ""] {
            assert!(Expiry::from_value(&Value::from(wrong)).is_err(), "{wrong}");
        }
        for day in -1_000..60_000 {
            let (year, month, of_month) = date(day);
            assert_eq!(count(year, month, of_month), day);
        }
    }
}
