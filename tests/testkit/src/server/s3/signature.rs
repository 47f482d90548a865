//! Signature Version 4 of presigned URLs, checked as the documentation of AWS says. Knows nothing of objects.

use std::sync::{Arc, Mutex};

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::Sha256;

use crate::key::{hex, sha256};
use crate::server::lock;
use crate::server::url::percent_decoded;

/// Who may ask, and what the server's clock says.
#[derive(Clone, Debug)]
pub(super) struct Verifier {
    pub(super) access_key: String,
    pub(super) secret_key: String,
    pub(super) token: Arc<Mutex<Option<String>>>,
    pub(super) region: String,
    /// How many seconds the clock is ahead.
    pub(super) ahead: i64,
}

/// A refusal, with what the server says beside it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Denial {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) message: String,
    /// Further elements of the answer.
    pub(super) details: String,
}

/// How far ahead of the server a request may be.
const TOLERANCE: i64 = 15 * 60;

/// The most that AWS takes: a week.
const LONGEST: i64 = 7 * 86400;

impl Verifier {
    /// What the server's clock says, in Unix seconds.
    pub(super) fn now(&self) -> i64 {
        Timestamp::now().as_second() + self.ahead
    }

    /// Checks a GET of this path and query, as they were sent.
    pub(super) fn check(&self, path: &str, query: &str, host: &str) -> Result<(), Denial> {
        self.check_at(self.now(), path, query, host)
    }

    fn check_at(&self, now: i64, path: &str, query: &str, host: &str) -> Result<(), Denial> {
        let pairs = pairs(query);
        let value = |name: &str| {
            let found = pairs.iter().find(|(other, _)| other == name);
            found.map(|(_, value)| value.clone())
        };
        let Some(signature) = value("X-Amz-Signature") else {
            return Err(denied("AccessDenied", "Access Denied."));
        };
        let malformed = |what: &str| Denial {
            status: 400,
            ..denied("AuthorizationQueryParametersError", what)
        };
        if value("X-Amz-Algorithm").as_deref() != Some("AWS4-HMAC-SHA256") {
            return Err(malformed("X-Amz-Algorithm only supports AWS4-HMAC-SHA256"));
        }
        if value("X-Amz-SignedHeaders").as_deref() != Some("host") {
            return Err(malformed(
                "this server wants the host signed and nothing else",
            ));
        }
        let credential = value("X-Amz-Credential").unwrap_or_default();
        let scope: Vec<&str> = credential.split('/').collect();
        let &[access_key, day, region, "s3", "aws4_request"] = scope.as_slice() else {
            return Err(malformed("Error parsing the X-Amz-Credential parameter"));
        };
        if access_key != self.access_key {
            let message = "The AWS Access Key Id you provided does not exist in our records.";
            return Err(denied("InvalidAccessKeyId", message));
        }
        if region != self.region {
            return Err(malformed(&format!(
                "Error parsing the X-Amz-Credential parameter; the region '{region}' is wrong; expecting '{}'",
                self.region
            )));
        }
        if value("X-Amz-Security-Token") != *lock(&self.token) {
            let message = "The provided token is malformed or otherwise invalid.";
            return Err(Denial {
                status: 400,
                ..denied("InvalidToken", message)
            });
        }
        let date = value("X-Amz-Date").unwrap_or_default();
        let expires = value("X-Amz-Expires").and_then(|text| text.parse::<i64>().ok());
        let (Some(begin), Some(expires @ 1..=LONGEST)) = (time(&date), expires) else {
            return Err(malformed(
                "X-Amz-Date and X-Amz-Expires must be a time and seconds",
            ));
        };
        if now < begin - TOLERANCE {
            return Err(denied("AccessDenied", "Request is not yet valid"));
        }
        if now > begin + expires {
            return Err(denied("AccessDenied", "Request has expired"));
        }

        let mut pairs: Vec<String> = (pairs.iter())
            .filter(|(name, _)| name != "X-Amz-Signature")
            .map(|(name, value)| format!("{}={}", encoded(name, ""), encoded(value, "")))
            .collect();
        pairs.sort();
        let path = encoded(&percent_decoded(path), "/");
        let request = format!(
            "GET\n{path}\n{}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD",
            pairs.join("&")
        );
        let text = format!(
            "AWS4-HMAC-SHA256\n{date}\n{day}/{region}/s3/aws4_request\n{}",
            hex(&sha256(request.as_bytes()))
        );
        let mut key = format!("AWS4{}", self.secret_key).into_bytes();
        for part in [day, region, "s3", "aws4_request"] {
            key = mac(&key, part.as_bytes());
        }
        if hex(&mac(&key, text.as_bytes())) == signature && date.starts_with(day) {
            return Ok(());
        }
        let message =
            "The request signature we calculated does not match the signature you provided.";
        let escape = |text: &str| text.replace('&', "&amp;");
        // As AWS does, which helps those who write clients, and puts whatever was in the query on show.
        let details = format!(
            "<AWSAccessKeyId>{access_key}</AWSAccessKeyId><StringToSign>{text}</StringToSign>\
             <SignatureProvided>{signature}</SignatureProvided><CanonicalRequest>{}</CanonicalRequest>",
            escape(&request)
        );
        Err(Denial {
            details,
            ..denied("SignatureDoesNotMatch", message)
        })
    }
}

fn denied(code: &'static str, message: &str) -> Denial {
    Denial {
        status: 403,
        code,
        message: message.to_owned(),
        details: String::new(),
    }
}

/// The decoded names and values of a query.
pub(super) fn pairs(query: &str) -> Vec<(String, String)> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    parts
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .map(|(name, value)| (percent_decoded(name), percent_decoded(value)))
        .collect()
}

/// Percent-encoded, all but letters, digits, `-._~` and what else is to stay.
pub(super) fn encoded(text: &str, stays: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        let character = char::from(byte);
        if byte.is_ascii_alphanumeric() || "-._~".contains(character) || stays.contains(character) {
            encoded.push(character);
        } else {
            encoded += &format!("%{byte:02X}");
        }
    }
    encoded
}

/// `20130524T000000Z` in Unix seconds.
fn time(text: &str) -> Option<i64> {
    let time: Timestamp = text.parse().ok()?;
    (time.strftime("%Y%m%dT%H%M%SZ").to_string() == text).then(|| time.as_second())
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key will do");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of AWS's documentation, "Authenticating Requests: Using Query Parameters".
    const QUERY: &str = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
    const HOST: &str = "examplebucket.s3.amazonaws.com";
    const BEGIN: i64 = 1_369_353_600;

    fn verifier() -> Verifier {
        Verifier {
            access_key: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
            token: Arc::default(),
            region: "us-east-1".to_owned(),
            ahead: 0,
        }
    }

    fn code(now: i64, path: &str, query: &str, host: &str) -> &'static str {
        let checked = verifier().check_at(now, path, query, host);
        checked.map_or_else(|denial| denial.code, |()| "")
    }

    #[test]
    fn the_documented_example_is_right_for_a_day_and_nothing_else_is() {
        assert_eq!(code(BEGIN, "/test.txt", QUERY, HOST), "");
        assert_eq!(code(BEGIN + 86400, "/test.txt", QUERY, HOST), "");
        assert_eq!(
            code(BEGIN + 86401, "/test.txt", QUERY, HOST),
            "AccessDenied"
        );
        assert_eq!(code(BEGIN - 901, "/test.txt", QUERY, HOST), "AccessDenied");
        let mismatch = "SignatureDoesNotMatch";
        assert_eq!(code(BEGIN, "/test:txt", QUERY, HOST), mismatch);
        assert_eq!(code(BEGIN, "/test.txt", QUERY, "other"), mismatch);
        assert_eq!(
            code(BEGIN, "/test.txt", &format!("{QUERY}&a=b"), HOST),
            mismatch
        );
        let other = QUERY.replace("Expires=86400", "Expires=86500");
        assert_eq!(code(BEGIN, "/test.txt", &other, HOST), mismatch);
        assert_eq!(code(BEGIN, "/test.txt", "", HOST), "AccessDenied");
    }
}
