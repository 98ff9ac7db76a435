//! Amounts as a person writes them on the command line.

use std::time::Duration;

/// `50ms`, `1.5s`, `200us`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let units = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0)];
    let seconds = amount(text, &units).ok_or("a time is a number with us, ms or s")?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// `300mbit`, `2.5gbit`, `64kbit`: bits per second.
pub fn rate(text: &str) -> Result<u64, String> {
    let units = [("kbit", 1e3), ("mbit", 1e6), ("gbit", 1e9)];
    whole(amount(text, &units)).ok_or_else(|| "a rate is a number with kbit, mbit or gbit".into())
}

/// `1GiB`, `100MiB`, `4KiB`, `1500`: bytes.
pub fn bytes(text: &str) -> Result<u64, String> {
    let units = [("KiB", 1024.0), ("MiB", 1_048_576.0), ("GiB", 1_073_741_824.0), ("", 1.0)];
    whole(amount(text, &units))
        .ok_or_else(|| "a size is a number, or one with KiB, MiB or GiB".into())
}

/// `1%`, `0.1%`, `0.5`: a share from 0 to 1.
pub fn share(text: &str) -> Result<f64, String> {
    let found = amount(text, &[("%", 0.01), ("", 1.0)]).filter(|share| *share <= 1.0);
    found.ok_or_else(|| "a share is a number up to 1, or up to 100%".into())
}

fn amount(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let (digits, factor) =
        units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
    let number: f64 = digits.parse().ok()?;
    (number.is_finite() && number >= 0.0).then_some(number * factor)
}

/// Exact below 2^53, which is far above any amount here.
fn whole(number: Option<f64>) -> Option<u64> {
    format!("{:.0}", number?).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_with_their_units() {
        assert_eq!(duration("50ms"), Ok(Duration::from_millis(50)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(rate("300mbit"), Ok(300_000_000));
        assert_eq!(bytes("100MiB"), Ok(100 << 20));
        assert_eq!(bytes("1500"), Ok(1500));
        assert_eq!(share("0.1%"), Ok(0.001));
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        assert!(duration("50").is_err());
        assert!(duration("-1s").is_err());
        assert!(rate("300").is_err());
        assert!(bytes("1GB").is_err());
        assert!(share("101%").is_err());
        assert!(share("nan").is_err());
    }
}
