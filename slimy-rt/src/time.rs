//! The one form in which the project writes a moment.

use std::time::{SystemTime, UNIX_EPOCH};

/// The last millisecond that four digits of a year can say.
const LAST_MS: u64 = 253_402_300_799_999;

/// Milliseconds of Unix time as `2026-11-22T18:00:00.000Z`: always 24 characters; later than the year 9999 stays there.
pub(crate) fn timestamp(unix_ms: u64) -> String {
    let unix_ms = unix_ms.min(LAST_MS);
    let (seconds, millis) = (unix_ms / 1000, unix_ms % 1000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    // By hand: it is a part of every chat message, and the formatting machinery costs more than the calendar.
    let mut text = String::from("0000-00-00T00:00:00.000Z").into_bytes();
    for (end, width, number) in [
        (4, 4, year),
        (7, 2, month),
        (10, 2, day),
        (13, 2, second / 3600),
        (16, 2, second / 60 % 60),
        (19, 2, second % 60),
        (23, 3, millis),
    ] {
        let mut rest = number;
        for digit in text[end - width..end].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }
    String::from_utf8(text).unwrap_or_default()
}

/// A moment in milliseconds of Unix time; one before 1970 counts as its begin.
pub(crate) fn unix_ms(moment: SystemTime) -> u64 {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The Gregorian date of a day counted from 1970-01-01.
fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_PER_ERA: u64 = 146_097; // 400 years
    // Years that begin in March put the leap day last, so that a month's start follows from its number alone.
    let since_march_of_year_0 = days + 719_468;
    let era = since_march_of_year_0 / DAYS_PER_ERA;
    let day_of_era = since_march_of_year_0 % DAYS_PER_ERA;
    let leap_days = day_of_era / 1460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let (month, next_year) = if month_from_march < 10 {
        (month_from_march + 3, 0)
    } else {
        (month_from_march - 9, 1)
    };
    (400 * era + year_of_era + next_year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_utc_with_milliseconds() {
        let table = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_164_800_000, "2024-02-29T00:00:00.000Z"),
            (1_735_689_599_001, "2024-12-31T23:59:59.001Z"),
            (1_795_370_400_000, "2026-11-22T18:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (LAST_MS, "9999-12-31T23:59:59.999Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ];
        for (unix_ms, text) in table {
            assert_eq!(timestamp(unix_ms), text);
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut previous = civil(0);
        for day in 1..200_000 {
            let (year, month, date) = civil(day);
            let (y, m, d) = previous;
            let next = (year, month, date) == (y, m, d + 1);
            let first = date == 1
                && d >= 28
                && ((year, month) == (y, m + 1) || (year, month, m) == (y + 1, 1, 12));
            assert!(next || first, "{previous:?} then {year}-{month}-{date}");
            previous = (year, month, date);
        }
    }
}
