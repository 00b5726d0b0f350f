//! The time a request was signed at, as it enters the string to sign.

use time::{
    Date, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset,
    format_description::well_known::Rfc2822,
};

/// A point in time to the second, with its `YYYYMMDDTHHMMSSZ` text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timestamp {
    at: OffsetDateTime,
    text: String,
}

impl Timestamp {
    /// Reads `x-amz-date` or `X-Amz-Date`: `YYYYMMDDTHHMMSSZ` and nothing else.
    pub fn parse_basic(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() != 16 || bytes.get(8) != Some(&b'T') || bytes.get(15) != Some(&b'Z') {
            return None;
        }
        let digits = |from: usize, to: usize| -> Option<u16> {
            let digits = text.get(from..to)?;
            let all = digits.bytes().all(|byte| byte.is_ascii_digit());
            all.then(|| digits.parse().ok()).flatten()
        };
        let small = |from: usize| u8::try_from(digits(from, from + 2)?).ok();
        let month = Month::try_from(small(4)?).ok()?;
        let date = Date::from_calendar_date(i32::from(digits(0, 4)?), month, small(6)?).ok()?;
        let time = Time::from_hms(small(9)?, small(11)?, small(13)?).ok()?;
        Some(Self {
            at: PrimitiveDateTime::new(date, time).assume_utc(),
            text: text.to_owned(),
        })
    }

    /// Reads a `Date` header: an HTTP date (RFC 9110 section 5.6.7), or the basic form.
    pub fn parse_http(text: &str) -> Option<Self> {
        Self::parse_basic(text).or_else(|| {
            let at = OffsetDateTime::parse(text, &Rfc2822).ok()?;
            let at = at.to_offset(UtcOffset::UTC);
            // Before 1970 no key is derived and after 9999 the text would be longer.
            (1970..=9999).contains(&at.year()).then(|| Self::of(at))
        })
    }

    /// The second that a clock shows.
    pub fn of(now: OffsetDateTime) -> Self {
        let at = now.to_offset(UtcOffset::UTC);
        Self {
            at,
            text: basic(at),
        }
    }

    /// The point in time.
    pub fn at(&self) -> OffsetDateTime {
        self.at
    }

    /// `YYYYMMDDTHHMMSSZ`.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// `YYYYMMDD`.
    pub fn date(&self) -> &str {
        self.text.get(..8).unwrap_or_default()
    }
}

/// Every request is stamped: the formatting machinery would cost ten times as much.
fn basic(at: OffsetDateTime) -> String {
    let year = at.year().rem_euclid(10_000);
    let century = u8::try_from(year / 100).unwrap_or_default();
    let year = u8::try_from(year % 100).unwrap_or_default();
    let mut text = String::with_capacity(BASIC_LEN);
    push_pairs(&mut text, [century, year, at.month().into(), at.day()]);
    text.push('T');
    push_pairs(&mut text, [at.hour(), at.minute(), at.second()]);
    text.push('Z');
    text
}

/// Two digits for each number.
fn push_pairs<const N: usize>(text: &mut String, numbers: [u8; N]) {
    for number in numbers {
        text.push(char::from(b'0' + number / 10 % 10));
        text.push(char::from(b'0' + number % 10));
    }
}

/// `YYYYMMDDTHHMMSSZ`.
const BASIC_LEN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_a_date_are_one_point_in_time() {
        let basic = Timestamp::parse_basic("20130524T000000Z").unwrap();
        assert_eq!(basic.date(), "20130524");
        for spelling in [
            "Fri, 24 May 2013 00:00:00 GMT",
            "Fri, 24 May 2013 00:00:00 +0000",
            "Fri, 24 May 2013 02:00:00 +0200",
            "20130524T000000Z",
        ] {
            assert_eq!(Timestamp::parse_http(spelling).as_ref(), Some(&basic));
        }
    }

    #[test]
    fn anything_else_is_no_date() {
        for bad in [
            "",
            "20130524",
            "20130524T000000",
            "20131324T000000Z",
            "20130230T000000Z",
            "20130524T240000Z",
            "20130524T0000+1Z",
            "20130524t000000Z",
            "2013-05-24T00:0Z",
            "20130524T00000\u{fc}",
        ] {
            assert_eq!(Timestamp::parse_basic(bad), None, "{bad}");
            assert_eq!(Timestamp::parse_http(bad), None, "{bad}");
        }
    }
}
