//! Time, as it is stored and as people read it.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

/// Milliseconds since the Unix epoch, UTC: the one notion of time that is stored.
pub type UnixMillis = i64;

/// The current time.
pub fn now() -> UnixMillis {
    Timestamp::now().as_millisecond()
}

/// A moment as people read it, to the minute, in UTC.
pub fn in_words(time: UnixMillis) -> String {
    timestamp(time).strftime("%-d %b %Y, %H:%M UTC").to_string()
}

/// A moment as machines read it: `2026-01-31T12:00:00Z`.
pub fn in_iso(time: UnixMillis) -> String {
    timestamp(time).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// How long ago a moment is, as a list is divided, in the time zone of this machine: `today`, `yesterday`, `week`, `month`, or
/// the name of the month.
pub fn period(time: UnixMillis) -> String {
    period_at(&timestamp(time).to_zoned(TimeZone::system()), &Zoned::now())
}

fn period_at(time: &Zoned, now: &Zoned) -> String {
    let today = now.date();
    let since = |days: i64| today.saturating_sub(days.days());
    match time.date() {
        date if date >= today => "today".into(),
        date if date >= since(1) => "yesterday".into(),
        date if date >= since(7) => "week".into(),
        date if date >= since(30) => "month".into(),
        date => date.strftime("%B %Y").to_string(),
    }
}

fn timestamp(time: UnixMillis) -> Timestamp {
    Timestamp::from_millisecond(time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_divided_by_calendar_days() {
        let now: Zoned = "2026-03-01T00:30[Europe/Berlin]".parse().unwrap();
        let told = |time: &str| period_at(&time.parse().unwrap(), &now);

        assert_eq!(told("2026-03-01T00:00[Europe/Berlin]"), "today");
        assert_eq!(told("2026-02-28T23:59[Europe/Berlin]"), "yesterday");
        assert_eq!(told("2026-02-27T12:00[Europe/Berlin]"), "week");
        assert_eq!(told("2026-02-22T12:00[Europe/Berlin]"), "week");
        assert_eq!(told("2026-02-21T12:00[Europe/Berlin]"), "month");
        assert_eq!(told("2026-01-29T12:00[Europe/Berlin]"), "January 2026");
        // A clock that was put back.
        assert_eq!(told("2026-03-02T12:00[Europe/Berlin]"), "today");
    }
}
