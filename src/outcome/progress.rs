//! How far a batch is, for people.

use std::fmt;
use std::time::Duration;

/// The state of a batch. Shown as one line.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Entries that have ended.
    pub done: usize,
    /// All entries; `None` while the batch is not read to its end.
    pub total: Option<usize>,
    /// The time since the first began.
    pub took: Duration,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { done, total, took } = *self;
        write!(f, "{done}")?;
        if let Some(total) = total {
            write!(f, " of {total}")?;
        }
        let [done, total] = [done, total.unwrap_or(0)].map(|count| u32::try_from(count).map_or(f64::MAX, f64::from));
        let rate = done / took.as_secs_f64().max(0.001);
        write!(f, " done, {rate:.1} a second")?;
        if total > done && rate > 0.0 {
            let left = Duration::try_from_secs_f64(((total - done) / rate).round()).unwrap_or(Duration::MAX);
            let (hours, minutes, seconds) = (left.as_secs() / 3600, left.as_secs() / 60 % 60, left.as_secs() % 60);
            match (hours, minutes) {
                (0, 0) => write!(f, ", {seconds} s left")?,
                (0, minutes) => write!(f, ", {minutes} min {seconds} s left")?,
                (hours, minutes) => write!(f, ", {hours} h {minutes} min left")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_has_count_rate_and_time_left() {
        let shown = |done, total, seconds| Progress { done, total, took: Duration::from_secs(seconds) }.to_string();
        assert_eq!(shown(0, Some(10), 10), "0 of 10 done, 0.0 a second");
        assert_eq!(shown(120, Some(1000), 10), "120 of 1000 done, 12.0 a second, 1 min 13 s left");
        assert_eq!(shown(5, Some(6), 10), "5 of 6 done, 0.5 a second, 2 s left");
        assert_eq!(shown(1000, Some(1_000_000), 10), "1000 of 1000000 done, 100.0 a second, 2 h 46 min left");
        assert_eq!(shown(10, Some(10), 10), "10 of 10 done, 1.0 a second");
        assert_eq!(shown(10, None, 20), "10 done, 0.5 a second");
    }
}
