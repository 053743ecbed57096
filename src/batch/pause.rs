//! The pause before a repetition: of a download that broke off, or of a round that raced.

use std::cell::RefCell;
use std::time::Duration;

/// The longest pause before the first repetition; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Waits before repetition number `repetition`, for a random time up to a bound that doubles. 0 is the first attempt:
/// no pause.
pub(super) async fn pause(random: &RefCell<fastrand::Rng>, repetition: u32) {
    if let Some(doublings) = repetition.checked_sub(1) {
        let longest = FIRST_PAUSE * 2_u32.saturating_pow(doublings);
        let fraction = random.borrow_mut().f64();
        tokio::time::sleep(longest.mul_f64(fraction)).await;
    }
}
