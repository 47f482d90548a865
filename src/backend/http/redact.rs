//! Keeps secrets out of the log of ureq, which logs everything that it is given. ureq gets
//! placeholders, and the connection below it replaces them with the secrets.

use std::sync::Arc;

use parking_lot::Mutex;
use zeroize::Zeroizing;

use crate::backend::secret::SecretValue;
use crate::place::address::percent_decode;

/// The placeholder that ureq gets for the authorization, and for a query.
pub(super) const PLACEHOLDER: &str = "chunk-restore-authorization";

/// Shorter parts of a query are not treated as secrets.
const SHORTEST_SECRET: usize = 32;

/// After this many matching bytes, an echo is taken for the secret, and the rest of it is blotted
/// out.
const TELLING: usize = 8;

/// The query of the request that a client makes. The client shares it with its connections.
#[derive(Clone, Debug, Default)]
pub(super) struct SecretQuery(Arc<Mutex<Option<SecretValue>>>);

impl SecretQuery {
    pub(super) fn set(&self, query: SecretValue) {
        *self.0.lock() = Some(query);
    }

    /// Puts the query in place of its placeholder, if the output holds that. Also returns the
    /// filter that blots out echoes of the query.
    pub(super) fn put_into(&self, output: &[u8]) -> Option<(Zeroizing<Vec<u8>>, EchoFilter)> {
        let query = self.0.lock().clone()?;
        // The end of the request's first line is matched too, so that no other part of a URL can be
        // replaced.
        let sent = put(output, "?", &query, " HTTP/1.1\r\n")?;
        Some((sent, EchoFilter::of(&query)))
    }
}

/// Puts the authorization in place of its placeholder, if the output holds that. ureq writes each
/// header at once, never half of it.
pub(super) fn authorize(output: &[u8], value: &SecretValue) -> Option<Zeroizing<Vec<u8>>> {
    // A URL can hold the placeholder too, but with neither a space before it nor a line end behind
    // it.
    put(output, ": ", value, "\r\n")
}

fn put(
    output: &[u8],
    before: &str,
    value: &SecretValue,
    after: &str,
) -> Option<Zeroizing<Vec<u8>>> {
    let place = [before, PLACEHOLDER, after].concat();
    let at = (output.windows(place.len())).position(|window| window == place.as_bytes())?;
    let (head, rest) = output.split_at(at);
    let rest = &rest[place.len()..];
    let filled = [before, value.reveal(), after].map(str::as_bytes);
    // There is one allocation, so that no copy of the secret is left behind.
    Some(Zeroizing::new(
        [head, filled[0], filled[1], filled[2], rest].concat(),
    ))
}

/// Blots out the secrets of a query that a refusal repeats: an S3 server shows the text that it has
/// computed a signature of.
#[derive(Default)]
pub(super) struct EchoFilter {
    /// Each secret, and how many of its bytes the last bytes of the answer matched.
    secrets: Vec<(Zeroizing<String>, usize)>,
    /// Whether the answer is a file and not a refusal, once it has begun. A file is somebody's
    /// data, and is left as it is, whatever it looks like.
    is_data: Option<bool>,
}

impl EchoFilter {
    fn of(query: &SecretValue) -> EchoFilter {
        let values = query
            .reveal()
            .split('&')
            .filter_map(|part| part.split_once('='));
        let mut secrets = Vec::new();
        for (_, value) in values.filter(|(_, value)| value.len() >= SHORTEST_SECRET) {
            secrets.push((Zeroizing::new(value.to_owned()), 0));
            if let Some(plain) = percent_decode(value).filter(|plain| plain != value) {
                secrets.push((Zeroizing::new(plain), 0));
            }
        }
        EchoFilter {
            secrets,
            is_data: None,
        }
    }

    /// Blots out secrets in the next bytes of the answer.
    pub(super) fn blot(&mut self, bytes: &mut [u8]) {
        let begins_well = || bytes.starts_with(b"HTTP/1.1 200");
        if self.secrets.is_empty() || *self.is_data.get_or_insert_with(begins_well) {
            return;
        }
        for byte in bytes {
            let came = *byte;
            for (secret, matched) in &mut self.secrets {
                let secret = secret.as_bytes();
                if secret.get(*matched) != Some(&came) {
                    *matched = 0;
                }
                if secret.get(*matched) == Some(&came) {
                    *matched += 1;
                    if *matched > TELLING {
                        *byte = b'*';
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> SecretValue {
        SecretValue::new(Zeroizing::new(text.to_owned())).expect("it is ASCII")
    }

    #[test]
    fn the_authorization_goes_into_its_header_and_nowhere_else() {
        let put_in = |head: &str| {
            let bytes = authorize(head.as_bytes(), &value("Bearer x"))?;
            Some(String::from_utf8(bytes.to_vec()).expect("it is ASCII"))
        };
        let path = "GET /:%20chunk-restore-authorization HTTP/1.1\r\nhost: a\r\n";
        let head = format!("{path}authorization: {PLACEHOLDER}\r\n\r\n");
        let expected = format!("{path}authorization: Bearer x\r\n\r\n");
        assert_eq!(put_in(&head), Some(expected));
        assert_eq!(put_in(path), None);
    }

    #[test]
    fn a_query_goes_to_the_end_of_the_first_line_and_nowhere_else() {
        let query = SecretQuery::default();
        let head = format!("GET /a HTTP/1.1\r\nx: ?{PLACEHOLDER}\r\n\r\n");
        let signed = head.replacen("/a", &format!("/a?{PLACEHOLDER}"), 1);
        assert!(query.put_into(signed.as_bytes()).is_none());
        query.set(value("b=c"));
        assert!(query.put_into(head.as_bytes()).is_none());
        let (sent, _) = query
            .put_into(signed.as_bytes())
            .expect("there is its place");
        let expected = head.replacen("/a", "/a?b=c", 1);
        assert_eq!(String::from_utf8_lossy(&sent), expected);
    }

    #[test]
    fn a_refusal_that_repeats_a_secret_is_blotted_and_data_is_not() {
        let token = "token-".to_owned() + &"/x".repeat(20);
        let encoded = token.replace('/', "%2F");
        let query = value(&format!("a=short&token={encoded}"));
        let text = format!("<a>{token}</a><b>token-{token}&short={encoded}</b>");
        for (status, is_shown) in [("403 Forbidden", false), ("200 OK", true)] {
            for size in [1, 7, 1000] {
                let mut echo = EchoFilter::of(&query);
                let mut seen = format!("HTTP/1.1 {status}\r\n").into_bytes();
                echo.blot(&mut seen);
                for piece in text.as_bytes().chunks(size) {
                    let mut piece = piece.to_vec();
                    echo.blot(&mut piece);
                    seen.extend(piece);
                }
                let seen = String::from_utf8(seen).expect("it is ASCII");
                assert_eq!(seen.contains(&token), is_shown, "{seen}");
                assert_eq!(seen.contains(&encoded), is_shown, "{seen}");
                assert!(seen.ends_with("</b>") && seen.contains("&short="), "{seen}");
            }
        }
    }
}
