//! What an S3 server means when it refuses: by its own word for it, where it has one, else by the status. Knows nothing
//! of what was asked for.

use jiff::{SignedDuration, Timestamp};

use crate::backend::FetchError;
use crate::backend::http::Refused;
use crate::error::{Error, ErrorKind};

/// The most of a server's message that is shown.
const SHOWN: usize = 300;

/// Clocks that differ by less are not to blame.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// Why a request failed, and whether that asks for fewer of them.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) error: FetchError,
    pub(super) is_slow_down: bool,
}

impl From<FetchError> for Trouble {
    fn from(error: FetchError) -> Trouble {
        Trouble {
            error,
            is_slow_down: false,
        }
    }
}

impl From<Trouble> for FetchError {
    fn from(trouble: Trouble) -> FetchError {
        trouble.error
    }
}

pub(super) fn sort(bucket: &str, url: &str, refused: Refused) -> Trouble {
    let host = url.split('/').nth(2).unwrap_or(url);
    let code = element(&refused.text, "Code").unwrap_or_default();
    let answered = || {
        let mut text = format!("{host} answered {}", refused.status);
        for said in [Some(code.clone()), element(&refused.text, "Message")] {
            if let Some(said) = said.filter(|said| !said.is_empty()) {
                text += ": ";
                text += said.trim_end_matches('.');
            }
        }
        text
    };
    let fatal = |kind, message: String| FetchError::Fatal(Error::new(kind, message).into());
    let denied = |hint: &str| {
        let hint = clocks(refused.date, Timestamp::now()).unwrap_or_else(|| hint.to_owned());
        let separator = if hint.is_empty() { "" } else { "; " };
        let message = format!("{}{separator}{hint}", answered());
        FetchError::Denied(Error::new(ErrorKind::Denied, message).into())
    };
    let is_slow_down = matches!(
        (code.as_str(), refused.status.as_u16()),
        ("SlowDown" | "TooManyRequests" | "RequestLimitExceeded", _) | (_, 429 | 503)
    );
    let retry_after = match refused.error {
        FetchError::Transient { retry_after, .. } => retry_after,
        _ => None,
    };
    let transient = || FetchError::Transient {
        cause: Error::new(ErrorKind::Unavailable, answered()).into(),
        retry_after,
    };
    let error = match code.as_str() {
        _ if is_slow_down => transient(),
        "RequestTimeout" => transient(),
        "NoSuchBucket" => fatal(
            ErrorKind::NotFound,
            format!("there is no bucket {bucket} at {host}"),
        ),
        "NoSuchKey" => FetchError::Missing,
        "InvalidObjectState" => {
            let message = format!(
                "{host} keeps the object in an archive (InvalidObjectState); have it restored there, to a storage \
                 class that can be read, and try again"
            );
            FetchError::Unreadable(Error::new(ErrorKind::Unreadable, message).into())
        }
        "SignatureDoesNotMatch" => denied("is the secret access key right?"),
        "InvalidAccessKeyId" => denied("is the access key ID right, and of this server?"),
        "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" => {
            denied("get new temporary credentials")
        }
        "RequestTimeTooSkewed" => denied("set the clock of this machine"),
        "AuthorizationHeaderMalformed" | "AuthorizationQueryParametersError" => {
            denied("is the region right?")
        }
        // Without the right to list, a server won't say that something is not there.
        "AccessDenied" => {
            denied("the credentials need the rights to list the bucket and to read its objects")
        }
        "PermanentRedirect" | "TemporaryRedirect" => {
            let region = refused.header("x-amz-bucket-region");
            let region = region.map(|region| format!("; it is in the region {region}"));
            fatal(
                ErrorKind::Unavailable,
                format!("{}{}", answered(), region.unwrap_or_default()),
            )
        }
        "" => match refused.error {
            FetchError::Denied(_) => denied(""),
            error => error,
        },
        _ => match refused.error {
            FetchError::Missing => FetchError::Missing,
            FetchError::Denied(_) => denied(""),
            FetchError::Transient { .. } => transient(),
            _ => fatal(ErrorKind::Unavailable, answered()),
        },
    };
    Trouble {
        error,
        is_slow_down,
    }
}

/// What is to be said of clocks that don't agree.
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

/// The text of the first element with this name, as far as it is fit to be shown.
fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
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
