//! What an S3 server means by a refusal: its own error code tells, if it has one, else the status.

use jiff::{SignedDuration, Timestamp};

use crate::backend::FetchError;
use crate::backend::http::Refused;
use crate::error::{Error, ErrorKind};

/// The most bytes of a server's message that are shown.
const SHOWN: usize = 300;

/// The longest text that is taken for an error code, in bytes.
const LONGEST_CODE: usize = 64;

/// The codes by which servers say that they are asked for too much.
const SLOW_DOWN: [&str; 7] = [
    "SlowDown",
    "TooManyRequests",
    "RequestLimitExceeded",
    "RequestThrottled",
    "Throttling",
    "ThrottlingException",
    "BandwidthLimitExceeded",
];

/// Other codes of errors that may pass.
const PASSING: [&str; 5] = [
    "InternalError",
    "InternalServerError",
    "ServiceUnavailable",
    "RequestTimeout",
    "OperationAborted",
];

/// The codes by which servers say that temporary credentials are no longer valid.
const EXPIRED: [&str; 4] = [
    "ExpiredToken",
    "ExpiredTokenException",
    "TokenRefreshRequired",
    "InvalidToken",
];

/// Clocks that differ by less than this are not to blame.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// Sorts a refusal. Only the server's own error code, given for this very object, says that an
/// object does not exist: a proxy, or another server, can answer 404 too.
pub(super) fn sort(bucket: &str, refused: Refused) -> FetchError {
    let (code, status) = (code(&refused.text), refused.status.as_u16());
    let is_slow_down = SLOW_DOWN.contains(&code) || matches!(status, 429 | 503);
    match code {
        _ if is_slow_down || PASSING.contains(&code) => transient(&refused),
        "NoSuchKey" if is_of(&refused) => FetchError::Missing,
        "NoSuchBucket" => {
            let message = format!("there is no bucket {bucket} at {}", refused.host);
            fatal(ErrorKind::NotFound, message)
        }
        "InvalidObjectState" => {
            let message = format!(
                "{} keeps the object in an archive tier (InvalidObjectState); restore the datastore's objects from there \
                 first, and try again",
                refused.host
            );
            fatal(ErrorKind::Unavailable, message)
        }
        "PermanentRedirect" | "TemporaryRedirect" => {
            let region = refused.header("x-amz-bucket-region");
            let region = region.map(|region| format!("; it is in the region {region}"));
            let message = answered(&refused) + &region.unwrap_or_default();
            fatal(ErrorKind::Unavailable, message)
        }
        _ => match (hint(code), &refused.error) {
            (Some(hint), _) => denied(&refused, hint),
            (None, FetchError::Denied(_)) => denied(&refused, ""),
            (None, FetchError::Missing) => {
                let message = format!("{}; is the endpoint right?", answered(&refused));
                fatal(ErrorKind::Unavailable, message)
            }
            (None, _) if code.is_empty() => refused.error,
            // The status says nothing about an error that came in place of an object, with status
            // 200.
            (None, FetchError::Transient { .. }) if status != 200 => transient(&refused),
            (None, _) => fatal(ErrorKind::Unavailable, answered(&refused)),
        },
    }
}

/// Whether a server refuses credentials because they have expired.
pub(super) fn is_expired(refused: &Refused) -> bool {
    EXPIRED.contains(&code(&refused.text))
}

/// Advice about credentials that a server refuses with this code.
fn hint(code: &str) -> Option<&'static str> {
    Some(match code {
        "SignatureDoesNotMatch" => "is the secret access key right?",
        "InvalidAccessKeyId" => "is the access key ID right, and of this server?",
        expired if EXPIRED.contains(&expired) => "get new temporary credentials",
        "RequestTimeTooSkewed" => "set the clock of this machine",
        "AuthorizationHeaderMalformed" | "AuthorizationQueryParametersError" => {
            "is the region right?"
        }
        // Without the right to list, a server won't say that an object does not exist.
        "AccessDenied" => {
            "the credentials need the rights to list the bucket and to read its objects"
        }
        _ => return None,
    })
}

/// The code of an error in S3's own form; empty for any other text.
fn code(text: &str) -> &str {
    let rest = text.split_once("<Error").map(|(_, rest)| rest);
    let code = rest
        .and_then(|rest| raw(rest, "Code"))
        .unwrap_or_default()
        .trim();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    match code.len() <= LONGEST_CODE && code.bytes().all(is_plain) {
        true => code,
        false => "",
    }
}

/// Whether an error is about the requested object, as far as the server names the object. A server
/// that shows an error page for a missing object, and lacks that page too, reports the page as
/// missing.
fn is_of(refused: &Refused) -> bool {
    raw(&refused.text, "Key").is_none_or(|key| key.trim().ends_with(&refused.file))
}

/// Describes the answer by its status and its own text.
fn answered(refused: &Refused) -> String {
    let mut text = format!("{} answered {}", refused.host, refused.status);
    let code = Some(code(&refused.text).to_owned());
    // Only answers with another status than 200 were searched for secrets that the server repeats.
    let message = element(&refused.text, "Message").filter(|_| refused.status != 200);
    for said in [code, message]
        .into_iter()
        .flatten()
        .filter(|said| !said.is_empty())
    {
        text += ": ";
        text += said.trim_end_matches('.');
    }
    text
}

fn fatal(kind: ErrorKind, message: String) -> FetchError {
    FetchError::Fatal(Error::new(kind, message).into())
}

fn denied(refused: &Refused, hint: &str) -> FetchError {
    let hint = clocks(refused.date, Timestamp::now()).unwrap_or_else(|| hint.to_owned());
    let separator = if hint.is_empty() { "" } else { "; " };
    let message = format!("{}{separator}{hint}", answered(refused));
    FetchError::Denied(Error::new(ErrorKind::Denied, message).into())
}

fn transient(refused: &Refused) -> FetchError {
    FetchError::Transient {
        cause: Error::new(ErrorKind::Unavailable, answered(refused)).into(),
        retry_after: match refused.error {
            FetchError::Transient { retry_after, .. } => retry_after,
            _ => None,
        },
    }
}

/// The message about clocks that don't agree, if they don't.
fn clocks(server: Option<Timestamp>, here: Timestamp) -> Option<String> {
    let server = server?;
    let ahead = here.duration_since(server);
    (ahead.abs() > SKEW).then(|| {
        let minutes = ahead.abs().as_mins();
        let word = if ahead.is_positive() {
            "ahead of"
        } else {
            "behind"
        };
        format!(
            "the clock of this machine is {minutes} minutes {word} the server's, and signatures hold for a while only"
        )
    })
}

/// The text of the first element with this name, as far as the text is fit to be shown.
fn element(xml: &str, name: &str) -> Option<String> {
    let text = raw(xml, name)?;
    let shown = text.chars().filter(|c| !c.is_control()).take(SHOWN);
    let text: String = shown.collect();
    let entities = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
        ("&#39;", "'"),
        ("&#34;", "\""),
        ("&amp;", "&"),
    ];
    let plain = |text: String, (entity, character): (&str, &str)| text.replace(entity, character);
    Some(entities.into_iter().fold(text.trim().to_owned(), plain))
}

fn raw<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_element_of_a_name_is_found_and_fit_to_be_shown() {
        let xml = "<?xml version=\"1.0\"?>\n<Error><Code>\n A\u{1b}[1m&amp;lt;\n</Code><Code>B</Code><Message/></Error>";
        assert_eq!(element(xml, "Code").as_deref(), Some("A[1m&lt;"));
        assert_eq!(element(xml, "Message"), None);
        assert_eq!(element("<Code>", "Code"), None);
    }

    #[test]
    fn clocks_are_to_blame_only_where_they_differ() {
        let server: Timestamp = "2026-11-23T12:00:00Z".parse().expect("it is a time");
        let said = |seconds| clocks(Some(server), server + SignedDuration::from_secs(seconds));
        assert_eq!(said(299), None);
        assert_eq!(said(-300), None);
        assert!(said(1200).is_some_and(|text| text.contains("20 minutes ahead of")));
        assert!(said(-1200).is_some_and(|text| text.contains("20 minutes behind")));
    }
}
