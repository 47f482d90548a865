//! What an HTTP status other than 200 means for a fetch.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use ureq::http::StatusCode;
use ureq::http::header::{CONTENT_ENCODING, DATE, HeaderMap, HeaderName, LOCATION, RETRY_AFTER};
use ureq::http::response::Parts;

use crate::backend::FetchError;
use crate::error::{Error, ErrorKind};

/// The most bytes of a header that are shown.
const SHOWN: usize = 200;

/// Why an answer's body is not the requested file; `None` if it may be the file.
pub(super) fn refusal(host: &str, file: &str, head: &Parts) -> Option<FetchError> {
    let (status, headers) = (head.status, &head.headers);
    let error = |kind, message: String| Error::new(kind, format!("{host} {message}"));
    let unavailable = |message| error(ErrorKind::Unavailable, message);
    let answered = || format!("answered {status}");
    Some(match status.as_u16() {
        200 => match text(headers, CONTENT_ENCODING) {
            None => return None,
            Some(encoding) if encoding.eq_ignore_ascii_case("identity") => return None,
            Some(encoding) => FetchError::Fatal(
                unavailable(format!(
                    "sends files in the content encoding {encoding}, though it was asked not to"
                ))
                .into(),
            ),
        },
        404 | 410 => FetchError::Missing,
        401 | 403 | 407 => FetchError::Denied(error(ErrorKind::Denied, answered()).into()),
        408 | 425 | 429 | 500..=599 => FetchError::Transient {
            cause: unavailable(answered()).into(),
            retry_after: text(headers, RETRY_AFTER)
                .and_then(|value| retry_after(&value, Timestamp::now())),
        },
        300..=399 => FetchError::Fatal(unavailable(redirected(file, status, headers)).into()),
        _ => FetchError::Fatal(unavailable(answered()).into()),
    })
}

fn redirected(file: &str, status: StatusCode, headers: &HeaderMap) -> String {
    let Some(location) = text(headers, LOCATION) else {
        return format!("answered {status}");
    };
    // The part of a signed URL after the '?' is as good as a password.
    let location = location.split('?').next().unwrap_or_default();
    // A server that has moved still uses the file's name in its URL.
    let advice = match location.contains(file) {
        true => "name that place instead",
        false => "does it want a sign-in, or does the URL lead elsewhere?",
    };
    format!("answered {status}, pointing to {location}; {advice}")
}

/// A header's value for a message or a comparison: printable, and not too long.
pub(super) fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    Some(value.chars().take(SHOWN).collect())
}

/// When an answer was given.
pub(super) fn date(headers: &HeaderMap) -> Option<Timestamp> {
    Some(rfc2822::parse(&text(headers, DATE)?).ok()?.timestamp())
}

/// Reads a number of seconds, or a date.
fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = rfc2822::parse(value.trim()).ok()?.timestamp();
    // A date in the past asks for no pause.
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use ureq::http::Response;

    use super::*;

    #[test]
    fn a_pause_is_given_in_seconds_or_as_a_date() {
        let now = "1994-11-06T08:49:30Z".parse().expect("it is a date");
        let seconds = |value| retry_after(value, now).map(|pause| pause.as_secs());
        assert_eq!(seconds("120"), Some(120));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(7));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:29 GMT"), Some(0));
        for bad in ["", "-1", "soon", "1.5"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_signed_location_is_not_shown_and_a_sign_in_is_no_other_place() {
        let said = |location: &str| {
            let response = Response::builder()
                .status(302)
                .header("Location", location)
                .body(());
            let (head, ()) = response.expect("it is well formed").into_parts();
            let Some(FetchError::Fatal(error)) = refusal("host", "0123", &head) else {
                panic!("a redirect is not followed");
            };
            error.to_string()
        };
        assert_eq!(
            said("https://elsewhere/0123?signature=s3cret"),
            "host answered 302 Found, pointing to https://elsewhere/0123; name that place instead"
        );
        assert_eq!(
            said("https://sso/login?next=0123"),
            "host answered 302 Found, pointing to https://sso/login; does it want a sign-in, or does the URL lead elsewhere?"
        );
    }
}
